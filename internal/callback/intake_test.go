package callback_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
)

func keyring(t *testing.T, keys ...[]byte) *notify.Keyring {
	t.Helper()
	ring, err := notify.OpenKeeper(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// store returns an intake whose callbacks the settler of settle gets, sealed with a key.
func (in ingress) store(t *testing.T, key []byte) *callback.Intake {
	t.Helper()
	appender := inbox.NewAppender(in.pool, func() {})
	t.Cleanup(func() { _ = appender.Close(context.WithoutCancel(t.Context())) })
	intake, err := callback.NewIntake(callback.IntakeConfig{
		Tokens: newTokens(t, newKey), Keys: keyring(t, key), Appender: appender, Meter: sdkmetric.NewMeterProvider().Meter("test"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return intake
}

// settle runs a settler until stop is called or the test ends. After stop, every settled callback is counted.
func (in ingress) settle(t *testing.T) (wake, stop func()) {
	t.Helper()
	settler, err := callback.NewIntakeSettler(callback.IntakeSettlerConfig{
		Receiver: in.Receiver, Store: inbox.New(in.pool), Keys: keyring(t, newKey), Meter: sdkmetric.NewMeterProvider().Meter("test"),
		Log: slog.New(slog.NewTextHandler(in.logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return settler.Wake, postgrestest.Background(t, settler.Run)
}

func (in ingress) waiting(t *testing.T) int {
	t.Helper()
	return postgrestest.Value[int](t, in.pool, "SELECT count(*) FROM callback_intake")
}

// kept is a callback of the inbox.
type kept struct{ Verdict, ProviderTask, Body string }

func (in ingress) kept(t *testing.T) []kept {
	t.Helper()
	rows, err := in.pool.Query(t.Context(), "SELECT verdict, provider_task_id, convert_from(body, 'SQL_ASCII') FROM callback ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[kept])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestIntake_HasTheVerdictsOfTheDirectPath(t *testing.T) {
	t.Parallel()
	direct, stored := setup(t), setup(t)
	intake := stored.store(t, newKey)
	wake, stop := stored.settle(t)
	for _, c := range []struct{ signature, body string }{
		{"bad", `{"id": "p1"}`},
		{"old", `{"id": "p1"}`},
		{"good", "<html>"},
		{"good", ""},
		{"good", `{"id": "p2"}`},
		{"unverifiable", `{"id": "p1"}`},
		{"", `{"id": "p1", "url": "https://files.example.com/a?secret=1", "token": "TOKEN"}`},
		{"by us", `{"id": "p1"}`},
		{"by them", `{"id": "p1"}`},
		{"good", `{"id": "p1"}`},
		{"good", `{"id": "p1", "failed": true}`},
	} {
		post := func(in ingress, receive func(context.Context, string, string, http.Header, []byte) error) error {
			return receive(t.Context(), "kie", in.token, http.Header{"Signature": {c.signature}}, []byte(strings.ReplaceAll(c.body, "TOKEN", in.token)))
		}
		_ = post(direct, direct.Receive) // What it returns is a matter of another test.
		if err := post(stored, intake.Receive); err != nil {
			t.Errorf("a callback with signature %q and body %s was not stored: %v", c.signature, c.body, err)
		}
		wake()
		postgrestest.Until(t, func() bool { return stored.waiting(t) == 0 })
	}
	stop()
	if diff := cmp.Diff(direct.kept(t), stored.kept(t)); diff != "" {
		t.Errorf("the inbox (-direct +stored):\n%s", diff)
	}
	if diff := cmp.Diff(direct.verdicts(t), stored.verdicts(t)); diff != "" {
		t.Errorf("counted verdicts (-direct +stored):\n%s", diff)
	}
}

func TestIntake_StoresNothingReadable(t *testing.T) {
	t.Parallel()
	in := setup(t)
	intake := in.store(t, newKey)
	body := []byte(`{"id": "p1", "url": "https://files.example.com/a?secret=1", "callBackUrl": "` + in.token + `"}`)
	if err := intake.Receive(t.Context(), "kie", in.token, http.Header{"Signature": {"good"}}, body); err != nil {
		t.Fatal(err)
	}
	sealed := postgrestest.Value[[]byte](t, in.pool, "SELECT sealed FROM callback_intake")
	for _, secret := range []string{in.token, "secret=1", "files.example.com"} {
		if bytes.Contains(sealed, []byte(secret)) {
			t.Errorf("the intake holds %q", secret)
		}
	}
	if err := intake.Receive(t.Context(), "kie", strings.Repeat("A", 43), nil, body); !errors.Is(err, callback.ErrToken) {
		t.Errorf("Receive with a forged token = %v, want ErrToken", err)
	}
	if err := intake.Receive(t.Context(), "luma", in.token, nil, body); !errors.Is(err, callback.ErrToken) {
		t.Errorf("Receive for another account = %v, want ErrToken", err)
	}
	if n := in.waiting(t); n != 1 {
		t.Errorf("the intake has %d callbacks, want 1", n)
	}
}

// timed is a provider whose signatures are valid for five minutes.
type timed struct {
	studio
	signed time.Time
}

func (p timed) Callback(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
	if now.Sub(p.signed).Abs() > 5*time.Minute {
		return provider.Callback{ProviderTaskID: "p1"}, provider.ErrCallbackStale
	}
	return p.studio.Callback(ctx, header, body, now)
}

func TestIntakeSettler_JudgesTheAgeOfASignatureByWhenItWasStored(t *testing.T) {
	t.Parallel()
	in := setup(t)
	intake := in.store(t, newKey)
	if err := intake.Receive(t.Context(), "kie", in.token, http.Header{"Signature": {"good"}}, []byte(`{"id": "p1"}`)); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, in.pool, "UPDATE callback_intake SET receive_time = now() - interval '3 h'") // No worker ran for so long.
	received := postgrestest.Value[time.Time](t, in.pool, "SELECT receive_time FROM callback_intake")
	in.over(t, timed{signed: received.Add(-time.Minute)}).settle(t)
	postgrestest.Until(t, func() bool { return in.waiting(t) == 0 })
	verdicts, _ := in.inbox(t)
	if diff := cmp.Diff([]string{"applied"}, verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if got := postgrestest.Value[time.Time](t, in.pool, "SELECT receive_time FROM callback"); !got.Equal(received) {
		t.Errorf("the inbox says that it was received at %v, want %v", got, received)
	}
}

// over returns the ingress with another adapter.
func (in ingress) over(t *testing.T, p provider.Provider) ingress {
	t.Helper()
	in.metrics = sdkmetric.NewManualReader()
	var err error
	in.Receiver, err = callback.NewReceiver(callback.Config{
		Tokens: newTokens(t, newKey), Accounts: provider.Accounts{"kie": p}, Settler: in.verbs,
		Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(in.metrics)).Meter("test"), Log: slog.New(slog.NewTextHandler(in.logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// fragile is a provider whose adapter panics at a body.
type fragile struct{ studio }

func (p fragile) Callback(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
	if string(body) == "poison" {
		panic("a bug of the adapter") //nolint:forbidigo // This is what the test is about.
	}
	return p.studio.Callback(ctx, header, body, now)
}

// A callback that was sealed with another key, or that the code can't bear, waits for a day, delays no other, and is given up then.
func TestIntakeSettler_WhatCantBeSettledDelaysNoOther(t *testing.T) {
	t.Parallel()
	in := setup(t)
	foreign, own := in.store(t, oldKey), in.store(t, newKey)
	receive := func(intake *callback.Intake, body string) {
		t.Helper()
		if err := intake.Receive(t.Context(), "kie", in.token, http.Header{"Signature": {"good"}}, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	receive(foreign, `{"id": "p1"}`)
	receive(own, "poison")
	receive(own, `{"id": "p1"}`)
	in = in.over(t, fragile{})
	_, stop := in.settle(t)
	postgrestest.Until(t, func() bool {
		return in.waiting(t) == 2 && postgrestest.Value[bool](t, in.pool, "SELECT bool_and(next_settle_time > now()) FROM callback_intake")
	})
	if verdicts, _ := in.inbox(t); cmp.Diff([]string{"applied"}, verdicts) != "" {
		t.Fatalf("the inbox has %v, want the good callback alone", verdicts)
	}
	postgrestest.Exec(t, in.pool, "UPDATE callback_intake SET receive_time = now() - interval '25 h', next_settle_time = now()")
	postgrestest.Until(t, func() bool { return in.waiting(t) == 0 })
	stop()
	verdicts, bodies := in.inbox(t)
	if diff := cmp.Diff([]string{"applied", "malformed", "malformed"}, verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if bodies[1]+bodies[2] != "" {
		t.Errorf("the inbox holds bodies %q, which may have secrets", bodies[1:])
	}
	for verdict, want := range map[string]int64{"kie given_up": 2, "kie applied": 1} {
		if n := in.verdicts(t)[verdict]; n != want {
			t.Errorf("%q was counted %d times, want %d", verdict, n, want)
		}
	}
}

// TestIntakeSettler_ARowThatNoIngressSealedIsNoCallback has rows that the database role of an ingress can append without its key. All that
// may come of them is a malformed callback without content.
func TestIntakeSettler_ARowThatNoIngressSealedIsNoCallback(t *testing.T) {
	t.Parallel()
	in := setup(t)
	for _, sealed := range []string{"", "x", strings.Repeat("x", 100)} {
		postgrestest.Exec(t, in.pool, "INSERT INTO callback_intake (attempt_id, account, sealed, receive_time) VALUES ($1, E'ki\x1be', $2, now() - interval '25 h')", in.attempt, []byte(sealed))
	}
	in.settle(t)
	postgrestest.Until(t, func() bool { return in.waiting(t) == 0 })
	if diff := cmp.Diff([]kept{{Verdict: "malformed"}, {Verdict: "malformed"}, {Verdict: "malformed"}}, in.kept(t)); diff != "" {
		t.Errorf("the inbox (-want +got):\n%s", diff)
	}
	if accounts := postgrestest.Value[string](t, in.pool, "SELECT string_agg(DISTINCT account, ' ') FROM callback"); accounts != "unknown" {
		t.Errorf("the inbox has the accounts %q, which anyone may have written", accounts)
	}
}

func TestIntakeSettler_RemovesWhatIsAboutNoTask(t *testing.T) {
	t.Parallel()
	in := setup(t)
	intake := in.store(t, newKey)
	unknown := makeToken(t, newTokens(t, newKey), newID())
	for _, signature := range []string{"good", "bad"} {
		if err := intake.Receive(t.Context(), "kie", unknown, http.Header{"Signature": {signature}}, []byte(`{"id": "p1"}`)); err != nil {
			t.Fatalf("a callback about a task that retention has removed was not accepted: %v", err)
		}
	}
	in.settle(t)
	postgrestest.Until(t, func() bool { return in.waiting(t) == 0 })
	if n := in.verdicts(t)["kie unknown_attempt"]; n != 2 {
		t.Errorf("%d callbacks were counted as about an unknown attempt, want 2", n)
	}
}

func TestIntakeSettler_TwoReplicasSettleEachOnce(t *testing.T) {
	t.Parallel()
	in := setup(t)
	intake := in.store(t, newKey)
	const n = 24 // The inbox keeps 32 of an attempt.
	for range n {
		if err := intake.Receive(t.Context(), "kie", in.token, http.Header{}, []byte(`{"id": "p1"}`)); err != nil {
			t.Fatal(err)
		}
	}
	in.settle(t)
	in.settle(t)
	postgrestest.Until(t, func() bool { return in.waiting(t) == 0 })
	if verdicts, _ := in.inbox(t); len(verdicts) != n {
		t.Errorf("the inbox has %d callbacks, want %d", len(verdicts), n)
	}
}

func TestIntake_BoundsTheCallbacksOfAnAttempt(t *testing.T) {
	t.Parallel()
	in := setup(t)
	intake := in.store(t, newKey)
	post := func(token string) error {
		return intake.Receive(t.Context(), "kie", token, nil, []byte(`{"id": "p1"}`))
	}
	errs := postgrestest.AtOnce(t.Context(), 40, func(context.Context, int) error { return post(in.token) })
	for _, err := range errs {
		if !errors.Is(err, callback.ErrBusy) {
			t.Errorf("one callback too many is answered %v, want ErrBusy", err)
		}
	}
	// The bound is not exact: sets that are committed at once do not see one another.
	if n := in.waiting(t); n < 32 || n+len(errs) != 40 {
		t.Errorf("%d callbacks are stored and %d refused, want at least 32 stored, and 40 in all", n, len(errs))
	}
	if err := post(in.token); !errors.Is(err, callback.ErrBusy) {
		t.Errorf("a callback of an attempt that has its share = %v, want ErrBusy", err)
	}
	if err := post(makeToken(t, newTokens(t, newKey), newID())); err != nil {
		t.Errorf("a callback of another attempt = %v, want it stored", err)
	}
}
