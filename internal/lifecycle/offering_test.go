package lifecycle_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// withdrawn is the answer of a provider that does not have the model.
var withdrawn = &provider.Error{Class: provider.ModelWithdrawn, Op: "submit", Code: 404, Message: "application not found"}

const modify = "luma/ray-2-modify"

// queue makes tasks of a model for providers, in the order of their route.
func (s fleet) queue(t *testing.T, n int, model string, route ...string) {
	t.Helper()
	for range n {
		spec := task.Spec{Prompt: "snow", Model: model, Provider: route[0], Fallbacks: route[1:]}
		if _, err := s.Submit(t.Context(), "films", uuid.NewString(), spec); err != nil {
			t.Fatal(err)
		}
	}
}

// settle lets the oldest attempt without an answer get one.
func (s fleet) settle(t *testing.T, answer error) {
	t.Helper()
	id := s.submitting(t)[0]
	err := s.Send(t.Context(), id, "ray-2", func(context.Context, task.Task) (provider.Receipt, error) {
		return provider.Receipt{TaskID: "p-" + string(id)}, answer
	})
	if err != nil {
		t.Fatal(err)
	}
}

// admitAll runs rounds at a provider until nothing changes.
func (s fleet) admitAll(t *testing.T, providerName string) {
	t.Helper()
	for {
		n, err := s.Admit(t.Context(), providerName)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// probeDue makes the next probe of every closed offering due.
func (s fleet) probeDue(t *testing.T) {
	t.Helper()
	s.exec(t, "UPDATE offering_closure SET probe_time = now() WHERE NOT operator")
}

// counts are the numbers of tasks and closures that a test looks at.
type counts struct {
	QueuedAtKie, Held, QueuedAtLuma, Attempts, Closed, Closures int
}

func (s fleet) want(t *testing.T, want counts) {
	t.Helper()
	var got counts
	err := s.pool.QueryRow(t.Context(), `
SELECT (SELECT count(*) FROM task WHERE provider = 'kie' AND state = 'QUEUED'),
       (SELECT count(*) FROM task WHERE state = 'QUEUED' AND not_before_time = 'infinity'),
       (SELECT count(*) FROM task WHERE provider = 'luma' AND state = 'QUEUED'),
       (SELECT count(*) FROM attempt),
       (SELECT count(*) FROM offering_closure WHERE NOT open),
       (SELECT coalesce(sum(closures), 0) FROM offering_closure)`).Scan(
		&got.QueuedAtKie, &got.Held, &got.QueuedAtLuma, &got.Attempts, &got.Closed, &got.Closures)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestWithdrawn_TasksMoveToTheNextProvider(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1, 1)
	s.queue(t, 250, modify, "kie", "luma")
	s.admitAll(t, "kie")
	s.settle(t, withdrawn)
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtLuma: 250, Attempts: 1, Closed: 1, Closures: 1})
}

func TestWithdrawn_TasksWithoutAnotherProviderAreHeld(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1, 1)
	s.queue(t, 151, modify, "kie")
	s.admitAll(t, "kie")
	s.settle(t, withdrawn)
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 151, Held: 151, Attempts: 1, Closed: 1, Closures: 1})
	var id task.ID
	if err := s.pool.QueryRow(t.Context(), "SELECT id FROM task LIMIT 1").Scan(&id); err != nil {
		t.Fatal(err)
	}
	held, err := s.store.Tasks.Task(t.Context(), "films", id)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Waiting(t.Context(), held)
	if err != nil || w == nil || w.Cause != task.WaitOffering || w.Until.IsZero() {
		t.Errorf("a held task waits for %+v, %v, want its offering, until the probe", w, err)
	}
}

func TestWithdrawn_OneTaskProbesAtATime(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	s.queue(t, 5, modify, "kie")
	s.exec(t, "INSERT INTO offering_closure (provider, model, reason, operator, probe_time) VALUES ('kie', $1, 'gone', false, now() + interval '1 hour')", modify)
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 5, Held: 5, Closed: 1, Closures: 1})
	s.probeDue(t)
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 4, Held: 4, Attempts: 1, Closed: 1, Closures: 1})
	s.settle(t, withdrawn)
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 5, Held: 5, Attempts: 1, Closed: 1, Closures: 2})
}

