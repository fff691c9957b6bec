package callback_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// studio is a provider whose callbacks are {"id": …, "failed": …}. A header selects the result of the signature check.
type studio struct{ provider.Provider }

func (studio) Name() string { return "kie" }

func (studio) Capabilities() provider.Capabilities {
	return provider.Capabilities{PollInterval: 30 * time.Second, Limits: provider.Limits{Submissions: 10, Window: time.Second, InFlight: 10}}
}

func (studio) Callback(_ context.Context, header http.Header, body []byte, _ time.Time) (provider.Callback, error) {
	var said struct {
		ID     string
		Failed bool
	}
	if err := json.Unmarshal(body, &said); err != nil || said.ID == "" {
		return provider.Callback{}, provider.ErrCallbackMalformed
	}
	c := provider.Callback{ProviderTaskID: said.ID}
	switch header.Get("Signature") {
	case "good":
		c.Proof = provider.ProofID
	case "bad":
		return c, provider.ErrCallbackSignature
	case "old":
		return c, provider.ErrCallbackStale
	case "unverifiable":
		c.KeysUnavailable = errors.New("fetch keys: connection refused")
	case "by us", "by them":
		c.Proof, c.Signer = provider.ProofBody, strings.TrimPrefix(header.Get("Signature"), "by ")
	}
	c.Status.Phase = provider.Succeeded
	if said.Failed {
		c.Status.Phase = provider.Failed
	}
	return c, nil
}

// ingress is a receiver over a real store, with an attempt that runs as p1.
type ingress struct {
	*callback.Receiver
	pool    *pgxpool.Pool
	verbs   *lifecycle.Lifecycle
	metrics *sdkmetric.ManualReader
	logged  *bytes.Buffer
	attempt task.AttemptID
	token   string
}

