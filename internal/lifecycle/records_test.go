package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// shelf keeps records in memory. It is a small stand-in for the bucket, which can fail. *fence.Fence passes the tests of
// internal/fence, and the end-to-end tests of promise 18.
type shelf struct {
	mu      sync.Mutex
	records map[place]lifecycle.SendRecord
	full    bool
}

type place struct {
	tenant, request string
	number          int
}

func placeOf(r lifecycle.SendRecord) place { return place{r.Tenant, r.RequestID, r.Number} }

var errFull = errors.New("full")

func (s *shelf) CreateRecord(_ context.Context, r lifecycle.SendRecord) (*lifecycle.SendRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return nil, errFull
	}
	if found, ok := s.records[placeOf(r)]; ok {
		return &found, nil
	}
	s.records[placeOf(r)] = r
	return nil, nil //nolint:nilnil // It is new.
}

func (s *shelf) ReplaceRecord(_ context.Context, r lifecycle.SendRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[placeOf(r)] = r
	return nil
}

func (s *shelf) Record(_ context.Context, like lifecycle.SendRecord) (*lifecycle.SendRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.records[placeOf(like)]; ok {
		return &found, nil
	}
	return nil, nil //nolint:nilnil // There is none.
}

func (*shelf) Cause(error) string { return "is full" }

// gate is admission, open or closed.
type gate struct{ closed string }

func (g *gate) AdmissionOpen(context.Context) (bool, error)   { return g.closed == "", nil }
func (g *gate) ClosedMessage(context.Context) (string, error) { return g.closed, nil }
func taken(context.Context, task.Task) (provider.Receipt, error) {
	return provider.Receipt{TaskID: "p1"}, nil
}

func refused(context.Context, task.Task) (provider.Receipt, error) {
	return provider.Receipt{}, errRefused
}

func unclear(context.Context, task.Task) (provider.Receipt, error) {
	return provider.Receipt{}, errors.New("reset")
}

// never fails the test when an attempt is sent.
func never(t *testing.T) lifecycle.Deliver {
	t.Helper()
	return func(context.Context, task.Task) (provider.Receipt, error) {
		t.Error("the attempt was sent")
		return provider.Receipt{TaskID: "again"}, nil
	}
}

var errRefused = &provider.Error{Class: provider.RateLimited, Op: "submit", Message: "slow down"}

// recorded is the verbs over a real store, with records and a gate.
func recorded(t *testing.T) (service, *shelf, *gate) {
	t.Helper()
	s, records, g := setup(t), &shelf{records: map[place]lifecycle.SendRecord{}}, &gate{}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: s.store.Tasks, Offerings: s.store.Offerings, Inbox: s.store.Inbox, Saves: s.store.Storage, Sources: s.store.Sources,
		Signers: s.store.Accounts, Accounts: provider.Accounts{"kie": studio{}}, Route: []string{"kie"}, CheckSource: func(string) error { return nil },
		Changed: func(task.ID, task.State) {}, Records: records, Gate: g,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Lifecycle = verbs
	return s, records, g
}

// forget sets the database back to before the newest attempt of a task was sent. queued sets it back to before it was admitted.
func (s service) forget(t *testing.T, id task.ID, queued bool) {
	t.Helper()
	if queued {
		s.exec(t, "DELETE FROM attempt WHERE task_id = $1 AND number = (SELECT max(number) FROM attempt WHERE task_id = $1)", id)
		s.exec(t, "UPDATE task SET state = 'QUEUED', not_before_time = NULL WHERE id = $1", id)
		return
	}
	s.exec(t, `UPDATE attempt SET state = 'SUBMITTING', sent = false, provider_task_id = '', answer_time = NULL, next_check_time = NULL, message = '', blame = ''
		WHERE task_id = $1 AND number = (SELECT max(number) FROM attempt WHERE task_id = $1)`, id)
	s.exec(t, "UPDATE task SET state = 'SUBMITTING' WHERE id = $1", id)
}

// readmit admits all queued tasks, whatever they or the account wait for.
func (s service) readmit(t *testing.T) {
	t.Helper()
	s.exec(t, "UPDATE task SET not_before_time = NULL")
	s.exec(t, "UPDATE provider_account SET paused_until_time = NULL, pauses = 0")
	s.admit(t)
}

