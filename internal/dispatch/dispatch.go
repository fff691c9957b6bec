// Package dispatch brings admitted attempts to their providers, and follows them: it prepares sources, sends attempts, asks about those
// that run, and ends overdue tasks. Each part loads, calls one port, and hands the verdict to package lifecycle.
//
// A submission is a job of the queue: enqueued in the transaction that makes it necessary, run at least once, on any replica. A job
// that dies with its process is run again; package task makes sure that sending is not repeated. Checks are no jobs but dates on
// attempts, because an attempt has exactly one next check, which callbacks bring forward. Preparations are rows that replicas lease,
// because many tasks may wait for one.
package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

// Tasks is what submissions read.
type Tasks interface {
	TaskOfAttempt(ctx context.Context, id task.AttemptID) (task.Task, error)
}

// Config is what submissions and preparations work with.
type Config struct {
	Lifecycle    *lifecycle.Lifecycle
	Tasks        Tasks
	Accounts     upstream.Accounts
	Sources      Sources
	Preparations Preparations // Where the work on sources is kept that takes longer.
	Patience     SourcePatience
	// CallbackURL returns the URL that a provider account is to call about an attempt. It is a secret.
	CallbackURL func(account string, id task.AttemptID) (string, error)
	Now         func() time.Time // The time as the database has it, which jobs carry.
	Log         *slog.Logger
}

// New returns what sends attempts, and what prepares their sources. Each must run.
func New(cfg Config) (*Submitter, *Preparer) {
	cfg.Patience = cfg.Patience.withDefaults()
	p := newPreparer(cfg)
	return &Submitter{Config: cfg, preparer: p, gate: fair.New(submitLooksAtOnce, submitLooksWaiting)}, p
}
