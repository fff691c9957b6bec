// Package dispatch admits queued tasks, sends their attempts to providers, asks about those that run, and ends overdue tasks. Each
// part loads, makes one call, and passes the result to package lifecycle.
//
// A submission is a job of the queue: enqueued in the transaction that makes it necessary, and run at least once, on any replica. A
// job that dies with its process is run again; package task makes sure that sending is not repeated. A check is not a job but a date
// of an attempt, because an attempt has exactly one next check, which callbacks bring forward.
package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

// Tasks is what submissions read.
type Tasks interface {
	TaskOfAttempt(ctx context.Context, id task.AttemptID) (task.Task, error)
}

// Config is what submissions work with.
type Config struct {
	Lifecycle *lifecycle.Lifecycle
	Tasks     Tasks
	Accounts  upstream.Accounts
	Catalog   func() *catalog.Catalog // The models, which may change while the service runs.
	Sources   *source.Preparer
	// CallbackURL returns the URL that a provider account is to call about an attempt. It is a secret.
	CallbackURL func(account string, id task.AttemptID) (string, error)
	Now         func() time.Time // The time as the database has it, which jobs carry.
	Log         *slog.Logger
}

// New returns what sends attempts.
func New(cfg Config) *Submitter {
	return &Submitter{Config: cfg, waits: source.NewSubmitWaits(cfg.Sources)}
}
