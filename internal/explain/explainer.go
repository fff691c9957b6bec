package explain

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/task"
)

// Caller is who asks. An operator may ask about the tasks of all tenants.
type Caller struct {
	Tenant   string
	Operator bool
}

// Store reads what is stored about tasks.
type Store interface {
	// TaskRecord returns what is stored about a task that the caller may see, or lifecycle.ErrTaskNotFound.
	TaskRecord(ctx context.Context, c Caller, id task.ID) (Record, error)
	// LongInState returns tasks that have been in a state for as long as its bound or longer, the longest first, at most limit.
	LongInState(ctx context.Context, bounds map[task.State]time.Duration, after Place, limit int) ([]Candidate, error)
	// TasksByID returns those of the tasks that exist, of any tenant.
	TasksByID(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
}

// Rules are the rules of the service. Package lifecycle has them.
type Rules interface {
	// Waiting returns what a task waits for, or nil.
	Waiting(ctx context.Context, t task.Task) (*task.Waiting, error)
	// PreviewRetry returns what a retry of the task would decide.
	PreviewRetry(t task.Task) (task.Decision, error)
	// UsualDurations returns how long attempts at an account usually take.
	UsualDurations(ctx context.Context, account string) (func(remote string) time.Duration, error)
	// CallsBack reports whether the provider of an account sends callbacks.
	CallsBack(account string) bool
}

// Config is what an Explainer works with.
type Config struct {
	Store   Store
	Rules   Rules
	Catalog func() *catalog.Catalog
}

// Explainer explains tasks. It may be used concurrently.
type Explainer struct {
	store   Store
	rules   Rules
	catalog func() *catalog.Catalog
}

// New returns an Explainer.
func New(cfg Config) *Explainer {
	return &Explainer{store: cfg.Store, rules: cfg.Rules, catalog: cfg.Catalog}
}

// Explain returns the story of a task, or lifecycle.ErrTaskNotFound for a task that the caller may not see.
func (x *Explainer) Explain(ctx context.Context, c Caller, id task.ID) (Explanation, error) {
	r, err := x.store.TaskRecord(ctx, c, id)
	if err != nil {
		return Explanation{}, fmt.Errorf("explain: %w", err)
	}
	o, err := x.outlook(ctx, r.Task)
	if err != nil {
		return Explanation{}, fmt.Errorf("explain task %s: %w", id, err)
	}
	e := Explanation{Next: r.next(o), TraceID: traceID(r.Task.TraceParent)}
	e.Entries, e.LeftOut = r.timeline(c.Operator)
	if r.Task.State == task.Failed || r.Task.State == task.Canceled {
		d, err := x.rules.PreviewRetry(r.Task)
		if err != nil {
			return Explanation{}, fmt.Errorf("explain task %s: %w", id, err)
		}
		e.Retry = retryAdvice(&r.Task, d, x.catalog().Offering(d.Task.Provider, d.Task.Spec.Model))
	}
	e.Task = redacted(r.Task)
	return e, nil
}

// outlook returns what the service knows about the future of a task.
func (x *Explainer) outlook(ctx context.Context, t task.Task) (outlook, error) {
	var o outlook
	var err error
	if o.waiting, err = x.waiting(ctx, t); err != nil {
		return o, err
	}
	a := t.Attempt()
	if t.State != task.Running || a == nil {
		return o, nil
	}
	usual, err := x.rules.UsualDurations(ctx, a.Account)
	if err != nil {
		return o, err
	}
	o.callsBack, o.usual = x.rules.CallsBack(a.Account), usual(a.Remote)
	return o, nil
}

// Waiting returns what tasks wait for, without web addresses. Tasks that do not wait or do not exist are left out.
func (x *Explainer) Waiting(ctx context.Context, ids []task.ID) (map[task.ID]*task.Waiting, error) {
	if len(ids) == 0 {
		return nil, nil //nolint:nilnil // A nil map has no tasks.
	}
	tasks, err := x.store.TasksByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read what tasks wait for: %w", err)
	}
	causes := make(map[task.ID]*task.Waiting, len(tasks))
	for id, t := range tasks {
		if causes[id], err = x.waiting(ctx, t); err != nil {
			return nil, fmt.Errorf("read what task %s waits for: %w", id, err)
		}
	}
	return causes, nil
}

// waiting returns what a task waits for, without web addresses.
func (x *Explainer) waiting(ctx context.Context, t task.Task) (*task.Waiting, error) {
	w, err := x.rules.Waiting(ctx, t)
	if err != nil || w == nil {
		return nil, err
	}
	shown := *w
	shown.Message = redact.Words(shown.Message)
	return &shown, nil
}

// redacted returns a task whose web addresses have their hosts only.
func redacted(t task.Task) task.Task {
	t.Spec.SourceURI, t.Spec.FirstFrameURI, t.Spec.WebhookURI = redact.Words(t.Spec.SourceURI), redact.Words(t.Spec.FirstFrameURI), redact.Words(t.Spec.WebhookURI)
	if t.Failure != nil {
		f := *t.Failure
		f.Message = redact.Words(f.Message)
		t.Failure = &f
	}
	return t
}

// traceParent is a trace context: version, trace id, span id and flags.
var traceParent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}`)

// traceID returns the id of a trace, or nothing if the context has none.
func traceID(parent string) string {
	m := traceParent.FindStringSubmatch(parent)
	if m == nil {
		return ""
	}
	return m[1]
}