func setup(t *testing.T) ingress {
	t.Helper()
	in := ingress{pool: postgrestest.Pool(t), metrics: sdkmetric.NewManualReader(), logged: &bytes.Buffer{}}
	store, err := postgres.NewStores(postgres.Config{Pool: in.pool})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie": "kie"}); err != nil {
		t.Fatal(err)
	}
	providers := map[string]provider.Provider{"kie": studio{}}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: store.Tasks, Offerings: store.Offerings, Inbox: store.Inbox, Saves: store.Storage, Sources: store.Sources, Signers: store.Accounts, Accounts: providers, Route: []string{"kie"},
		CheckSource: func(string) error { return nil }, Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	in.verbs, in.attempt = verbs, start(t, verbs, store)
	tokens := newTokens(t, newKey)
	in.token = makeToken(t, tokens, in.attempt)
	in.Receiver, err = callback.NewReceiver(callback.Config{
		Tokens: tokens, Accounts: providers, Settler: verbs,
		Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(in.metrics)).Meter("test"), Log: slog.New(slog.NewTextHandler(in.logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// start creates a task that is RUNNING as p1.
func start(t *testing.T, verbs *lifecycle.Lifecycle, store *postgres.Stores) task.AttemptID {
	t.Helper()
	submitted, err := verbs.Submit(t.Context(), "films", "r1", task.Spec{Prompt: "snow"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verbs.Admit(t.Context(), "kie"); err != nil {
		t.Fatal(err)
	}
	admitted, err := store.Tasks.Task(t.Context(), "films", submitted.ID)
	if err != nil {
		t.Fatal(err)
	}
	id := admitted.Attempt().ID
	err = verbs.Send(t.Context(), id, "", func(context.Context, task.Task) (provider.Receipt, error) {
		return provider.Receipt{TaskID: "p1"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// verdicts returns the counts of the receiver, by "account verdict".
func (in ingress) verdicts(t *testing.T) map[string]int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := in.metrics.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int64)
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, isCounter := m.Data.(metricdata.Sum[int64])
			if !isCounter {
				continue
			}
			for _, p := range sum.DataPoints {
				name, _ := p.Attributes.Value(attribute.Key("account"))
				verdict, _ := p.Attributes.Value(attribute.Key("verdict"))
				counts[name.AsString()+" "+verdict.AsString()] = p.Value
			}
		}
	}
	return counts
}

// inbox returns the verdicts and the bodies of the kept callbacks.
func (in ingress) inbox(t *testing.T) (verdicts, bodies []string) {
	t.Helper()
	rows, err := in.pool.Query(t.Context(), "SELECT verdict, body FROM callback ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	var verdict string
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&verdict, &body}, func() error {
		verdicts, bodies = append(verdicts, verdict), append(bodies, string(body))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return verdicts, bodies
}

func TestReceive_EveryCallbackHasItsAnswerAndVerdict(t *testing.T) {
	t.Parallel()
	in := setup(t)
	unknown := makeToken(t, newTokens(t, newKey), newID())
	const good = `{"id": "p1"}`
	tests := []struct {
		name, provider, token, signature, body string
		err                                    error
		counted                                string // As provider and verdict.
		kept                                   bool
	}{
		{"unknown provider", "nobody", in.token, "good", good, callback.ErrToken, "unknown bad_token", false},
		{"no token", "kie", "", "good", good, callback.ErrToken, "kie bad_token", false},
		{"forged token", "kie", strings.Repeat("A", 43), "good", good, callback.ErrToken, "kie bad_token", false},
		{"unknown attempt", "kie", unknown, "good", good, lifecycle.ErrAttemptNotFound, "kie unknown_attempt", false},
		{"refused of an unknown attempt", "kie", unknown, "bad", good, lifecycle.ErrAttemptNotFound, "kie unknown_attempt", false},
		{"no signature", "kie", in.token, "bad", good, provider.ErrCallbackSignature, "kie bad_signature", true},
		{"old timestamp", "kie", in.token, "old", good, provider.ErrCallbackStale, "kie stale", true},
		{"no JSON", "kie", in.token, "good", "\xff\x00", provider.ErrCallbackMalformed, "kie malformed", true},
		{"empty body", "kie", in.token, "good", "", provider.ErrCallbackMalformed, "kie malformed", true},
		{"another task", "kie", in.token, "good", `{"id": "p2"}`, nil, "kie mismatch", true},
		{"unproven", "kie", in.token, "", good, nil, "kie confirming", true},
		{"proven failure", "kie", in.token, "good", `{"id": "p1", "failed": true}`, nil, "kie confirming", true},
		{"proven result", "kie", in.token, "good", good, nil, "kie applied", true},
		{"again", "kie", in.token, "good", good, nil, "kie duplicate", true},
		{"contradiction", "kie", in.token, "good", `{"id": "p1", "failed": true}`, nil, "kie conflict", true},
	}
	for _, test := range tests { // One after the other: the later ones follow from the earlier.
		t.Run(test.name, func(t *testing.T) {
			before, keptBefore := in.verdicts(t)[test.counted], len(first(in.inbox(t)))
			err := in.Receive(t.Context(), test.provider, test.token, http.Header{"Signature": {test.signature}}, []byte(test.body))
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("Receive = %v, want %v", err, test.err)
			}
			if n := in.verdicts(t)[test.counted] - before; n != 1 {
				t.Errorf("%q was counted %d times, want once", test.counted, n)
			}
			verdicts, bodies := in.inbox(t)
			if kept := len(verdicts) - keptBefore; kept == 1 != test.kept {
				t.Fatalf("%d callbacks were kept, want kept %t", kept, test.kept)
			}
			if !test.kept {
				return
			}
			last := len(verdicts) - 1
			if got, want := "kie "+verdicts[last], test.counted; got != want {
				t.Errorf("the inbox has verdict %q, want %q", got, want)
			}
			if bodies[last] != test.body {
				t.Errorf("the inbox has body %q, want %q", bodies[last], test.body)
			}
		})
	}
	if strings.Contains(in.logged.String(), in.token) {
		t.Error("the URL token is in the log")
	}
}

func first[A, B any](a A, _ B) A { return a }

func TestReceive_RefusesAnotherAccountOfTheProvider(t *testing.T) {
	t.Parallel()
	in := setup(t)
	receive := func(signature string) error {
		return in.Receive(t.Context(), "kie", in.token, http.Header{"Signature": {signature}}, []byte(`{"id": "p1"}`))
	}
	if err := receive("by us"); err != nil {
		t.Fatal(err)
	}
	if err := receive("by them"); !errors.Is(err, provider.ErrCallbackSignature) {
		t.Errorf("Receive = %v, want ErrCallbackSignature", err)
	}
	verdicts, _ := in.inbox(t)
	if diff := cmp.Diff([]string{"applied", "bad_signature"}, verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if n := in.verdicts(t)["kie bad_signature"]; n != 1 {
		t.Errorf("it was counted %d times, want once", n)
	}
}

func TestReceive_SaysOnceThatKeysAreUnavailable(t *testing.T) {
	t.Parallel()
	in := setup(t)
	for i, signature := range []string{"unverifiable", "unverifiable", "", "unverifiable", "by us", "unverifiable"} {
		if err := in.Receive(t.Context(), "kie", in.token, http.Header{"Signature": {signature}}, []byte(`{"id": "p1"}`)); err != nil {
			t.Fatalf("callback %d: %v", i, err)
		}
	}
	if n := strings.Count(in.logged.String(), "connection refused"); n != 2 {
		t.Errorf("it was logged %d times, want once for each of two times:\n%s", n, in.logged)
	}
	if n := in.verdicts(t)["kie keys_unavailable"]; n != 4 {
		t.Errorf("it was counted %d times, want 4", n)
	}
}

// raw records the body that an adapter gets.
type raw struct {
	studio
	got *[]byte
}

func (r raw) Callback(_ context.Context, _ http.Header, body []byte, _ time.Time) (provider.Callback, error) {
	*r.got = bytes.Clone(body)
	return provider.Callback{ProviderTaskID: "p1"}, nil
}

// TestReceive_PassesTheBodyAsItCame wants every byte of a body to reach the adapter: a signature may cover it.
func TestReceive_PassesTheBodyAsItCame(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, newKey)
	var got []byte
	r, err := callback.NewReceiver(callback.Config{
		Tokens: tokens, Accounts: provider.Accounts{"kie": raw{got: &got}}, Settler: busy{},
		Meter: sdkmetric.NewMeterProvider().Meter("test"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"\xef\xbb\xbf{}", " {} \n", "\x00\xff", ""} {
		_ = r.Receive(t.Context(), "kie", makeToken(t, tokens, newID()), http.Header{}, []byte(body))
		if string(got) != body {
			t.Errorf("the adapter got %q, want %q", got, body)
		}
	}
}

func TestReceive_StoresNoURLTokenAndNoLink(t *testing.T) {
	t.Parallel()
	in := setup(t)
	echo := func(id string) []byte {
		u := "https://refract.example.com/v1/callbacks/kie/" + in.token
		return []byte(`{"id": "` + id + `", "callBackUrl": "` + u + `", "param": "{\"callBackUrl\":\"` + u + `\"}", "x": "` + in.token + in.token + `"}`)
	}
	for _, signature := range []string{"good", "bad", "old", ""} {
		body := echo("p1")
		_ = in.Receive(t.Context(), "kie", in.token, http.Header{"Signature": {signature}}, body)
		if diff := cmp.Diff(echo("p1"), body); diff != "" {
			t.Errorf("Receive changed the caller's body:\n%s", diff)
		}
	}
	_, bodies := in.inbox(t)
	if len(bodies) != 4 {
		t.Fatalf("%d callbacks are kept, want 4", len(bodies))
	}
	for _, body := range bodies {
		if strings.Contains(body, in.token) || !strings.Contains(body, "refract.example.com/[redacted]") {
			t.Errorf("the inbox has %s", body)
		}
	}
}

func TestReceive_FailsWhenTheDatabaseIsGone(t *testing.T) {
	t.Parallel()
	in := setup(t)
	in.pool.Close()
	for _, signature := range []string{"good", "bad"} {
		err := in.Receive(t.Context(), "kie", in.token, http.Header{"Signature": {signature}}, []byte(`{"id": "p1"}`))
		if err == nil || errors.Is(err, provider.ErrCallbackSignature) || errors.Is(err, lifecycle.ErrAttemptNotFound) {
			t.Errorf("Receive with a %s signature = %v, want the error of the database", signature, err)
		}
	}
	if err := in.Receive(t.Context(), "kie", "forged", http.Header{}, nil); !errors.Is(err, callback.ErrToken) {
		t.Errorf("Receive with a forged token = %v, want ErrToken without a query", err)
	}
}

// busy is a settler whose queue is full.
type busy struct{ callback.Settler }

func (busy) SettleCallback(context.Context, lifecycle.Callback, provider.Callback) (lifecycle.Verdict, error) {
	return "", fmt.Errorf("settle: %w", groupcommit.ErrFull)
}

func TestReceive_SaysWhenTooManyWait(t *testing.T) {
	t.Parallel()
	metrics := sdkmetric.NewManualReader()
	tokens := newTokens(t, newKey)
	r, err := callback.NewReceiver(callback.Config{
		Tokens: tokens, Accounts: provider.Accounts{"kie": studio{}}, Settler: busy{},
		Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics)).Meter("test"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Receive(t.Context(), "kie", makeToken(t, tokens, newID()), http.Header{"Signature": {"good"}}, []byte(`{"id": "p1"}`))
	if !errors.Is(err, callback.ErrBusy) {
		t.Errorf("Receive = %v, want ErrBusy", err)
	}
	if n := (ingress{metrics: metrics}).verdicts(t)["kie busy"]; n != 1 {
		t.Errorf("it was counted %d times, want once", n)
	}
}
