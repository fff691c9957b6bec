package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// admitTick is the interval of rounds without a wake. They are necessary because permits return with time, and because other
// replicas do not announce their submissions.
const admitTick = time.Second

// Admitter admits queued tasks of a provider, and returns how many tasks it changed. *lifecycle.Lifecycle implements it.
type Admitter interface {
	Admit(ctx context.Context, provider string) (int, error)
}

// Storage reports whether results can be stored.
type Storage interface {
	Working() bool
}

// AdmissionLoop admits queued tasks of one provider while results can be stored.
//
// Every replica runs one for each provider. A round that finds the provider's accounts locked by another replica admits nothing.
type AdmissionLoop struct {
	Provider string
	Verbs    Admitter
	Storage  Storage
	Wake     loop.Signal // Sent when there may be a task to admit.
	Log      *slog.Logger
}

// Run admits until ctx ends.
func (l *AdmissionLoop) Run(ctx context.Context) error {
	ticker := time.NewTicker(admitTick)
	defer ticker.Stop()
	failing := false
	for {
		admitted, err := l.round(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				l.Log.ErrorContext(ctx, "admission is interrupted; queued tasks wait", "provider", l.Provider, "error", err)
			}
			failing = true
		} else if failing {
			l.Log.InfoContext(ctx, "admission works again", "provider", l.Provider)
			failing = false
		}
		if admitted > 0 && ctx.Err() == nil {
			continue // A round is bounded, so there may be more.
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.Wake:
		case <-ticker.C:
		}
	}
}

// round admits the tasks that may go now, and returns how many tasks it changed.
func (l *AdmissionLoop) round(ctx context.Context) (int, error) {
	if !l.Storage.Working() {
		return 0, nil // NOTE: a result that could not be stored must not be paid for.
	}
	return l.Verbs.Admit(ctx, l.Provider)
}