// newest returns the newest attempt of a task.
func (s service) newest(t *testing.T, id task.ID) task.AttemptID {
	t.Helper()
	got := s.task(t, id)
	return got.Attempt().ID
}

// TestSend_OfWhatTheDatabaseForgotTakesOverTheFirstSend sends an attempt, sets the database back, and sends it again: as the same attempt, as
// a later one because the first was given back meanwhile, and as the task of a second submission because the first was lost.
//
// It fails when begin (internal/lifecycle/records.go) ignores the record, and when the record is named by the number of the attempt.
func TestSend_OfWhatTheDatabaseForgotTakesOverTheFirstSend(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*testing.T, service, task.Task) task.AttemptID{
		"SUBMITTING": func(t *testing.T, s service, before task.Task) task.AttemptID {
			t.Helper()
			s.forget(t, before.ID, false)
			return before.Attempt().ID
		},
		"QUEUED": func(t *testing.T, s service, before task.Task) task.AttemptID {
			t.Helper()
			s.forget(t, before.ID, true)
			s.readmit(t)
			return s.newest(t, before.ID)
		},
		"given back since": func(t *testing.T, s service, before task.Task) task.AttemptID {
			t.Helper()
			s.forget(t, before.ID, false)
			if err := s.Refuse(t.Context(), before.Attempt().ID, &provider.Error{Class: provider.NotSent, Op: "submit", Err: errors.New("no account")}); err != nil {
				t.Fatal(err)
			}
			s.readmit(t)
			return s.newest(t, before.ID)
		},
		"lost and submitted again": func(t *testing.T, s service, before task.Task) task.AttemptID {
			t.Helper()
			s.exec(t, "DELETE FROM task WHERE id = $1", before.ID)
			again, err := s.Submit(t.Context(), before.Tenant, before.RequestID, plain())
			if err != nil {
				t.Fatal(err)
			}
			s.readmit(t)
			return s.newest(t, again.ID)
		},
	} {
		for answer, tc := range map[string]struct {
			deliver     lifecycle.Deliver
			task        task.State
			wantAttempt task.AttemptState
		}{
			"accepted": {taken, task.Running, task.AttemptRunning},
			"refused":  {refused, task.Queued, task.AttemptRefused},
			"unclear":  {unclear, task.Running, task.AttemptUnconfirmed},
		} {
			t.Run(name+", "+answer, func(t *testing.T) {
				t.Parallel()
				s, _, _ := recorded(t)
				id, first := s.begin(t, plain())
				if err := s.Send(t.Context(), first, "m", tc.deliver); err != nil {
					t.Fatal(err)
				}
				second := forget(t, s, s.task(t, id))
				if err := s.Send(t.Context(), second, "m", never(t)); err != nil {
					t.Fatal(err)
				}
				of := query[task.ID](t, s, "SELECT task_id::text FROM attempt WHERE id = $1", second)
				got := s.expect(t, of, tc.task, tc.wantAttempt)
				if tc.wantAttempt == task.AttemptRunning && got.Attempt().ProviderTaskID != "p1" {
					t.Errorf("its provider task is %q, want p1", got.Attempt().ProviderTaskID)
				}
				if !got.Attempt().Sent {
					t.Error("the attempt does not count as sent")
				}
			})
		}
	}
}

