package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/task"
)

// writes are the rows of a set of changes: one statement for each kind of row, however many changes there are.
// The rows of a kind are one JSON array, which keeps the columns of a row together here and in the statement,
// and which has lists and bytes like everything else.
type writes struct {
	changes []changeWritten

	tasks       []taskUpdate
	events      []eventInsert
	newAttempts []attemptInsert
	attempts    []attemptUpdate
	checks      []checkUpdate
	asked       []task.AttemptID // The attempts that operators want checked.
	outputs     []outputInsert
	callbacks   []callbackInsert
	intake      []int64 // The rows of the intake that the callbacks leave.
	accounts    []accountUpdate
	offerings   []lifecycle.OfferingUpdate
	deferred    []deferredTask

	effects
}

// effects are what follows a commit.
type effects struct {
	jobs       []task.Job       // To wake their workers.
	deliveries int              // How many webhook deliveries were written.
	stays      []lifecycle.Stay // In states that tasks have left.
}

// add adds the effects of a part of the same transaction.
func (e *effects) add(part effects) {
	e.jobs, e.deliveries, e.stays = append(e.jobs, part.jobs...), e.deliveries+part.deliveries, append(e.stays, part.stays...)
}

// changeWritten is a change, with what its task lacks until the database returns the time.
type changeWritten struct {
	lifecycle.Change

	request  int // The index of the request that it answers.
	attempts int // How many attempts the task had before,
	state    task.State
	provider string // and where it was.
}

// add adds the rows of a change to a task.
func (w *writes) add(request int, before *task.Task, c lifecycle.Change) {
	if c.Changed {
		w.addDecision(before, &c.Decision)
		if c.Check != "" {
			w.checks = append(w.checks, checkUpdate{c.Check, c.CheckDelay.Seconds(), c.Callback != nil})
		}
	}
	if cb := c.Callback; cb != nil {
		w.addCallback(cb)
	}
	w.accounts = append(w.accounts, accountUpdates(c)...)
	if c.Offering != nil {
		w.offerings = append(w.offerings, *c.Offering)
	}
	if c.Prepare != nil {
		w.deferred = append(w.deferred, deferredTask{c.Task.ID, *c.Prepare})
	}
	if c.Asked {
		w.asked = append(w.asked, c.Check)
	}
	w.jobs = append(w.jobs, c.Jobs...)
	w.changes = append(w.changes, changeWritten{Change: c, request: request, attempts: len(before.Attempts), state: before.State, provider: before.Provider})
}

func (w *writes) addCallback(c *lifecycle.Callback) {
	row := callbackInsert{Attempt: c.AttemptID, Account: c.Account, ProviderTaskID: c.ProviderTaskID, Verdict: c.Verdict, Body: c.Body}
	if c.Intake != nil {
		row.ReceiveTime = &c.Intake.ReceiveTime
		w.intake = append(w.intake, c.Intake.ID)
	}
	w.callbacks = append(w.callbacks, row)
}

func (w *writes) addDecision(before *task.Task, d *task.Decision) {
	t := &d.Task
	u := taskUpdate{
		ID: t.ID, State: t.State, Revision: t.Revision, Allowance: t.Allowance, Provider: t.Provider,
		Requeue: d.RequeueDelay.Seconds(), Event: d.Event != nil, Renew: d.RenewDeadline,
	}
	if t.Result != "" {
		u.Result = &t.Result
	}
	if f := t.Failure; f != nil {
		u.failure = failure{&f.Reason, &f.Message, &f.Payment}
	}
	w.tasks = append(w.tasks, u)
	if e := d.Event; e != nil {
		w.events = append(w.events, eventInsert{t.ID, e.Revision, e.State, e.Attempt, e.Message, t.Tenant, u.failure})
	}
	w.addAttempts(before, d)
	for _, o := range d.Outputs {
		w.outputs = append(w.outputs, outputInsert{
			d.OutputsOf, o.Index, o.Key, o.ContentType, o.SizeBytes, o.SHA256,
			o.Duration.Milliseconds(), o.Width, o.Height, o.VideoCodec,
		})
	}
}

