package callback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/provider"
)

const (
	// intakeTick is the interval of looks into the intake without a wake.
	intakeTick = time.Second
	// intakeSlots is how many stored callbacks a replica settles at a time. They share commits.
	intakeSlots = 64
	// intakeTimeout bounds one of them. It is shorter than its claim, so that two replicas do not settle it at once.
	intakeTimeout = 20 * time.Second
	// maxIntakeAge is how old a callback may be that can't be settled. Long before, a check has found the result.
	maxIntakeAge = 24 * time.Hour
)

// Waiting is a callback that was claimed from the intake.
type Waiting struct {
	Sealed

	ID          int64
	ReceiveTime time.Time
	Age         time.Duration // By the clock of the database.
	Tries       int           // How often it was claimed, this time included.
}

// IntakeStore has the callbacks that ingresses stored.
type IntakeStore interface {
	// ClaimCallbacks claims up to limit callbacks, those first that have waited longest. Another claim gets them when this one has
	// expired. A claim lasts longer with each try.
	ClaimCallbacks(ctx context.Context, limit int) ([]Waiting, error)
	// RemoveCallback removes a callback of which nothing is kept.
	RemoveCallback(ctx context.Context, id int64) error
	// IntakeDepth returns how many callbacks wait, counted up to a bound, and for how long the oldest one has.
	IntakeDepth(ctx context.Context) (n int64, lag time.Duration, err error)
}

// IntakeSettler settles the callbacks that an [Intake] stored, by a [Receiver], as if they had arrived there when they were stored: the
// verdicts are the same. The transaction that settles a callback removes it from the intake.
//
// A callback that can't be settled is tried again, less and less often, and delays no other. After a day it is given up: the inbox
// has it as malformed.
type IntakeSettler struct {
	receiver *Receiver
	store    IntakeStore
	keys     Keyring
	log      *slog.Logger
	wake     loop.Signal
	slots    chan struct{}
}

// IntakeSettlerConfig is the configuration of a settler. All fields are required.
type IntakeSettlerConfig struct {
	Receiver *Receiver
	Store    IntakeStore
	Keys     Keyring
	Meter    metric.Meter
	Log      *slog.Logger
}

// NewIntakeSettler returns a settler.
func NewIntakeSettler(cfg IntakeSettlerConfig) (*IntakeSettler, error) {
	s := &IntakeSettler{
		receiver: cfg.Receiver, store: cfg.Store, keys: cfg.Keys, log: cfg.Log, wake: loop.NewSignal(), slots: make(chan struct{}, intakeSlots),
	}
	return s, s.observe(cfg.Meter)
}

// observe makes the depth and the lag of the intake metrics.
func (s *IntakeSettler) observe(meter metric.Meter) error {
	depth, err := meter.Int64ObservableGauge("refract_callback_intake_depth",
		metric.WithDescription("Callbacks that an ingress stored and no worker has settled yet, counted up to 100,000."))
	if err != nil {
		return fmt.Errorf("make the metric of the intake: %w", err)
	}
	lag, err := meter.Int64ObservableGauge("refract_callback_intake_lag", metric.WithUnit("s"),
		metric.WithDescription("For how long the oldest of them has waited."))
	if err != nil {
		return fmt.Errorf("make the metric of the intake: %w", err)
	}
	_, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		n, oldest, err := s.store.IntakeDepth(ctx)
		if err != nil {
			return err
		}
		o.ObserveInt64(depth, n)
		o.ObserveInt64(lag, int64(oldest.Seconds()))
		return nil
	}, depth, lag)
	if err != nil {
		return fmt.Errorf("make the metric of the intake: %w", err)
	}
	return nil
}

// Wake makes Run look into the intake. It does not block, and may be called concurrently.
func (s *IntakeSettler) Wake() { s.wake.Send() }