// TestSend_OfOtherWorkUnderALostRequestIDIsSent submits something else under the request id of a task that was lost.
func TestSend_OfOtherWorkUnderALostRequestIDIsSent(t *testing.T) {
	t.Parallel()
	s, _, _ := recorded(t)
	id, first := s.begin(t, plain())
	if err := s.Send(t.Context(), first, "m", taken); err != nil {
		t.Fatal(err)
	}
	lost := s.task(t, id)
	s.exec(t, "DELETE FROM task WHERE id = $1", id)
	other := plain()
	other.Prompt = "make it rain"
	again, err := s.Submit(t.Context(), lost.Tenant, lost.RequestID, other)
	if err != nil {
		t.Fatal(err)
	}
	s.admit(t)
	sent := false
	if err := s.Send(t.Context(), s.newest(t, again.ID), "m", func(context.Context, task.Task) (provider.Receipt, error) {
		sent = true
		return provider.Receipt{TaskID: "p2"}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if !sent {
		t.Error("it was not sent")
	}
}

// TestSend_WithoutARecordNothingLeaves has a full storage, and then room.
//
// It fails when Send (internal/lifecycle/send.go) goes on after an error of begin.
func TestSend_WithoutARecordNothingLeaves(t *testing.T) {
	t.Parallel()
	s, records, _ := recorded(t)
	id, first := s.begin(t, plain())
	records.full = true
	if err := s.Send(t.Context(), first, "m", never(t)); err != nil {
		t.Fatal(err)
	}
	got := s.expect(t, id, task.Queued, task.AttemptRefused)
	if got.Attempt().Sent {
		t.Error("the attempt counts as sent")
	}
	records.full = false
	s.exec(t, "UPDATE task SET not_before_time = NULL")
	s.admit(t)
	if err := s.Send(t.Context(), s.newest(t, id), "m", taken); err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptRunning)
	if r := records.records[place{got.Tenant, got.RequestID, 1}]; r.ProviderTaskID != "p1" || r.Outcome != task.OutcomeAccepted {
		t.Errorf("the record is %+v, want the answer in it", r)
	}
}

// TestSend_WhileAdmissionIsClosedGivesBack closes admission between admission and send.
//
// It fails when Send (internal/lifecycle/send.go) does not ask the gate.
func TestSend_WhileAdmissionIsClosedGivesBack(t *testing.T) {
	t.Parallel()
	s, records, g := recorded(t)
	id, attempt := s.begin(t, plain())
	g.closed = "maintenance"
	if err := s.Send(t.Context(), attempt, "m", never(t)); err != nil {
		t.Fatal(err)
	}
	got := s.expect(t, id, task.Queued, task.AttemptRefused)
	s.admit(t)
	s.expect(t, id, task.Queued, task.AttemptRefused)
	if w, err := s.Waiting(t.Context(), got); err != nil || w.Cause != task.WaitAdmissionClosed {
		t.Errorf("the task waits for %+v, %v; want admission", w, err)
	}
	if len(records.records) != 0 {
		t.Errorf("%d sends are recorded", len(records.records))
	}
	// A replica of a release that knows no gate would admit the task, and this one give it back, as fast as they can.
	if !postgrestest.Value[bool](t, s.pool, "SELECT not_before_time > update_time FROM task WHERE id = $1", id) {
		t.Error("the task may be admitted at once")
	}
}

// TestSettleRecord_TakesOverWithoutASend settles a record of a task that is QUEUED, and of one that is SUBMITTING.
func TestSettleRecord_TakesOverWithoutASend(t *testing.T) {
	t.Parallel()
	for name, queued := range map[string]bool{"QUEUED": true, "SUBMITTING": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, records, g := recorded(t)
			id, first := s.begin(t, plain())
			if err := s.Send(t.Context(), first, "m", taken); err != nil {
				t.Fatal(err)
			}
			before := s.task(t, id)
			s.forget(t, id, queued)
			g.closed = "set back"
			r := records.records[place{before.Tenant, before.RequestID, 1}]
			for range 2 { // The second changes nothing.
				if err := s.SettleRecord(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				got := s.expect(t, id, task.Running, task.AttemptRunning)
				if a := got.Attempt(); a.ID != first || a.ProviderTaskID != "p1" || !a.Sent || a.Account != "kie" || a.Remote != "m" {
					t.Errorf("the attempt is %+v, want the one that was sent", a)
				}
			}
			if checks := s.checks(t); len(checks) != 1 || checks[0].ProviderTaskID != "p1" {
				t.Errorf("the checks are %+v, want one about p1", checks)
			}
		})
	}
}

// TestSettleCheck_OfAnUnknownOutcomeReadsItsRecord has a process that recorded the answer and could not commit it.
func TestSettleCheck_OfAnUnknownOutcomeReadsItsRecord(t *testing.T) {
	t.Parallel()
	s, records, _ := recorded(t)
	id, attempt := s.begin(t, plain())
	if err := s.Send(t.Context(), attempt, "m", unclear); err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Running, task.AttemptUnconfirmed)
	for p, r := range records.records {
		r.Outcome, r.ProviderTaskID = task.OutcomeAccepted, "p1"
		records.records[p] = r
	}
	s.check(t, provider.Status{}, nil)
	if got := s.expect(t, id, task.Running, task.AttemptRunning); got.Attempt().ProviderTaskID != "p1" {
		t.Errorf("its provider task is %q, want p1", got.Attempt().ProviderTaskID)
	}
}

