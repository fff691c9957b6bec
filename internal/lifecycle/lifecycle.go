// Package lifecycle holds the verbs of Refract: Submit, Admit, Send, Settle, Cancel, Retry, Expire, and the operator's Replay and
// Check. No other package starts a change of a task.
//
// Every verb has the same shape: the store locks the task and gives it to a decision, package task decides, and the store commits
// the decision as a whole: task, attempt, event, callback and jobs. Nothing has an effect before the commit. Watchers are notified
// after it.
//
// When the database fails, the verb fails and nothing has happened. Its caller calls again: the client of the API, the job queue,
// the provider with its next callback, or the next check.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// The errors of the verbs, in addition to those of package task.
var (
	// ErrTaskNotFound means that the tenant has no such task.
	ErrTaskNotFound = errors.New("no such task")
	// ErrAttemptNotFound means that there is no such attempt.
	ErrAttemptNotFound = errors.New("no such attempt")
	// ErrProviderTaskTaken means that a change gives an attempt the provider task of another one.
	ErrProviderTaskTaken = errors.New("the provider task belongs to another attempt")
	// ErrUnprepared means that an attempt is to be sent whose source was not prepared.
	ErrUnprepared = errors.New("its source was not prepared")
)

// TaskError says which task an error is about, with the facts that clients get.
type TaskError struct {
	Task  task.ID
	State task.State // Empty where the task was not found.
	Err   error
}

// Error names the task and what is wrong.
func (e *TaskError) Error() string { return fmt.Sprintf("task %s: %v", e.Task, e.Err) }

// Unwrap returns what is wrong.
func (e *TaskError) Unwrap() error { return e.Err }

// FieldError says what is wrong with one field of a request, in words for the caller.
type FieldError struct {
	Field   string // As the contract spells it, for example "source.uri".
	Message string
	Others  []FieldError // What else is wrong, at most 20.
}

// Error names the field and what is wrong with it.
func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// ConflictError says that a request id was used before with another payload.
type ConflictError struct {
	TaskID task.ID  // The task that the request id belongs to.
	Fields []string // The fields that differ, as the contract spells them.
}

// Error names the task and the fields.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("request_id belongs to task %s, which differs in %v", e.TaskID, e.Fields)
}

// Change is what the store commits for a task, as a whole or not at all.
type Change struct {
	task.Decision
	Callback *Callback           // A callback to append to the inbox.
	Pause    *Pause              // A pause of the provider account.
	Prepare  *source.Preparation // A preparation that keeps the task, which is QUEUED, from admission until it ends.
	Resume   *Resume             // The end of the probing of a provider account, which works.
	Offering *OfferingUpdate     // What an answer shows about the offering of the task.
	Asked    bool                // Whether an operator asked for the decision's check.
}

// Pause stops admission to a provider account for a time. Afterwards single attempts probe the account, until it accepts one.
type Pause struct {
	Account string
	Reason  string
	For     time.Duration // How long the first pause in a row lasts. Each further one lasts twice as long as the one before,
	Max     time.Duration // up to this.
	Asked   time.Duration // How long the provider asked us to wait, which may be more; 0 if it did not ask.
	Blocks  bool          // Whether the account can't submit at all, so that tasks may move on to another provider.
	Met     time.Time     // When the attempt that met the trouble was admitted; zero means now.
	After   int           // How many unknown outcomes in a row pause the account, or one while it is probed; 0 if the outcome is known.
}

// Doubted reports whether the task that met the trouble may be its cause. Then a task of another tenant probes at once. A rate
// limit and an unreachable network are the same for all tasks.
func (p Pause) Doubted() bool { return p.Blocks || p.After > 0 }

// Resume ends the probing of a provider account and its row of unknown outcomes.
type Resume struct {
	Account  string
	Admitted time.Time // When the attempt was admitted that the provider accepted.
}

// OfferingUpdate is what the answer to a submission shows about an offering: the provider does not have the model, or it does.
type OfferingUpdate struct {
	Provider string
	Model    string    // By our name.
	Admitted time.Time // When the attempt was admitted that got the answer.
	Close    *Closing  // Nil if the provider accepted the attempt, which opens the offering.
}

// Closing closes an offering.
type Closing struct {
	Reason string
	For    time.Duration // How long it is until the first probe. Each further one follows after twice as long as the one before,
	Max    time.Duration // up to this.
}

// Decide decides on a task that the store has locked. The store may call it again when a transaction could not be committed, so it
// must have no other effect.
//
// NOTE: the store may call it in another goroutine, and even after the context of the call has ended. Variables that it sets may be
// read only when the call of the store returned no error, or an error of Decide.
type Decide func(task.Task) (Change, error)

