package webhooks_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/webhooks"
	"github.com/refract-video/refract/internal/task"
)

var (
	_ notify.Deliveries     = (*webhooks.Store)(nil)
	_ api.WebhookEndpoints  = (*webhooks.Store)(nil)
	_ api.WebhookDeliveries = (*webhooks.Store)(nil)
)

// TestMain asks rapid for fewer runs than its default, since each step of one is a few transactions.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		_ = f.Value.Set("12")
	}
	os.Exit(postgrestest.Main(m))
}

// fixture is a fresh database with its stores.
type fixture struct {
	*testing.T
	*webhooks.Store

	stores *postgres.Stores
	pool   *pgxpool.Pool
	wakes  chan struct{} // Gets a value for each call of Wake, up to its capacity.
}

func setup(t *testing.T) *fixture {
	t.Helper()
	pool := postgrestest.Pool(t)
	wakes := make(chan struct{}, 1000)
	wake := func() {
		select {
		case wakes <- struct{}{}:
		default:
		}
	}
	stores, err := postgres.NewStores(postgres.Config{Pool: pool, Wake: wake})
	if err != nil {
		t.Fatal(err)
	}
	if err := stores.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie": "kie"}); err != nil {
		t.Fatal(err)
	}
	return &fixture{t, stores.Webhooks, stores, pool, wakes}
}

// lease is longer than any test takes.
const lease = time.Hour

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// endpoint creates an endpoint of a tenant that receives all events, unless change changes that.
func (f *fixture) endpoint(tenant string, change func(*notify.Endpoint)) notify.Endpoint {
	f.Helper()
	e := notify.Endpoint{
		ID: notify.EndpointID(newID()), Tenant: tenant, URL: "https://example.com/hook", States: notify.Subscribable,
		Secrets: sealed,
	}
	if change != nil {
		change(&e)
	}
	created, err := f.CreateEndpoint(f.Context(), e)
	if err != nil {
		f.Fatal(err)
	}
	return created
}

// change changes an endpoint.
func (f *fixture) change(e notify.Endpoint, change func(*notify.Endpoint)) notify.Endpoint {
	f.Helper()
	changed, err := f.ChangeEndpoint(f.Context(), e.Tenant, e.ID, func(e *notify.Endpoint) error {
		change(e)
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return changed
}

// submit submits a task of a tenant.
func (f *fixture) submit(tenant string, spec task.Spec) (task.Task, error) {
	spec.Prompt, spec.SourceURI, spec.Provider, spec.Deadline, spec.MaxAttempts = "make it snow", "https://example.com/a.mp4", "kie", time.Hour, 1
	d := task.New(task.ID(newID()), tenant, newID(), spec, []string{"kie"})
	c := f.stores.Tasks.CreateTasks(f.Context(), []task.Decision{d})[0]
	return c.Task, c.Err
}

// create submits a task of a tenant: revision 1, QUEUED.
func (f *fixture) create(tenant string, spec task.Spec) task.Task {
	f.Helper()
	t, err := f.submit(tenant, spec)
	if err != nil {
		f.Fatal(err)
	}
	return t
}

// cancel ends a task: one revision more, CANCELED.
func (f *fixture) cancel(id task.ID) task.Task {
	f.Helper()
	t, err := f.stores.Tasks.ChangeAnyTask(f.Context(), id, func(t task.Task) (lifecycle.Change, error) {
		d, err := t.Apply(task.CancelRequested{})
		return lifecycle.Change{Decision: d}, err
	})
	if err != nil {
		f.Fatal(err)
	}
	return t
}

// claim claims deliveries of endpoints, up to so many of each.
func (f *fixture) claim(limit int, endpoints ...notify.Endpoint) []notify.Claimed {
	f.Helper()
	quotas := make([]notify.Quota, len(endpoints))
	for i, e := range endpoints {
		quotas[i] = notify.Quota{Endpoint: e.ID, Limit: limit}
	}
	claimed, err := f.Claim(f.Context(), quotas, lease)
	if err != nil {
		f.Fatal(err)
	}
	return claimed
}

// finish stores the same result for claimed deliveries, and returns the endpoints that this disabled.
func (f *fixture) finish(claimed []notify.Claimed, r notify.Result) []notify.Endpoint {
	f.Helper()
	results := make([]notify.Result, len(claimed))
	for i, c := range claimed {
		results[i] = r
		results[i].Delivery, results[i].EndpointUpdate = c.Delivery, c.Target.UpdateTime
		results[i].Attempt.StartTime = time.Now()
	}
	disabled, err := f.Finish(f.Context(), results)
	if err != nil {
		f.Fatal(err)
	}
	return disabled
}

// The results of attempts.
var (
	received = notify.Result{State: notify.DeliverySucceeded, Healthy: true, Attempt: notify.Attempt{Status: 200, Answer: "ok"}}
	refused  = notify.Result{State: notify.DeliveryPending, Retry: time.Hour, Attempt: notify.Attempt{Status: 500, Error: "it answered 500"}}
	gaveUp   = notify.Result{State: notify.DeliveryFailed, Attempt: notify.Attempt{Error: "it did not answer"}}
)

// revisions are the revisions of claimed deliveries.
func revisions(claimed []notify.Claimed) []int64 {
	var all []int64
	for _, c := range claimed {
		all = append(all, c.Event.Revision)
	}
	return all
}
