package postgres

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/postgres/uploads"
	"github.com/refract-video/refract/internal/postgres/webhooks"
	"github.com/refract-video/refract/internal/retention"
)

// Config is what the stores work with. Only the pool is required.
type Config struct {
	// Pool stays the caller's to close, after the stores.
	Pool *pgxpool.Pool
	// Direct is a pool on the same database whose connections have sessions of their own. The default is Pool.
	Direct *pgxpool.Pool
	// Clock dates jobs. Without one, this machine's clock does.
	Clock *replica.Clock
	// Notifier wakes workers when there is a new job. Without one they find it within a second.
	Notifier *replica.Notifier
	// Retention is for how long things are kept when their tenant has no periods of its own. The zero value keeps everything.
	Retention retention.Periods
	// Wake is called after webhook deliveries are committed, so that they can be sent at once. It must not block. By default nothing
	// is called, and a sender finds them when it looks the next time.
	Wake func()
	// Groups measures group commits, and Stays how long tasks stay in their states; nil measures nothing.
	Groups *groupcommit.Metrics
	Stays  *lifecycle.Stays
	// Log gets what the job queue logs. The default discards it.
	Log *slog.Logger
}

// Stores are the stores of a database, one for each subject, over one pool. The methods of all may be called concurrently.
type Stores struct {
	Tasks        *Tasks
	Accounts     *Accounts
	Offerings    *Offerings
	Tenants      *Tenants
	Sources      *uploads.Store
	Preparations *Preparations
	Log          *Log
	Inbox        *inbox.Store
	Storage      *Storage
	Installation *Installation
	Webhooks     *webhooks.Store
	Retention    *expiry.Store
	APITokens    *credentials.APITokens
	Sessions     *credentials.Sessions
	Secrets      *credentials.Secrets
	Audit        *auditlog.Store
}

// NewStores returns the stores of a database.
func NewStores(cfg Config) (*Stores, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	tasks, err := openTasks(cfg)
	if err != nil {
		return nil, err
	}
	return &Stores{
		Tasks:        tasks,
		Accounts:     &Accounts{cfg.Pool},
		Offerings:    &Offerings{cfg.Pool},
		Tenants:      &Tenants{cfg.Pool, cfg.Retention},
		Sources:      uploads.New(cfg.Pool),
		Preparations: &Preparations{cfg.Pool},
		Log:          newLog(cfg.Pool, cfg.Retention),
		Inbox:        inbox.New(cfg.Pool),
		Storage:      &Storage{cfg.Pool},
		Installation: &Installation{cfg.Pool},
		Webhooks:     webhooks.New(cfg.Pool, tasks, cfg.Wake),
		Retention:    expiry.New(cfg.Pool, cmp.Or(cfg.Direct, cfg.Pool), cfg.Retention),
		APITokens:    credentials.NewAPITokens(cfg.Pool),
		Sessions:     credentials.NewSessions(cfg.Pool),
		Secrets:      credentials.NewSecrets(cfg.Pool),
		Audit:        auditlog.New(cfg.Pool),
	}, nil
}

// Close takes no more grouped writes of tasks and waits for those that are under way, until ctx ends.
func (s *Stores) Close(ctx context.Context) error { return s.Tasks.Close(ctx) }
