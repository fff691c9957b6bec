package operation_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

const testCallbackKey = "callback-key-of-all-replicas-0123456789"

// apart prepares a fleet whose callbacks come through a gate to ingresses that run alone.
func apart(t *testing.T) (*e2etest.Fleet, *e2etest.Gate) {
	t.Helper()
	gate := e2etest.StartGate(t)
	gate.Open.Store(true)
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.CallbackURL, f.BaseURL = gate.URL, "http://refract.internal"
		f.CallbackKeys = []redact.Secret{testCallbackKey}
		e2etest.Unlimited(f, c)
	})
	return f, gate
}

// TestRoles_EachDoesItsPart runs api, worker and ingress as replicas of their own. Tasks must be submitted at one, run at another, and end
// by callbacks that the third one stored, and a stream at the first must show every revision.
//
// It fails when an api replica does not announce to workers, or when the settler of internal/callback does not run.
func TestRoles_EachDoesItsPart(t *testing.T) {
	t.Parallel()
	f, gate := apart(t)
	f.Config.KIE.URL = e2etest.HoldChecks(t, f.Sim, "neon")
	in := f.Ingress(t)
	gate.To(in)
	worker := f.With(t, "worker")
	front := f.With(t, "api")
	for range 3 {
		last := front.End(t, front.Submit(t, "").GetId())
		if last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED || len(last.GetOutputs()) != 1 {
			t.Errorf("the task ended with %v, want an output", last)
		}
	}
	if n := in.Metric(t, "refract_callbacks_total", `verdict="stored"`); n != 3 {
		t.Errorf("the ingress stored %d callbacks, want 3", n)
	}
	if n := worker.Metric(t, "refract_callbacks_total", `verdict="applied"`); n != 3 {
		t.Errorf("the worker applied %d callbacks, want 3", n)
	}
	if n := worker.Metric(t, "refract_callback_intake_depth", ""); n != 0 {
		t.Errorf("%d callbacks are left in the intake", n)
	}
	for name, ts := range map[string]*e2etest.Service{"api": front, "worker": worker, "ingress": in} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			if status, _, _ := e2etest.Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+path, ""); status != http.StatusOK {
				t.Errorf("%s of the %s replica = %d, want 200", path, name, status)
			}
		}
	}
	for name, ts := range map[string]*e2etest.Service{"worker": worker, "ingress": in} {
		if ts.GRPCAddr() != "" {
			t.Errorf("the %s replica listens for gRPC", name)
		}
		if status, _, _ := e2etest.Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+"/v1/tasks", ""); status != http.StatusNotFound {
			t.Errorf("REST at the %s replica = %d, want 404", name, status)
		}
	}
}

// TestRoles_TwoInAProcess has the ingress and one more role in one process and the third in another. A task must be submitted, run and end
// by its callback, which an ingress with another role settles as it arrives. The third pair, of api and worker, is that of
// TestRoles_CallbacksAreAcceptedWhileNothingElseRuns.
func TestRoles_TwoInAProcess(t *testing.T) {
	t.Parallel()
	f, gate := apart(t)
	f.Config.KIE.URL = e2etest.HoldChecks(t, f.Sim, "neon")
	for third, pair := range map[string][2]string{"worker": {"api", "ingress"}, "api": {"ingress", "worker"}} {
		t.Run(pair[0]+" and "+pair[1], func(t *testing.T) { //nolint:paralleltest // The pairs take turns at one database.
			both, alone := f.With(t, pair[:]...), f.With(t, third)
			of := map[string]*e2etest.Service{pair[0]: both, pair[1]: both, third: alone}
			gate.To(of["ingress"])
			if last := of["api"].End(t, of["api"].Submit(t, "").GetId()); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
				t.Errorf("the task ended with %v", last)
			}
			e2etest.Eventually(t, "the callback counts as applied", func() bool {
				return of["ingress"].Metric(t, "refract_callbacks_total", `verdict="applied"`) == 1
			})
		})
	}
}