// NewTask is the result of storing a new task.
type NewTask struct {
	Task task.Task // The task of the request id.
	New  bool      // Whether this call made it.
	Err  error
}

// Store keeps tasks. A decision that is not Changed and carries nothing else is not written. A change that gives an
// attempt the provider task of another one is refused with ErrProviderTaskTaken.
type Store interface {
	// CreateTasks stores new tasks and returns a result for each: the known task if the tenant has used the request id before, or
	// an error if it has used up a quota. A task that can't be stored does not affect the others.
	CreateTasks(ctx context.Context, ds []task.Decision) []NewTask
	// TaskByRequest returns the task of a request id, or ErrTaskNotFound.
	TaskByRequest(ctx context.Context, tenant, requestID string) (task.Task, error)
	// ChangeTask changes a tenant's task, or returns ErrTaskNotFound.
	ChangeTask(ctx context.Context, tenant string, id task.ID, decide Decide) (task.Task, error)
	// ChangeByAttempt changes the task that an attempt belongs to, or returns ErrAttemptNotFound.
	ChangeByAttempt(ctx context.Context, id task.AttemptID, decide Decide) (task.Task, error)
	// AdmitTasks locks accounts, and changes the tasks that the rules of package admission choose. It leaves out accounts that
	// another replica has locked.
	AdmitTasks(ctx context.Context, r admission.Round) ([]task.Task, error)
	// HoldClosed keeps some tasks of the closed offerings of a round from admission until they open, and returns how many.
	HoldClosed(ctx context.Context, r admission.Round) (int, error)
	// MoveClosed moves held tasks of the closed offerings of a round to the next provider of their route, at most admission.MaxTasks.
	MoveClosed(ctx context.Context, r admission.Round) ([]task.Task, error)
	// ReleaseHeld lets admission have some of the tasks again that an open offering of the round's provider held, and returns how many.
	// When there is none, the closure ends.
	ReleaseHeld(ctx context.Context, r admission.Round, o admission.Offering) (int, error)
	// QueuePosition returns what a QUEUED task waits behind. limits are the configured limits of its provider's accounts.
	QueuePosition(ctx context.Context, t task.Task, limits admission.AccountLimits) (admission.QueuePosition, error)
	// ClaimChecks returns attempts of an account whose check is due, and makes each due again by the cadence.
	ClaimChecks(ctx context.Context, account string, c Cadence, limit int) ([]Check, error)
	// RefusalHistory returns how the account of an attempt answered the attempt's task before, and other tasks since, or
	// ErrAttemptNotFound. It counts refusals because the account is blocked. With chance it also counts those that any task can meet.
	RefusalHistory(ctx context.Context, id task.AttemptID, chance bool) (task.RefusalHistory, error)
	// TypicalDurations returns how long recent attempts of an account took, by the remote name of their model. It lacks models of
	// which too few are known.
	TypicalDurations(ctx context.Context, account string) (map[string]time.Duration, error)
	// ChangeAnyTask changes a task of any tenant, or returns ErrTaskNotFound.
	ChangeAnyTask(ctx context.Context, id task.ID, decide Decide) (task.Task, error)
	// OverdueTasks returns tasks whose deadline has passed.
	OverdueTasks(ctx context.Context, limit int) ([]Overdue, error)
	// ReleaseTasks makes tasks that waited for a preparation eligible for admission, except those that changed since or are locked.
	ReleaseTasks(ctx context.Context, waiters []source.Waiter) error
}

// Sources has the sources that tenants uploaded.
type Sources interface {
	// UseSource records that a tenant's source is in use, or returns source.ErrNotFound.
	UseSource(ctx context.Context, tenant string, id task.SourceID) error
}

// Offerings has the offerings that are closed.
type Offerings interface {
	Closures(ctx context.Context) ([]admission.Closure, error)
	// CloseOffering closes an offering until an operator opens it.
	CloseOffering(ctx context.Context, provider, model, reason string) error
	// OpenOffering opens an offering, whatever closed it.
	OpenOffering(ctx context.Context, provider, model string) error
}

// Inbox keeps callbacks that were refused.
type Inbox interface {
	// KeepCallback appends a refused callback to the inbox unless it holds limit of them for the attempt,
	// or returns ErrAttemptNotFound.
	KeepCallback(ctx context.Context, c Callback, limit int) error
}

// Saves has what failed when outputs were saved.
type Saves interface {
	// SaveTrouble returns why the outputs of an attempt are not saved, as noted since a time; the zero value where no try
	// failed. storage is why results can't be stored at any replica; empty where they can.
	SaveTrouble(ctx context.Context, id task.AttemptID, since time.Time) (trouble task.SaveTrouble, storage string, err error)
}

