package auditlog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/retention"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

var alice = audit.Actor{Kind: audit.Token, Name: "id-of-alice", Tenant: "ops"}

// actions returns the actions of events.
func actions(events []audit.Event) (names []string) {
	for _, e := range events {
		names = append(names, e.Action)
	}
	return names
}

func TestRecord_RefusesEveryChangeOfWhatIsRecorded(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	log := auditlog.New(pool)
	if err := log.Record(audit.WithActor(t.Context(), alice), audit.Change{Action: "task.check", Target: "1"}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`UPDATE audit_event SET actor_name = 'bob'`, `DELETE FROM audit_event`, `TRUNCATE audit_event`,
		`WITH permit AS (SELECT set_config('refract.audit_retention', 'on', false)) DELETE FROM audit_event USING permit`, // As retention, but too early.
	} {
		_, err := pool.Exec(t.Context(), statement)
		if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "42501" || !strings.Contains(pe.Message, "append-only") {
			t.Errorf("%s: got %v, want a refusal", statement, err)
		}
	}
	if events, err := log.Events(t.Context(), audit.Filter{Limit: 10}); err != nil || len(events) != 1 || events[0].Actor != alice {
		t.Errorf("the log has %+v, %v", events, err)
	}
}

func TestRow_ChangeAndEventAreOneTransaction(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	ctx, log := audit.WithActor(t.Context(), alice), auditlog.New(pool)
	change := func(action string, ends error) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			err := auditlog.Row(ctx, tx, audit.Change{Action: action, Target: "acme", Tenant: "acme"},
				`SELECT jsonb_build_object('weight', weight) FROM tenant WHERE tenant = $1 FOR UPDATE`, func() error {
					_, err := tx.Exec(ctx, `INSERT INTO tenant (tenant, weight) VALUES ('acme', 2) ON CONFLICT (tenant) DO UPDATE SET weight = tenant.weight + 1`)
					return err
				})
			return errors.Join(err, ends)
		})
	}
	if err := change("tenant.update", nil); err != nil {
		t.Fatal(err)
	}
	if err := change("tenant.update", nil); err != nil {
		t.Fatal(err)
	}
	if err := change("tenant.update", errors.New("rolled back")); err == nil {
		t.Fatal("the transaction did not fail")
	}
	if err := change("No action", nil); err == nil { // The event can't be written, so the change is not made.
		t.Fatal("an event that breaks a rule was written")
	}
	events, err := log.Events(ctx, audit.Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s -> %s", e.Action, e.Before, e.After))
	}
	if diff := cmp.Diff([]string{`tenant.update {"weight": 2} -> {"weight": 3}`, `tenant.update  -> {"weight": 2}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var weight int
	if err := pool.QueryRow(ctx, `SELECT weight FROM tenant WHERE tenant = 'acme'`).Scan(&weight); err != nil || weight != 3 {
		t.Errorf("the weight is %d, %v, want 3: what was not recorded did not happen", weight, err)
	}
}

func TestRecord_WithoutAnActorRecordsNothing(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	if err := auditlog.Record(t.Context(), pool, audit.Change{Action: "task.check", Target: "1"}); err != nil {
		t.Fatal(err)
	}
	if events, err := auditlog.New(pool).Events(t.Context(), audit.Filter{Limit: 10}); err != nil || len(events) != 0 {
		t.Errorf("got %v, %v", events, err)
	}
}

func TestEvents_FiltersAndPages(t *testing.T) {
	t.Parallel()
	log := auditlog.New(postgrestest.Pool(t))
	bob := audit.Actor{Kind: audit.JWT, Name: "https://idp.example.com bob"}
	for i, e := range []struct {
		actor          audit.Actor
		action, target string
	}{
		{alice, "tenant.update", "acme"},
		{alice, "token.create", "1"},
		{bob, "tenant.update", "films"},
		{bob, "tenants.update", "acme"}, // Another noun.
	} {
		if err := log.Record(audit.WithActor(t.Context(), e.actor), audit.Change{Action: e.action, Target: e.target, Tenant: "of " + e.target}); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	for name, tc := range map[string]struct {
		filter audit.Filter
		want   []string
	}{
		"all":       {audit.Filter{}, []string{"tenants.update", "tenant.update", "token.create", "tenant.update"}},
		"an actor":  {audit.Filter{Actor: bob.Name}, []string{"tenants.update", "tenant.update"}},
		"an action": {audit.Filter{Action: "token.create"}, []string{"token.create"}},
		"a noun":    {audit.Filter{Action: "tenant"}, []string{"tenant.update", "tenant.update"}},
		"a target":  {audit.Filter{Target: "acme", Action: "tenant"}, []string{"tenant.update"}},
		"a tenant":  {audit.Filter{Tenant: "of acme", Action: "tenant"}, []string{"tenant.update"}},
		"the past":  {audit.Filter{ToTime: time.Now().Add(-time.Hour)}, nil},
		"the hour":  {audit.Filter{FromTime: time.Now().Add(-time.Hour), Actor: bob.Name}, []string{"tenants.update", "tenant.update"}},
	} {
		tc.filter.Limit = 10
		if events, err := log.Events(t.Context(), tc.filter); err != nil || !cmp.Equal(tc.want, actions(events)) {
			t.Errorf("%s: got %v, %v, want %v", name, actions(events), err, tc.want)
		}
	}
	var paged []string
	for f := (audit.Filter{Limit: 1}); ; {
		events, err := log.Events(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		paged = append(paged, actions(events)...)
		f.Before = audit.Place{Time: events[0].CreateTime, ID: events[0].ID}
	}
	if want := []string{"tenants.update", "tenant.update", "token.create", "tenant.update"}; !cmp.Equal(want, paged) {
		t.Errorf("one by one: %v, want %v", paged, want)
	}
}

func TestRetention_RemovesOldEventsAlone(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	insert := func(ctx context.Context, age string) {
		t.Helper()
		_, err := pool.Exec(ctx, `INSERT INTO audit_event (create_time, actor_kind, actor_name, actor_tenant, action, target, tenant)
			VALUES (now() - $1::interval, 'COMMAND', 'root', '', 'token.create', $1, '')`, age)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, age := range []string{"41 days", "40 days 1 hour", "39 days", "0"} {
		insert(t.Context(), age)
	}
	forever, bounded := expiry.New(pool, pool, retention.Periods{}), expiry.New(pool, pool, retention.Periods{Audit: 40 * 24 * time.Hour})
	for _, tc := range []struct {
		store *expiry.Store
		want  int64
	}{{forever, 0}, {bounded, 2}, {bounded, 0}} {
		if rows, err := tc.store.RemoveAuditEvents(t.Context()); err != nil || rows != tc.want {
			t.Errorf("removed %d, %v, want %d", rows, err, tc.want)
		}
	}
	events, err := auditlog.New(pool).Events(t.Context(), audit.Filter{Limit: 10})
	if err != nil || len(events) != 2 {
		t.Errorf("the log has %+v, %v, want the two young ones", events, err)
	}
	if _, err := pool.Exec(t.Context(), `DELETE FROM audit_event`); err == nil { // On the connections that retention has used.
		t.Error("after retention, a DELETE is not refused")
	}
}
