package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// SendRecord is the record of one send, which the bucket keeps: a witness that survives when the database is set back to an earlier
// state. Tenant, request id and number name it, so that a task that was lost and submitted again finds the records of the first one.
type SendRecord struct {
	Tenant    string `json:"tenant"`
	RequestID string `json:"request_id"`
	Number    int    `json:"number"` // The place of the attempt among those of the task that were sent, from 1.

	Task     task.ID        `json:"task_id"`
	Attempt  task.AttemptID `json:"attempt_id"`
	Work     string         `json:"work"`  // A digest of what was requested.
	Nonce    string         `json:"nonce"` // Names the process and the call that sends.
	Provider string         `json:"provider"`
	Account  string         `json:"account"`
	Remote   string         `json:"remote"`
	SendTime time.Time      `json:"send_time"`

	// The rest is known after the answer.
	Outcome        task.Outcome `json:"outcome,omitempty"`
	Unsent         bool         `json:"unsent,omitempty"` // Whether the request certainly did not leave.
	ProviderTaskID string       `json:"provider_task_id,omitempty"`
	Handle         string       `json:"handle,omitempty"`
	Message        string       `json:"message,omitempty"` // Of the provider.
}

// SendRecords keeps the records of sends.
type SendRecords interface {
	// CreateRecord stores the record of a send that is about to begin. If the send has a record already, it returns that one, and
	// stores nothing. An error leaves open whether the record is there.
	CreateRecord(ctx context.Context, r SendRecord) (found *SendRecord, err error)
	// ReplaceRecord stores a record in the place of the one that may be there.
	ReplaceRecord(ctx context.Context, r SendRecord) error
	// Record returns the record of a send by the tenant, the request id and the number of another one, or nil if there is none.
	Record(ctx context.Context, like SendRecord) (*SendRecord, error)
	// Cause says in a few words for callers why a record could not be stored, such as "is full", about the storage.
	Cause(err error) string
}

// noRecords keeps nothing.
type noRecords struct{}

func (noRecords) CreateRecord(context.Context, SendRecord) (*SendRecord, error) { return nil, nil } //nolint:nilnil // There is none.
func (noRecords) ReplaceRecord(context.Context, SendRecord) error               { return nil }
func (noRecords) Record(context.Context, SendRecord) (*SendRecord, error)       { return nil, nil } //nolint:nilnil // There is none.
func (noRecords) Cause(error) string                                            { return "" }

// The bounds of what is done with a record.
const (
	// recordTimeout leaves the request most of SendTimeout.
	recordTimeout = 4 * time.Second
	// outcomeTimeout bounds the record of an outcome, which nothing waits for but the job.
	outcomeTimeout = 5 * time.Second
)

// newRecord returns the record of a send that is about to begin.
func newRecord(t task.Task, a task.Attempt, now time.Time) SendRecord {
	return SendRecord{
		Tenant: t.Tenant, RequestID: t.RequestID, Number: t.SendNumber(a.ID), Task: t.ID, Attempt: a.ID, Work: digest(t.Spec), Nonce: uuid.NewString(),
		Provider: a.Provider, Account: a.Account, Remote: a.Remote, SendTime: now.UTC(),
	}
}