// Run settles until ctx ends, and returns when what it has claimed is settled.
func (s *IntakeSettler) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ticker := time.NewTicker(intakeTick)
	defer ticker.Stop()
	failing := false
	for {
		more, err := s.claim(ctx, &running)
		if err != nil && ctx.Err() == nil {
			if !failing {
				s.log.ErrorContext(ctx, "stored callbacks can't be read; they wait", "error", err)
			}
			failing = true
		} else if failing && err == nil {
			s.log.InfoContext(ctx, "stored callbacks can be read again")
			failing = false
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-ticker.C:
		}
	}
}

// claim claims as many callbacks as there are free slots, after it has waited for one, and starts to settle them. It reports whether
// there may be more.
func (s *IntakeSettler) claim(ctx context.Context, running *sync.WaitGroup) (more bool, err error) {
	select {
	case s.slots <- struct{}{}:
		<-s.slots // Run alone fills slots.
	case <-ctx.Done():
		return false, nil
	}
	free := cap(s.slots) - len(s.slots)
	claimed, err := s.store.ClaimCallbacks(ctx, free)
	if err != nil {
		return false, err
	}
	for _, w := range claimed {
		s.slots <- struct{}{}
		running.Go(func() {
			defer func() { <-s.slots }()
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), intakeTimeout)
			defer cancel()
			s.settle(ctx, w)
		})
	}
	return len(claimed) == free, nil
}

// settle settles one callback, or leaves it to a later claim.
func (s *IntakeSettler) settle(ctx context.Context, w Waiting) {
	err := s.try(ctx, w)
	if errors.Is(err, lifecycle.ErrAttemptNotFound) { // Retention has removed the task. The receiver has counted the callback.
		err = s.store.RemoveCallback(ctx, w.ID)
	}
	if err == nil {
		return
	}
	log := s.log.With("account", s.known(w.Account), "attempt_id", w.AttemptID, "tries", w.Tries, "receive_time", w.ReceiveTime, "error", err)
	if w.Age < maxIntakeAge {
		if w.Tries == 1 {
			log.WarnContext(ctx, "a stored callback was not settled; it is tried again for a day")
		}
		return
	}
	if err := s.giveUp(ctx, w); err != nil {
		log.ErrorContext(ctx, "a stored callback was not settled, and can't be given up", "give_up_error", err)
		return
	}
	log.ErrorContext(ctx, "a stored callback could not be settled for a day and is given up; the inbox has it as malformed")
}

// try settles one callback by the receiver. A panic is an error, so that one callback can't end the process.
func (s *IntakeSettler) try(ctx context.Context, w Waiting) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	e, err := w.open(ctx, s.keys)
	if err != nil {
		s.receiver.count(ctx, s.known(w.Account), "unreadable")
		return err
	}
	err = s.receiver.receive(ctx, received{
		account: e.Account, token: e.Token, header: e.Header, body: e.Body, time: w.ReceiveTime,
		intake: &lifecycle.Intake{ID: w.ID, ReceiveTime: w.ReceiveTime},
	})
	if refused(err) {
		return nil // The inbox has it with its verdict.
	}
	return err
}

// refused reports whether a callback was kept as one that was refused.
func refused(err error) bool {
	return errors.Is(err, provider.ErrCallbackSignature) || errors.Is(err, provider.ErrCallbackStale) || errors.Is(err, provider.ErrCallbackMalformed)
}

// giveUp moves a callback to the inbox. Its body may not be readable, and is not kept.
func (s *IntakeSettler) giveUp(ctx context.Context, w Waiting) error {
	err := s.receiver.settler.RefuseCallback(ctx, lifecycle.Callback{
		AttemptID: w.AttemptID, Account: s.known(w.Account), Verdict: lifecycle.Malformed, Intake: &lifecycle.Intake{ID: w.ID, ReceiveTime: w.ReceiveTime},
	})
	if errors.Is(err, lifecycle.ErrAttemptNotFound) {
		err = s.store.RemoveCallback(ctx, w.ID)
	}
	if err == nil {
		s.receiver.count(ctx, s.known(w.Account), "given_up")
	}
	return err
}

// known returns the name of an account of the configuration, or "unknown": the column of the table is not authenticated.
func (s *IntakeSettler) known(account string) string {
	if _, ok := s.receiver.accounts[account]; ok {
		return account
	}
	return "unknown"
}