// TestRoles_AnAPIReplicaWorksOnNothing submits a task where no worker runs.
//
// It fails when New (internal/server/server.go) runs the admission loops whatever the roles are.
func TestRoles_AnAPIReplicaWorksOnNothing(t *testing.T) {
	t.Parallel()
	f, _ := apart(t)
	front := f.With(t, "api")
	id := front.Submit(t, "[sim:processing=1h]").GetId()
	e2etest.Eventually(t, "some rounds of admission", func() bool {
		return postgrestest.Value[bool](t, f.Pool, "SELECT now() > create_time + interval '3 s' FROM task")
	})
	if task := front.Get(t, id); task.GetState() != refractv1.TaskState_TASK_STATE_QUEUED || len(f.Sim.Ledger()) > 0 {
		t.Errorf("without a worker the task is %v, want it queued", task)
	}
	f.With(t, "worker", "ingress")
	front.Await(t, id, e2etest.IsRunning)
}

// TestRoles_CallbacksAreAcceptedWhileNothingElseRuns stops api and worker before the provider calls. Each callback must be accepted at the
// first try, and settle its task after the others are back, as of when it was received.
//
// It fails when Intake.Receive (internal/callback/intake.go) does not store before it returns.
func TestRoles_CallbacksAreAcceptedWhileNothingElseRuns(t *testing.T) {
	t.Parallel()
	f, _ := apart(t)
	in := f.Ingress(t)
	down := make(chan struct{}) // Closed when nothing but the ingress runs.
	calls := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-down
		e2etest.Forward(w, r, "http://"+in.IngressAddr())
	}))
	t.Cleanup(calls.Close)
	letCall := sync.OnceFunc(func() { close(down) })
	t.Cleanup(letCall)
	f.Config.CallbackURL, f.Config.KIE.URL = calls.URL, e2etest.HoldChecks(t, f.Sim, "neon")
	both := f.With(t, "api", "worker")
	var ids []string
	for range 4 {
		ids = append(ids, both.Submit(t, "[sim:processing=100ms]").GetId())
	}
	for _, id := range ids {
		both.Await(t, id, e2etest.IsRunning)
	}
	both.Stop()
	letCall()
	if err := f.Sim.Await(t.Context(), func() bool { return accepted(f) >= len(ids) }); err != nil {
		t.Fatal(err)
	}
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM callback_intake"); n != len(ids) {
		t.Errorf("the intake has %d callbacks, want %d", n, len(ids))
	}
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM callback"); n != 0 {
		t.Errorf("%d callbacks were settled without a worker", n)
	}
	stored := postgrestest.Value[time.Time](t, f.Pool, "SELECT max(receive_time) FROM callback_intake")

	back := f.With(t, "api", "worker")
	for _, id := range ids {
		if last := back.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Errorf("a task ended with %v, want success", last)
		}
	}
	if settled := postgrestest.Value[time.Time](t, f.Pool, "SELECT max(receive_time) FROM callback"); !settled.Equal(stored) {
		t.Errorf("the inbox says that the last callback was received at %v, want %v, when the ingress did", settled, stored)
	}
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM callback_intake"); n != 0 {
		t.Errorf("%d callbacks are left in the intake", n)
	}
}

// accepted returns how many callbacks were answered 200.
func accepted(f *e2etest.Fleet) (n int) {
	for _, d := range f.Sim.Deliveries() {
		if d.Status == http.StatusOK {
			n++
		}
	}
	return n
}