// addAttempts adds the attempts that differ from before. Attempts are only ever added at the end.
func (w *writes) addAttempts(before *task.Task, d *task.Decision) {
	t := &d.Task
	for i, a := range t.Attempts {
		switch {
		case i >= len(before.Attempts):
			w.newAttempts = append(w.newAttempts, attemptInsert{a.ID, t.ID, a.Number, a.Provider, a.Account, task.AttemptSubmitting})
			if !a.Sent {
				continue
			}
			fallthrough // It takes the place of a forgotten one, so it has more than a new one.
		case a != before.Attempts[i]:
			w.attempts = append(w.attempts, attemptUpdate{
				a.ID, a.Provider, a.Account, a.ProviderTaskID, a.HintedTaskID, a.Remote, a.Handle, a.State, a.Sent, a.Saved, a.Blame, a.Message,
				a.Cost.Amount, a.Cost.Unit, d.InTransit.Seconds(),
			})
		}
	}
}

// flush writes everything but the jobs in one round trip, the provider accounts last but for preparations, then does what
// a function queues, and puts the times into the changed tasks.
func (w *writes) flush(ctx context.Context, tx pgx.Tx, then func(*pgx.Batch)) error {
	var now time.Time
	var batch pgx.Batch
	batch.Queue(`SELECT now()`).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	queueRows(&batch, updateTasks, w.tasks)
	if len(w.events) > 0 {
		batch.Queue(insertEvents, w.events).QueryRow(func(row pgx.Row) error { return row.Scan(&w.deliveries) })
	}
	queueRows(&batch, insertAttempts, w.newAttempts)
	queueRows(&batch, updateAttempts, w.attempts)
	queueRows(&batch, scheduleChecks, w.checks)
	if len(w.asked) > 0 {
		batch.Queue(markAsked, w.asked)
	}
	queueRows(&batch, insertOutputs, w.outputs)
	queueRows(&batch, insertCallbacks, w.callbacks)
	if len(w.intake) > 0 {
		batch.Queue(inbox.RemoveFromIntake, w.intake)
	}
	queueAccounts(&batch, w.accounts)
	queueOfferings(&batch, w.offerings)
	queueDeferred(&batch, w.deferred)
	then(&batch)
	if batch.Len() == 1 {
		return nil // Nothing changed.
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	for i := range w.changes {
		if stay, ended := w.changes[i].stay(now); ended {
			w.stays = append(w.stays, stay)
		}
		w.changes[i].stamp(now)
	}
	return nil
}

// changed returns the tasks that changed.
func (w *writes) changed() []task.Task {
	var changed []task.Task
	for _, c := range w.changes {
		if c.Changed {
			changed = append(changed, c.Task)
		}
	}
	return changed
}

func queueRows[Row any](batch *pgx.Batch, statement string, rows []Row) {
	if len(rows) > 0 {
		batch.Queue(statement, rows)
	}
}

// stay returns the stay that a change has ended, if any. It precedes stamp.
func (c *changeWritten) stay(now time.Time) (lifecycle.Stay, bool) {
	if !c.Changed || c.Event == nil || c.state.Terminal() {
		return lifecycle.Stay{}, false
	}
	return lifecycle.Stay{State: c.state, Provider: c.provider, Duration: now.Sub(c.Task.UpdateTime)}, true
}

// stamp gives the task the times that its rows have: all that is written in a transaction happens at one moment.
func (c *changeWritten) stamp(now time.Time) {
	if !c.Changed {
		return
	}
	t := &c.Task
	if c.Event != nil {
		t.UpdateTime = now
	}
	if c.RenewDeadline {
		t.DeadlineTime = now.Add(t.Spec.Deadline)
	}
	for i := c.attempts; i < len(t.Attempts); i++ {
		t.Attempts[i].CreateTime = now
	}
}