// TestSettleRecord_TakesOverWhatWasSentBefore settles the record of the second send of a task of which the database has forgotten both. The
// bucket lists the records of a task in another order than that of the sends.
//
// It fails when nextRecord (internal/lifecycle/records.go) returns nil for a record that is not of the next send.
func TestSettleRecord_TakesOverWhatWasSentBefore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lost bool // Whether the first send has no record.
		want []task.AttemptState
	}{
		"all recorded":                    {want: []task.AttemptState{task.AttemptRefused, task.AttemptRunning}},
		"the record of the first is lost": {lost: true, want: []task.AttemptState{task.AttemptRunning}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, records, _ := recorded(t)
			id, first := s.begin(t, plain())
			if err := s.Send(t.Context(), first, "m", refused); err != nil {
				t.Fatal(err)
			}
			s.readmit(t)
			if err := s.Send(t.Context(), s.newest(t, id), "m", taken); err != nil {
				t.Fatal(err)
			}
			before := s.expect(t, id, task.Running, task.AttemptRunning)
			s.forget(t, id, true)
			s.forget(t, id, true)
			if tc.lost {
				delete(records.records, place{before.Tenant, before.RequestID, 1})
			}
			if err := s.SettleRecord(t.Context(), records.records[place{before.Tenant, before.RequestID, 2}]); err != nil {
				t.Fatal(err)
			}
			got := s.expect(t, id, task.Running, task.AttemptRunning)
			var states []task.AttemptState
			for _, a := range got.Attempts {
				states = append(states, a.State)
			}
			if !slices.Equal(states, tc.want) || got.Attempt().ProviderTaskID != "p1" {
				t.Errorf("the attempts are %v, the last one of provider task %q; want %v and p1", states, got.Attempt().ProviderTaskID, tc.want)
			}
		})
	}
}

// TestSettleRecord_OfOtherWorkLetsAdmissionOpen settles the record of a lost task after something else was submitted under its request id.
//
// It fails when settleRecord (internal/lifecycle/records.go) leaves the record as it is: the task then looks like one that is not settled.
func TestSettleRecord_OfOtherWorkLetsAdmissionOpen(t *testing.T) {
	t.Parallel()
	s, records, _ := recorded(t)
	id, first := s.begin(t, plain())
	if err := s.Send(t.Context(), first, "m", taken); err != nil {
		t.Fatal(err)
	}
	lost := s.task(t, id)
	s.exec(t, "DELETE FROM task WHERE id = $1", id)
	other := plain()
	other.Prompt = "make it rain"
	again, err := s.Submit(t.Context(), lost.Tenant, lost.RequestID, other)
	if err != nil {
		t.Fatal(err)
	}
	at := place{lost.Tenant, lost.RequestID, 1}
	if err := s.SettleRecord(t.Context(), records.records[at]); err != nil {
		t.Fatal(err)
	}
	if got := s.task(t, again.ID); got.State != task.Queued || !records.records[at].Unsent {
		t.Errorf("the task is %s, and the record is %+v; want QUEUED, and one that stands for no send", got.State, records.records[at])
	}
}

// TestSend_OfAnotherProcessIsRecordedWhenItIsSettled has a process that died before it recorded its send, and one that was suspended there.
//
// It fails when settleStopped (internal/lifecycle/send.go) reads the record, and makes none.
func TestSend_OfAnotherProcessIsRecordedWhenItIsSettled(t *testing.T) {
	t.Parallel()
	s, records, _ := recorded(t)
	id, attempt := s.begin(t, plain())
	s.exec(t, "UPDATE attempt SET sent = true WHERE id = $1", attempt)
	if err := s.Send(t.Context(), attempt, "m", never(t)); err != nil {
		t.Fatal(err)
	}
	got := s.expect(t, id, task.Running, task.AttemptUnconfirmed)
	if r, ok := records.records[place{got.Tenant, got.RequestID, 1}]; !ok || r.Attempt != attempt || r.Outcome != task.OutcomePending {
		t.Errorf("the record is %+v, there: %t; want one of a send of unknown outcome", r, ok)
	}
	s.forget(t, id, false) // The suspended process continues, as one that sees the database as it was.
	if err := s.Send(t.Context(), attempt, "m", never(t)); err != nil {
		t.Fatal(err)
	}
}