// TestRoles_AnIngressAloneAnswersBeforeItJudges posts what providers and strangers may post. A forged token or a body that is too large is
// refused at once. Everything else is stored, and a worker gives it the verdict that the direct path gives.
//
// It fails when the settler judges the age of a signature by its own time: see TestIngress_AnswersAsDocumented of package e2e for the direct path.
func TestRoles_AnIngressAloneAnswersBeforeItJudges(t *testing.T) {
	t.Parallel()
	f, gate := apart(t)
	in := f.Ingress(t)
	both := f.With(t, "api", "worker")
	gate.Open.Store(false) // Nothing but this test calls.
	both.Await(t, both.Submit(t, "[sim:processing=1h]").GetId(), e2etest.IsRunning)
	entry := f.Sim.Ledger()[0]
	both.Stop()

	now := strconv.FormatInt(time.Now().Unix(), 10)
	stale := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	signed := func(id, at string) []string {
		return []string{"X-Webhook-Timestamp", at, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, id, at)}
	}
	path := entry.CallbackURL[strings.Index(entry.CallbackURL, "/v1/"):]
	body := `{"code":200,"msg":"ok","data":{"taskId":"` + entry.TaskID + `"}}`
	for _, post := range []struct {
		name, path, body string
		header           []string
		status           int
		verdict          string // In the inbox; empty where nothing is kept.
	}{
		{"a forged URL token", path[:len(path)-4] + "AAAA", body, signed(entry.TaskID, now), 401, ""},
		{"a body that is too large", path, strings.Repeat("x", 300<<10), signed(entry.TaskID, now), 413, ""},
		{"no signature", path, body, nil, 200, "bad_signature"},
		{"an old signature", path, body, signed(entry.TaskID, stale), 200, "stale"},
		{"no JSON", path, "<html>", signed(entry.TaskID, now), 200, "malformed"},
		{"another task", path, `{"code":200,"data":{"taskId":"stranger"}}`, signed("stranger", now), 200, "mismatch"},
		{"a result", path, body, signed(entry.TaskID, now), 200, "applied"},
	} {
		if status, _, answer := e2etest.Request(t, http.MethodPost, "http://"+in.IngressAddr()+post.path, post.body, post.header...); status != post.status {
			t.Errorf("%s is answered %d %s, want %d", post.name, status, answer, post.status)
		}
	}
	f.With(t, "worker", "ingress")
	e2etest.Eventually(t, "the intake to be empty", func() bool { return postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM callback_intake") == 0 })
	got := strings.Split(postgrestest.Value[string](t, f.Pool, "SELECT string_agg(verdict, ',' ORDER BY verdict) FROM callback"), ",")
	if diff := cmp.Diff([]string{"applied", "bad_signature", "malformed", "mismatch", "stale"}, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

// TestRoles_TheIngressRoleMayOnlyAppend creates the role by the SQL that `refract migrate --print-ingress-role` prints, and tries
// everything else with it.
//
// It fails when the SQL grants INSERT on the table, which includes the time, or SELECT on anything.
func TestRoles_TheIngressRoleMayOnlyAppend(t *testing.T) {
	t.Parallel()
	f, _ := apart(t)
	pool := postgrestest.Connect(t, postgrestest.Role(t, f.Config.DatabaseURL.Reveal(), migrations.IngressRole))
	const into = "INSERT INTO callback_intake (attempt_id, account, sealed) VALUES (gen_random_uuid(), 'kie', '')"
	if _, err := pool.Exec(t.Context(), into); err != nil {
		t.Fatalf("the role may not append: %v", err)
	}
	granted := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM callback_intake")
	if granted != 1 {
		t.Fatalf("the intake has %d callbacks, want 1", granted)
	}
	for name, sql := range map[string]string{
		"read tasks":             "SELECT FROM task",
		"read secrets":           "SELECT FROM secret",
		"read tokens":            "SELECT FROM api_token",
		"read the intake":        "SELECT FROM callback_intake",
		"read what it appended":  into + " RETURNING id",
		"date a callback":        "INSERT INTO callback_intake (attempt_id, account, sealed, receive_time) VALUES (gen_random_uuid(), 'kie', '', '2020-01-01')",
		"change the intake":      "UPDATE callback_intake SET tries = 0",
		"empty the intake":       "DELETE FROM callback_intake",
		"truncate the intake":    "TRUNCATE callback_intake",
		"append to the inbox":    "INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body) VALUES (gen_random_uuid(), '', '', '', '')",
		"read the schema's age":  "SELECT FROM goose_db_version",
		"add a job":              "INSERT INTO river_job (kind, max_attempts) VALUES ('x', 1)",
		"become someone else":    "SET ROLE " + postgrestest.Value[string](t, f.Pool, "SELECT current_user::text"),
		"replace what bounds it": "DROP TRIGGER callback_intake_bound ON callback_intake",
	} {
		_, err := pool.Exec(t.Context(), sql)
		if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "42501" { // insufficient_privilege
			t.Errorf("to %s is answered %v, want that the privilege is missing", name, err)
		}
	}
	const tables = "FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v', 'p')"
	if n := postgrestest.Value[int](t, pool, "SELECT count(*) "+tables); n < 20 {
		t.Fatalf("the schema has %d tables: this test looks at the wrong one", n)
	}
	got := postgrestest.Value[string](t, pool, `SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') `+tables+`
		AND (has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege(oid, 'SELECT, UPDATE, REFERENCES'))`)
	if got != "" {
		t.Errorf("the role has privileges on %s", got)
	}
}

// TestRoles_ARoleThatMayNotAppendIsRefused starts an ingress alone with a role that has no privilege. The error must say what to do.
func TestRoles_ARoleThatMayNotAppendIsRefused(t *testing.T) {
	t.Parallel()
	f, _ := apart(t)
	f.Config.Roles = []string{"ingress"}
	f.Config.DatabaseURL = redact.Secret(postgrestest.Role(t, f.Config.DatabaseURL.Reveal(), func(name string) (string, error) {
		return "CREATE ROLE " + name + " LOGIN", nil
	}))
	if _, err := server.New(t.Context(), f.Config, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--print-ingress-role") {
		t.Errorf("New = %v, want an error that says how to create the role", err)
	}
}

func TestRoles_SettingsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		roles     []string
		configure func(*server.Config)
		want      string // In the error; empty for none.
	}{
		"an unknown role":                    {[]string{"api", "ingres"}, nil, `there is no role "ingres"; the roles are api, ingress, worker`},
		"a part without a shared database":   {[]string{"worker"}, func(c *server.Config) { c.DatabaseURL = "" }, "needs --database-url"},
		"an ingress without a key":           {[]string{"ingress"}, func(c *server.Config) { c.CallbackKeys = nil }, "needs --callback-key"},
		"an ingress that migrates":           {[]string{"ingress"}, func(c *server.Config) { c.Migrate = true }, "refract migrate"},
		"an ingress with sources":            {[]string{"ingress"}, func(c *server.Config) { c.PublicSources = true }, "--public-sources"},
		"an ingress without providers":       {[]string{"ingress"}, func(c *server.Config) { c.KIE = server.Upstream{} }, ""},
		"a worker that providers can't call": {[]string{"worker"}, func(c *server.Config) { c.CallbackURL = "" }, "needs --callback-url"},
		"a worker without links":             {[]string{"worker"}, func(c *server.Config) { c.BaseURL = "" }, "needs --base-url"},
		"an api without a callback URL":      {[]string{"api"}, func(c *server.Config) { c.CallbackURL = "" }, ""},
		"an api without providers":           {[]string{"api"}, func(c *server.Config) { c.KIE = server.Upstream{} }, "no provider is configured"},
		"all":                                {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := server.Config{
				Roles: test.roles, DatabaseURL: "postgres://localhost/refract", CallbackURL: "https://refract.example.com", BaseURL: "https://internal.example.com",
				CallbackKeys: []redact.Secret{testCallbackKey}, Providers: server.Providers{KIE: server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}}},
			}
			f.Complete()
			if test.configure != nil {
				test.configure(&f)
			}
			err := f.Check()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Check = %v, want %q", err, test.want)
			}
		})
	}
}