func TestWithdrawn_AProbeKeepsTheQuotaOfItsTenant(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	s.exec(t, "INSERT INTO tenant (tenant, max_in_flight) VALUES ('films', 1)")
	s.queue(t, 1, modify, "kie")
	s.admitAll(t, "kie")
	s.queue(t, 2, modify, "kie")
	s.exec(t, "INSERT INTO offering_closure (provider, model, reason, operator, probe_time) VALUES ('kie', $1, 'gone', false, now())", modify)
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 2, Held: 2, Attempts: 1, Closed: 1, Closures: 1})

	if _, err := s.Submit(t.Context(), "news", uuid.NewString(), task.Spec{Prompt: "snow", Model: modify, Provider: "kie"}); err != nil {
		t.Fatal(err)
	}
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 2, Held: 2, Attempts: 2, Closed: 1, Closures: 1})
}

// While another provider's round holds the quota of a tenant, it may use the quota up. The tasks of others go on.
func TestWithdrawn_AProbeDoesNotWaitForTheQuotaOfItsTenant(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	if err := s.store.Accounts.PrepareAccounts(t.Context(), map[string]string{"luma": "luma"}); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "INSERT INTO tenant (tenant, max_in_flight) VALUES ('films', 1)")
	s.queue(t, 1, modify, "luma")
	s.exec(t, "INSERT INTO offering_closure (provider, model, reason, operator, probe_time) VALUES ('luma', $1, 'gone', false, now())", modify)
	tx := postgrestest.Begin(t, s.pool)
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtext('refract.tenant.in_flight'), hashtext('films') & 255)"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Submit(t.Context(), "news", uuid.NewString(), task.Spec{Prompt: "snow", Model: "luma/ray-2-flash-modify", Provider: "luma"}); err != nil {
		t.Fatal(err)
	}
	s.admitAll(t, "luma")
	s.want(t, counts{QueuedAtLuma: 1, Held: 1, Attempts: 1, Closed: 1, Closures: 1})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.admitAll(t, "luma")
	s.want(t, counts{Attempts: 2, Closed: 1, Closures: 1})
}

// The round of another provider uses the quota up after this round has read which tenants have used theirs up.
func TestWithdrawn_AProbeCountsWhatItsTenantGotMeanwhile(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	if err := s.store.Accounts.PrepareAccounts(t.Context(), map[string]string{"luma": "luma"}); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "INSERT INTO tenant (tenant, max_in_flight) VALUES ('films', 1)")
	s.queue(t, 1, modify, "kie")
	s.exec(t, "INSERT INTO offering_closure (provider, model, reason, operator, probe_time) VALUES ('kie', $1, 'gone', false, now())", modify)
	s.queue(t, 1, "luma/ray-2-flash-modify", "luma")
	tx := postgrestest.Begin(t, s.pool)
	if _, err := tx.Exec(t.Context(), "SELECT FROM offering_closure FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	offering := admission.Offering{Model: modify, Names: []string{modify}}
	round := make(chan error, 1)
	go func() {
		_, err := s.store.Tasks.AdmitTasks(t.Context(), admission.Round{
			Provider: "kie", Limits: admission.AccountLimits{"kie": {Submissions: 9, Window: time.Second, InFlight: 9}},
			Sold: []admission.Offering{offering}, Closed: []admission.Offering{offering}, Probes: []admission.Offering{offering},
		})
		round <- err
	}()
	postgrestest.Until(t, func() bool {
		return postgrestest.Value[bool](t, s.pool, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%offering_closure%')")
	})
	s.admitAll(t, "luma")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-round; err != nil {
		t.Fatal(err)
	}
	s.want(t, counts{QueuedAtKie: 1, Attempts: 1, Closed: 1, Closures: 1})
}

func TestWithdrawn_AnAcceptedProbeOpensTheOffering(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1000, 1000)
	s.queue(t, 120, modify, "kie")
	s.exec(t, "INSERT INTO offering_closure (provider, model, reason, operator, probe_time) VALUES ('kie', $1, 'gone', false, now() + interval '1 hour')", modify)
	s.admitAll(t, "kie")
	s.probeDue(t)
	s.admitAll(t, "kie")
	s.settle(t, nil)
	s.admitAll(t, "kie")
	s.want(t, counts{Attempts: 120})
}

// A probe in a hundred attempts that were under way when the model was withdrawn is none: all of them report it.
func TestWithdrawn_AnswersFromBeforeSayNothingNew(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{"refused": withdrawn, "accepted": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupFleet(t, 3, 3)
			s.queue(t, 3, modify, "kie", "luma")
			s.admitAll(t, "kie")
			s.settle(t, withdrawn)
			s.settle(t, answer)
			s.want(t, counts{QueuedAtLuma: map[bool]int{true: 2, false: 1}[answer != nil], Attempts: 3, Closed: 1, Closures: 1})
		})
	}
}

