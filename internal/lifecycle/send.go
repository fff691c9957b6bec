package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tracing"
)

// Deliver makes the one call to the provider that submits an attempt of a task.
type Deliver func(context.Context, task.Task) (provider.Receipt, error)

// ErrNotChecked means that it is not known yet whether anything may be sent.
var ErrNotChecked = errors.New("it is not known yet whether the database was set back to an earlier state")

// Gate reports whether anything may be sent to providers.
type Gate interface {
	// AdmissionOpen reports whether tasks may be sent. It waits until that is known, or ctx ends.
	AdmissionOpen(ctx context.Context) (bool, error)
	// ClosedMessage returns why admission is closed, in words for callers, or empty while it is open.
	ClosedMessage(ctx context.Context) (string, error)
}

// openGate is always open.
type openGate struct{}

func (openGate) AdmissionOpen(context.Context) (bool, error)   { return true, nil }
func (openGate) ClosedMessage(context.Context) (string, error) { return "", nil }

// gateTimeout bounds how long a send waits until it is known whether it may begin.
const gateTimeout = 2 * time.Second

// Send sends an attempt to its provider, at most once ever, and settles the answer. remote is what the provider calls the model. An
// attempt whose task was canceled, or whose deadline passed, is refused without a call. An attempt that was begun before and never
// answered, because the process died, becomes unconfirmed. deliver is nil if the attempt was not to be sent when its source was
// looked at, so its source was not prepared. If it is to be sent after all, because a retry adopted it, Send does nothing and
// returns ErrUnprepared.
//
// While admission is closed, the attempt is given back. While that is not known, Send does nothing and returns ErrNotChecked.
//
// The bucket has a record of each send before its request leaves. If the record of this send exists, the task was sent before and the
// database has forgotten it: nothing is sent, and the attempt takes the place of the forgotten one.
func (l *Lifecycle) Send(ctx context.Context, id task.AttemptID, remote string, deliver Deliver) error {
	open, err := l.admissionOpen(ctx)
	if err != nil {
		return fmt.Errorf("begin to send attempt %s: %w", id, err)
	}
	// NOTE: the time is read before the transaction begins, so the deadlines that follow from it are no later than those
	// of a replica that finds the attempt sent and counts from then.
	start := time.Now()
	var before task.Task
	t, err := l.change(ctx, "submission", id, func(t task.Task) (Change, error) {
		before = t
		if a := t.AttemptByID(id); !open && a.State == task.AttemptSubmitting && !a.Sent {
			d, err := t.Apply(task.Refused{Attempt: id, Delay: requeueDelay, Message: "not sent: admission is closed"})
			return Change{Decision: d}, err
		}
		d, err := t.Apply(task.Sending{Attempt: id, Remote: remote})
		if err == nil && deliver == nil && d.Task.AttemptByID(id).Sent {
			err = ErrUnprepared
		}
		return Change{Decision: d}, err
	})
	switch {
	case errors.Is(err, task.ErrAlreadySent):
		return l.settleStopped(ctx, before, id, start)
	case err != nil:
		return fmt.Errorf("begin to send attempt %s: %w", id, err)
	}
	a := t.AttemptByID(id)
	if a.State != task.AttemptSubmitting {
		return nil // Refused before it was sent.
	}
	ctx, span := tracing.Start(ctx, t.TraceParent, "submit attempt", start)
	tracing.Describe(span, &t, a)
	record := newRecord(t, *a, start)
	switch forgotten, err := l.begin(provider.WithSendBy(ctx, start.Add(SendTimeout)), record); {
	case err != nil:
		tracing.End(span, "not_recorded")
		return l.unrecorded(ctx, id, record, err)
	case forgotten != nil:
		tracing.End(span, "sent_before")
		return l.takeOver(ctx, id, *forgotten)
	}
	got := answer{arriveBy: start.Add(arriveWithin)}
	sending, cancel := context.WithDeadline(provider.WithSendBy(ctx, start.Add(SendTimeout)), got.arriveBy)
	defer cancel()
	got.receipt, got.err = deliver(sending, t)
	var recording sync.WaitGroup
	defer recording.Wait()
	recording.Go(func() { l.recordOutcome(ctx, record, got) })
	err = l.settleAnswer(ctx, id, got)
	tracing.End(span, outcomeOf(got.err))
	return err
}

// admissionOpen reports whether anything may be sent.
func (l *Lifecycle) admissionOpen(ctx context.Context) (bool, error) {
	waiting, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	open, err := l.gate.AdmissionOpen(waiting)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		err = ErrNotChecked
	}
	return open, err
}

// settleStopped settles an attempt that another process began to send. If its record has the answer, that counts.
//
// NOTE: a record that is missing is made. The process may have died before it made one, and its send must be known after a restore like
// any other. A process that was only suspended then finds the record, and sends nothing.
func (l *Lifecycle) settleStopped(ctx context.Context, t task.Task, id task.AttemptID, start time.Time) error {
	reading, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	found, err := l.records.CreateRecord(reading, newRecord(t, *t.AttemptByID(id), start))
	if err == nil && found != nil && found.Attempt == id && found.Outcome != task.OutcomePending {
		return l.takeOver(ctx, id, *found)
	}
	stopped := &provider.Error{Class: provider.Ambiguous, Op: "submit", Err: errStopped}
	return l.settleSubmission(ctx, id, answer{err: stopped, arriveBy: start.Add(arriveWithin)})
}

// The timeouts of a submission. Together they bound when its request can arrive, also if the process that sends it loses the
// database, or is suspended and continues later.
const (
	// SendTimeout is how long after the commit of sent the request may leave. Later it does not leave: see provider.MaySend.
	SendTimeout = 10 * time.Second
	// AnswerTimeout is how long after that the request may arrive, and its answer may come.
	AnswerTimeout = 30 * time.Second
	// arriveWithin is how long after the commit of sent the request may arrive at the provider.
	//
	// NOTE: with a shorter one, a replica that settles the attempt of another gives its permit to a second request
	// before the first one has arrived, and the provider sees more than its limit.
	arriveWithin = SendTimeout + AnswerTimeout
)

// SettleTimeout is how long an answer is kept in memory while the database is out of reach: longer than a failover takes.
const SettleTimeout = 2 * time.Minute

// settleAnswer settles a submission also while the process shuts down, and tries for longer than a failover of the database takes:
// without the answer, a paid attempt becomes unconfirmed.
func (l *Lifecycle) settleAnswer(ctx context.Context, id task.AttemptID, got answer) error {
	err := l.persist(ctx, func(ctx context.Context) error { return l.settleSubmission(ctx, id, got) })
	if errors.Is(err, errGivenUp) {
		return fmt.Errorf("the provider's answer is lost, its task id is %q: %w", got.receipt.TaskID, err)
	}
	return err
}

// errGivenUp means that a change that must not be lost could not be made for SettleTimeout.
var errGivenUp = errors.New("given up")

// persist makes a change, also while the process shuts down, and tries for longer than a failover of the database takes.
func (*Lifecycle) persist(ctx context.Context, change func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SettleTimeout)
	defer cancel()
	for {
		err := change(ctx)
		if err == nil || errors.Is(err, task.ErrProviderTaskMismatch) || errors.Is(err, ErrAttemptNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(errGivenUp, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