// digest returns a digest of what a provider makes of a spec. What only guides the task, such as its deadline, does not count, and
// neither does the id of an upload, which is another one after a restore.
func digest(s task.Spec) string {
	// A field that is not set is left out, so that a field of a later release changes no digest.
	text, err := json.Marshal(struct {
		Prompt     string `json:"prompt,omitempty"`
		Source     string `json:"source,omitempty"`
		FirstFrame string `json:"first_frame,omitempty"`
		Model      string `json:"model,omitempty"`
		Parameters string `json:"parameters,omitempty"`
		Strength   string `json:"strength,omitempty"`
		Watermark  string `json:"watermark,omitempty"`
	}{s.Prompt, s.SourceURI, s.FirstFrameURI, s.Model, s.Parameters, s.Strength, s.Watermark})
	if err != nil {
		return "" // Strings can always be encoded.
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// ofOtherWork reports whether a record is of another task that requested something else under the same request id.
func (r SendRecord) ofOtherWork(mine SendRecord) bool {
	return r.Task != "" && r.Task != mine.Task && r.Work != mine.Work
}

// begin makes sure that a send is recorded before it begins. It returns the record of an earlier send that the database has forgotten:
// then this one must not begin. An error means that it must not begin either.
func (l *Lifecycle) begin(ctx context.Context, mine SendRecord) (forgotten *SendRecord, err error) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	found, err := l.records.CreateRecord(ctx, mine)
	switch {
	case err != nil:
		return nil, err
	case found == nil, found.Nonce == mine.Nonce: // The storage repeated the call.
		return nil, nil //nolint:nilnil // Nothing is forgotten.
	case found.Unsent, found.ofOtherWork(mine):
		return nil, l.records.ReplaceRecord(ctx, mine)
	}
	return found, nil
}

// recordOutcome adds the answer to the record of a send, so that a database that is restored later learns it. If that fails, the record
// says that the outcome is unknown, and the callback decides.
func (l *Lifecycle) recordOutcome(ctx context.Context, mine SendRecord, got answer) {
	answered := answered{err: refusal(got.err)}
	switch rule := answered.rule(); {
	case got.err == nil:
		mine.Outcome, mine.ProviderTaskID, mine.Handle = task.OutcomeAccepted, got.receipt.TaskID, got.receipt.Handle
	case rule.Created == CreatedNo:
		mine.Outcome, mine.Message = task.OutcomeRefused, answered.err.Error()
	case rule.Class == provider.GenerationFailed:
		mine.Outcome, mine.Message = task.OutcomeFailed, answered.err.Error()
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outcomeTimeout)
	defer cancel()
	_ = l.records.ReplaceRecord(ctx, mine)
}

// unrecorded settles an attempt whose record could not be stored, so that it did not leave.
//
// NOTE: the record may be there nevertheless. It must not stand for a send when the task is sent again, so it is corrected before the task
// is queued.
func (l *Lifecycle) unrecorded(ctx context.Context, id task.AttemptID, mine SendRecord, cause error) error {
	l.withdrawRecord(ctx, mine)
	err := l.persist(ctx, func(ctx context.Context) error {
		_, err := l.change(ctx, "submission", id, func(t task.Task) (Change, error) {
			d, err := t.Apply(task.Refused{
				Attempt: id, Unsent: true, Delay: requeueDelay, Message: "not sent, because it could not be recorded: the storage " + l.records.Cause(cause),
			})
			return Change{Decision: d}, err
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("settle attempt %s, which was not recorded: %w", id, err)
	}
	return nil
}

// withdrawRecord notes in the record of a send, if it is there, that the request did not leave. If that fails, the task takes the record
// for a send of unknown outcome.
func (l *Lifecycle) withdrawRecord(ctx context.Context, mine SendRecord) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outcomeTimeout)
	defer cancel()
	if found, err := l.records.Record(ctx, mine); err == nil && found != nil && found.Nonce == mine.Nonce {
		mine.Unsent = true
		_ = l.records.ReplaceRecord(ctx, mine)
	}
}

// takeOver lets an attempt take the place of one that was sent before and that the database has forgotten.
func (l *Lifecycle) takeOver(ctx context.Context, id task.AttemptID, r SendRecord) error {
	in := l.takenOver(id, r)
	err := l.persist(ctx, func(ctx context.Context) error {
		_, err := l.change(ctx, "record", id, func(t task.Task) (Change, error) {
			d, err := t.Apply(in)
			return Change{Decision: d}, err
		})
		if errors.Is(err, ErrProviderTaskTaken) && in.Outcome != task.OutcomePending { // Another attempt of the database has it.
			in.Outcome, in.ProviderTaskID = task.OutcomePending, ""
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("take over attempt %d of task %s, which was sent before: %w", r.Number, r.Task, err)
	}
	return nil
}

// SettleRecord lets a task that would be sent again take over a send that the database has forgotten, and the ones before it, in their
// order. It changes nothing if the task is not there, if it knows the send, or if it would not be sent by itself. A record of a lost task
// that requested something else under the same request id then stands for no send, as when the task is sent.
func (l *Lifecycle) SettleRecord(ctx context.Context, r SendRecord) error {
	for settled := 0; ; {
		next, err := l.nextRecord(ctx, r)
		if err != nil {
			return fmt.Errorf("take over attempt %d of request %q of tenant %s: %w", r.Number, r.RequestID, r.Tenant, err)
		}
		if next == nil || next.Number <= settled {
			return nil
		}
		settled = next.Number
		if err := l.settleRecord(ctx, *next); err != nil {
			return fmt.Errorf("take over attempt %d of request %q of tenant %s: %w", next.Number, r.RequestID, r.Tenant, err)
		}
	}
}

// nextRecord returns the record that the task of a record takes over next: the one of its next send, or the given one if that one has
// none, because its process died before it was recorded. It returns nil if the task would not be sent, or knows the given send.
func (l *Lifecycle) nextRecord(ctx context.Context, r SendRecord) (*SendRecord, error) {
	t, err := l.store.TaskByRequest(ctx, r.Tenant, r.RequestID)
	if errors.Is(err, ErrTaskNotFound) {
		return nil, nil //nolint:nilnil // It is lost.
	}
	if err != nil {
		return nil, err
	}
	like := r
	if id := unsentAttempt(t); id != "" {
		like.Number = t.SendNumber(id)
	}
	if unsentAttempt(t) == "" || like.Number > r.Number || r.Unsent {
		return nil, nil //nolint:nilnil // There is nothing to take over.
	}
	if like.Number == r.Number {
		return &r, nil
	}
	found, err := l.records.Record(ctx, like)
	if err != nil {
		return nil, err
	}
	if found == nil || found.Unsent || found.ofOtherWork(SendRecord{Task: t.ID, Work: digest(t.Spec)}) {
		return &r, nil
	}
	found.Tenant, found.RequestID, found.Number = like.Tenant, like.RequestID, like.Number // One that can't be read has none of them.
	return found, nil
}

// settleRecord lets the task of a record take it over, if its next send is not a later one.
func (l *Lifecycle) settleRecord(ctx context.Context, r SendRecord) error {
	t, err := l.store.TaskByRequest(ctx, r.Tenant, r.RequestID)
	if errors.Is(err, ErrTaskNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.ofOtherWork(SendRecord{Task: t.ID, Work: digest(t.Spec)}) {
		r.Unsent = true
		return l.records.ReplaceRecord(ctx, r)
	}
	changed := false
	t, err = l.store.ChangeAnyTask(ctx, t.ID, func(t task.Task) (Change, error) {
		id := unsentAttempt(t)
		if id == "" || t.SendNumber(id) > r.Number {
			return Change{Decision: task.Decision{Task: t}}, nil
		}
		d, err := t.Apply(l.takenOver(id, r))
		changed = d.Changed
		return Change{Decision: d}, err
	})
	if err != nil {
		return err
	}
	if changed {
		l.changed(t.ID, t.State)
	}
	return nil
}

// unsentAttempt returns the id of the attempt that a task would send next, or empty if it would send none.
func unsentAttempt(t task.Task) task.AttemptID {
	switch a := t.Attempt(); {
	case t.State == task.Queued:
		return task.NewAttemptID(t.ID, len(t.Attempts)+1)
	case t.State == task.Submitting && a.State == task.AttemptSubmitting && !a.Sent:
		return a.ID
	default:
		return ""
	}
}

// settleByRecord settles an attempt of unknown outcome by its record, and reports whether the record had the answer: the process that sent
// it may have recorded the answer, and could not commit it.
func (l *Lifecycle) settleByRecord(ctx context.Context, id task.AttemptID) (settled bool, err error) {
	var t task.Task
	_, err = l.store.ChangeByAttempt(ctx, id, func(current task.Task) (Change, error) {
		t = current
		return Change{Decision: task.Decision{Task: current}}, nil
	})
	if err != nil {
		return false, fmt.Errorf("read the record of attempt %s: %w", id, err)
	}
	a := t.AttemptByID(id)
	if a.State != task.AttemptUnconfirmed || a.ProviderTaskID != "" {
		return false, nil
	}
	reading, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	found, err := l.records.Record(reading, newRecord(t, *a, l.now()))
	if err != nil || found == nil || found.Outcome == task.OutcomePending || found.Unsent {
		return false, nil //nolint:nilerr // The callback decides, as without a record.
	}
	return true, l.takeOver(ctx, id, *found)
}

// takenOver returns the input with which an attempt takes over a send.
func (l *Lifecycle) takenOver(id task.AttemptID, r SendRecord) task.TakenOver {
	wait := waitForCallback(l.capabilities(r.Account))
	if since := l.now().Sub(r.SendTime); since < arriveWithin+outcomeTimeout {
		wait = min(wait, arriveWithin+outcomeTimeout) // The process that sent it may be about to record the answer.
	}
	return task.TakenOver{
		Attempt: id, Provider: r.Provider, Account: r.Account, Remote: r.Remote, Handle: r.Handle, Outcome: r.Outcome,
		ProviderTaskID: r.ProviderTaskID, Message: r.Message, CheckAfter: wait,
	}
}
