package postgres

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/postgres/uploads"
	"github.com/refract-video/refract/internal/retention"
)

// Config is what the stores work with. Only the pool is required.
type Config struct {
	// Pool stays the caller's to close, after the stores.
	Pool *pgxpool.Pool
	// Clock dates jobs. Without one, this machine's clock does.
	Clock *replica.Clock
	// Notifier wakes workers when there is a new job. Without one they find it within a second.
	Notifier *replica.Notifier
	// Retention is for how long things are kept when their tenant has no periods of its own. The zero value keeps everything.
	Retention retention.Periods
	// Log gets what the job queue logs. The default discards it.
	Log *slog.Logger
}

// Stores are the stores of a database, one for each subject, over one pool. The methods of all may be called concurrently.
type Stores struct {
	Tasks        *Tasks
	Accounts     *Accounts
	Tenants      *Tenants
	Sources      *uploads.Store
	Preparations *Preparations
	Log          *Log
	Inbox        *inbox.Store
	Storage      *Storage
	Retention    *expiry.Store
	APITokens    *credentials.APITokens
	Secrets      *credentials.Secrets
}

// NewStores returns the stores of a database.
func NewStores(cfg Config) (*Stores, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	tasks, err := openTasks(cfg)
	if err != nil {
		return nil, err
	}
	return &Stores{
		Tasks:        tasks,
		Accounts:     &Accounts{cfg.Pool},
		Tenants:      &Tenants{cfg.Pool, cfg.Retention},
		Sources:      uploads.New(cfg.Pool),
		Preparations: &Preparations{cfg.Pool},
		Log:          newLog(cfg.Pool, cfg.Retention),
		Inbox:        inbox.New(cfg.Pool),
		Storage:      &Storage{cfg.Pool},
		Retention:    expiry.New(cfg.Pool, cfg.Retention),
		APITokens:    credentials.NewAPITokens(cfg.Pool),
		Secrets:      credentials.NewSecrets(cfg.Pool),
	}, nil
}

// Close takes no more grouped writes of tasks and waits for those that are under way, until ctx ends.
func (s *Stores) Close(ctx context.Context) error { return s.Tasks.Close(ctx) }