func TestWithdrawn_OtherModelsOfTheAccountGoOn(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	if err := s.store.Accounts.PrepareAccounts(t.Context(), map[string]string{"luma": "luma"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{modify, "ray-2", "", "luma/ray-2-flash-modify", "ray-flash-2"} {
		s.queue(t, 1, name, "luma")
	}
	s.exec(t, "INSERT INTO offering_closure (provider, model, reason, operator, probe_time) VALUES ('luma', $1, 'gone', false, now() + interval '1 hour')", modify)
	s.admitAll(t, "luma")
	s.want(t, counts{QueuedAtLuma: 3, Held: 3, Attempts: 2, Closed: 1, Closures: 1})
}

func TestCloseOffering_StaysClosedUntilAnOperatorOpensIt(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	s.queue(t, 1, modify, "kie")
	s.admitAll(t, "kie")
	s.queue(t, 2, modify, "kie")
	if err := s.CloseOffering(t.Context(), "kie", modify, "too dear"); err != nil {
		t.Fatal(err)
	}
	s.settle(t, nil) // It was under way.
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 2, Held: 2, Attempts: 1, Closed: 1, Closures: 1})
	if err := s.OpenOffering(t.Context(), "kie", modify); err != nil {
		t.Fatal(err)
	}
	s.admitAll(t, "kie")
	s.want(t, counts{Attempts: 3})
}

func TestOpenOffering_TasksThatWaitForTheirSourceStillDo(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	s.queue(t, 1, modify, "kie")
	s.admitAll(t, "kie")
	if err := s.Defer(t.Context(), s.submitting(t)[0]); err != nil {
		t.Fatal(err)
	}
	s.queue(t, 1, modify, "kie")
	if err := s.CloseOffering(t.Context(), "kie", modify, "too dear"); err != nil {
		t.Fatal(err)
	}
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 2, Held: 2, Attempts: 1, Closed: 1, Closures: 1})
	if err := s.OpenOffering(t.Context(), "kie", modify); err != nil {
		t.Fatal(err)
	}
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 1, Held: 1, Attempts: 2})
}

// limitedModel is an offering of which two attempts may be in flight.
const limitedModel = `
models:
  - name: acme/edit
    title: Acme Edit
    route: [kie]
    offerings:
      - provider: kie
        remote: acme/edit-1
        prompt: {field: prompt}
        source: {field: video_url, max_bytes: 1000}
        limits: {in_flight: 2}
        facts:
          source: {source: the model's page, certainty: documented}
          limits: {source: the model's page, certainty: documented}
`

func TestAdmit_KeepsTheLimitOfAnOffering(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(file, []byte(limitedModel), 0o600); err != nil {
		t.Fatal(err)
	}
	models, err := catalog.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s := setupFleetWith(t, 100, 100, func() *catalog.Catalog { return models })
	s.queue(t, 3, "acme/edit", "kie")
	s.queue(t, 2, "acme/edit-1", "kie")
	s.queue(t, 4, modify, "kie")
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 3, Attempts: 6})
	s.settle(t, &provider.Error{Class: provider.GenerationFailed})
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 2, Attempts: 7})
	s.exec(t, "INSERT INTO offering_closure (provider, model, reason, operator, probe_time) VALUES ('kie', 'acme/edit', 'gone', false, now())")
	s.admitAll(t, "kie")
	s.want(t, counts{QueuedAtKie: 2, Held: 2, Attempts: 7, Closed: 1, Closures: 1})
}

func TestSubmit_RefusesATaskWhoseOfferingsAreClosed(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1, 1)
	if err := s.CloseOffering(t.Context(), "kie", modify, "too dear"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Submit(t.Context(), "films", "r1", task.Spec{Prompt: "snow", Model: modify, Provider: "kie"})
	if field, ok := errors.AsType[*lifecycle.FieldError](err); !ok || field.Field != "model" || !strings.Contains(field.Message, "too dear") {
		t.Errorf("Submit = %v, want that the offering is closed, and why", err)
	}
	s.queue(t, 1, modify, "kie", "luma")
	s.want(t, counts{QueuedAtLuma: 1, Closed: 1, Closures: 1})
}