// Config is what the verbs need to know.
type Config struct {
	Store     Store
	Offerings Offerings // Nil means that no offering can be closed.
	Inbox     Inbox
	Saves     Saves
	Sources   Sources
	Signers   Signers // Used where callbacks name who signed them.
	Accounts  provider.Accounts
	Catalog   func() *catalog.Catalog // The models, which may change while the service runs; nil means the built-in ones.
	Route     []string                // The providers of tasks that name neither provider nor model, in the order in which they are tried.
	Gate      Gate                    // Nil means that admission is always open.
	Records   SendRecords             // Nil means that no send is recorded.
	// CheckSource refuses the URI of a source, in words for the caller. It must not touch the network.
	CheckSource func(uri string) error
	// CheckWebhook does the same for the URI that receives the events of a task; nil means CheckSource.
	CheckWebhook func(uri string) error
	Meter        metric.Meter // Nil means the process's own.
	// Now returns the time that all replicas agree on, for ids; nil means this machine's.
	Now func() time.Time
	// Changed is called for every task that changed, after the commit. It must not block.
	Changed func(task.ID, task.State)
}

// Lifecycle offers the verbs. They may be called concurrently.
type Lifecycle struct {
	store        Store
	closures     *closures
	inbox        Inbox
	saves        Saves
	sources      Sources
	accounts     provider.Accounts
	catalog      func() *catalog.Catalog
	now          func() time.Time
	known        []string // The providers that have an account.
	defaults     []string
	checkSource  func(string) error
	checkWebhook func(string) error
	changed      func(task.ID, task.State)
	verdicts     metric.Int64Counter
	signers      *signers
	ids          *ids
	gate         Gate
	records      SendRecords
}

// New returns the verbs over a store and providers.
func New(cfg Config) (*Lifecycle, error) {
	if cfg.Meter == nil {
		cfg.Meter = otel.Meter("refract")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CheckWebhook == nil {
		cfg.CheckWebhook = cfg.CheckSource
	}
	if cfg.Catalog == nil {
		builtIn, err := catalog.Load()
		if err != nil {
			return nil, err
		}
		cfg.Catalog = func() *catalog.Catalog { return builtIn }
	}
	if cfg.Gate == nil {
		cfg.Gate = openGate{}
	}
	if cfg.Records == nil {
		cfg.Records = noRecords{}
	}
	verdicts, err := cfg.Meter.Int64Counter("refract_attempt_verdicts", metric.WithDescription(
		"Verdicts on attempts, by account, who brought them (submission, preparation, callback, check, operator, or save) and state: SUCCEEDED, FAILED, REFUSED, or LOST."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of verdicts: %w", err)
	}
	for account := range cfg.Accounts { // Prometheus sees an increase only of what it has seen before.
		verdicts.Add(context.Background(), 0, metric.WithAttributes(attribute.String("account", account),
			attribute.String("by", "check"), attribute.String("state", string(task.AttemptLost))))
	}
	return &Lifecycle{
		store: cfg.Store, closures: &closures{store: cfg.Offerings}, inbox: cfg.Inbox, saves: cfg.Saves, sources: cfg.Sources, accounts: cfg.Accounts, catalog: cfg.Catalog, now: cfg.Now, known: cfg.Accounts.Providers(), defaults: cfg.Route, checkSource: cfg.CheckSource,
		checkWebhook: cfg.CheckWebhook,
		changed:      cfg.Changed, verdicts: verdicts, signers: &signers{store: cfg.Signers}, ids: &ids{now: cfg.Now}, gate: cfg.Gate, records: cfg.Records,
	}, nil
}

// change applies one input to the task of an attempt, and counts what brought the attempt its verdict, so that operators see whether
// callbacks arrive.
func (l *Lifecycle) change(ctx context.Context, by string, id task.AttemptID, decide Decide) (task.Task, error) {
	start := time.Now()
	var before task.AttemptState
	var changed bool
	t, err := l.store.ChangeByAttempt(ctx, id, func(t task.Task) (Change, error) {
		before = t.AttemptByID(id).State
		c, err := decide(t)
		changed = c.Changed
		return c, err
	})
	if err != nil {
		return t, err
	}
	a := t.AttemptByID(id)
	if changed {
		trace(ctx, settleSpans[by], &t, a, start)
		l.changed(t.ID, t.State)
	}
	if a.State != before && !a.Open() {
		l.verdicts.Add(ctx, 1, metric.WithAttributes(attribute.String("account", a.Account),
			attribute.String("by", by), attribute.String("state", string(a.State))))
	}
	return t, nil
}

// capabilities returns those of an account's provider. They are zero for an account that is no longer configured, to which an attempt
// may belong.
func (l *Lifecycle) capabilities(account string) provider.Capabilities {
	if p, ok := l.accounts[account]; ok {
		return p.Capabilities()
	}
	return provider.Capabilities{}
}
