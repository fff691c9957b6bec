package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

var configuredLimits = admission.AccountLimits{"kie": provider.Limits{Submissions: 18, Window: 10 * time.Second, InFlight: 100}}

// account returns how the account kie stands.
func account(t *testing.T, stores *postgres.Stores) admission.Account {
	t.Helper()
	accounts, err := stores.Accounts.ProviderAccounts(t.Context(), configuredLimits)
	if err != nil || len(accounts) != 1 {
		t.Fatalf("ProviderAccounts = %+v, %v, want one", accounts, err)
	}
	return accounts[0]
}

func TestProviderAccounts_TellHowMuchIsUsed(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	if err := stores.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie-old": "kie"}); err != nil {
		t.Fatal(err)
	}
	create(t, stores, "films", plain())
	create(t, stores, "films", plain())
	for range 3 { // One is being sent, one runs, of one the outcome is unknown.
		created := create(t, stores, "films", plain())
		id := admit(t, stores, created.ID)
		apply(t, stores, created.ID, task.Sending{Attempt: id})
		switch count(t, pool, "SELECT count(*) FROM attempt") {
		case 2:
			apply(t, stores, created.ID, task.Accepted{Attempt: id, ProviderTaskID: "p2"})
		case 3:
			apply(t, stores, created.ID, task.Ambiguous{Attempt: id})
		}
	}
	want := admission.Account{
		Usage:    admission.Usage{Account: "kie", Limits: configuredLimits["kie"], Unanswered: 1, Recent: 2, InFlight: 3},
		Provider: "kie", Configured: configuredLimits["kie"], Unknown: 1, Queued: 2,
	}
	if diff := cmp.Diff(want, account(t, stores)); diff != "" {
		t.Errorf("the account (-want +got):\n%s", diff)
	}
}

func TestLimitAccount_ReplacesWhatIsConfiguredAndGoesBack(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	configured := configuredLimits["kie"]
	for _, tc := range []struct {
		set  admission.OperatorLimits
		want provider.Limits
	}{
		{admission.OperatorLimits{Submissions: 5, Window: 90 * time.Second, InFlight: 7}, provider.Limits{Submissions: 5, Window: 90 * time.Second, InFlight: 7}},
		{admission.OperatorLimits{InFlight: 3}, provider.Limits{Submissions: 18, Window: 10 * time.Second, InFlight: 3}},
		{admission.OperatorLimits{Submissions: 1, Window: 100 * time.Millisecond}, provider.Limits{Submissions: 1, Window: 100 * time.Millisecond, InFlight: 100}},
		{admission.OperatorLimits{}, configured},
	} {
		if err := stores.Accounts.LimitAccount(t.Context(), "kie", tc.set); err != nil {
			t.Fatal(err)
		}
		got := account(t, stores)
		if got.Limits != tc.want || got.Configured != configured {
			t.Errorf("after %+v the limits are %+v, configured %+v, want %+v and %+v", tc.set, got.Limits, got.Configured, tc.want, configured)
		}
	}
}

func TestReleaseAccount_EndsEveryPause(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	if err := stores.Accounts.HoldAccount(t.Context(), "kie", "maintenance of ours"); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, `UPDATE provider_account SET paused_until_time = now() + interval '1 hour', pauses = 3, pause_reason = 'no credits', blocked = true`)
	if got := account(t, stores); !got.Paused || !got.Held || got.PauseReason != "maintenance of ours" || got.Permits() != 0 {
		t.Errorf("a held account is %+v, want it paused with the operator's reason", got)
	}
	if err := stores.Accounts.ReleaseAccount(t.Context(), "kie"); err != nil {
		t.Fatal(err)
	}
	want := admission.Account{
		Usage:    admission.Usage{Account: "kie", Limits: configuredLimits["kie"]},
		Provider: "kie", Configured: configuredLimits["kie"],
	}
	if diff := cmp.Diff(want, account(t, stores)); diff != "" {
		t.Errorf("the released account (-want +got):\n%s", diff)
	}
	for name, err := range map[string]error{
		"limit":   stores.Accounts.LimitAccount(t.Context(), "nobody", admission.OperatorLimits{}),
		"hold":    stores.Accounts.HoldAccount(t.Context(), "nobody", "x"),
		"release": stores.Accounts.ReleaseAccount(t.Context(), "nobody"),
	} {
		if !errors.Is(err, admission.ErrAccountNotFound) {
			t.Errorf("%s an unknown account = %v, want ErrAccountNotFound", name, err)
		}
	}
}

// TestPrepareAccounts_DoesNotWaitForARoundOfAdmission has a replica start while another one is stopped in such a round.
//
// It fails when insertAccount inserts what is there.
func TestPrepareAccounts_DoesNotWaitForARoundOfAdmission(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	round := postgrestest.Begin(t, pool)
	if _, err := round.Exec(t.Context(), "SELECT FROM provider_account FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), postgrestest.Hung)
	defer cancel()
	if err := stores.Accounts.PrepareAccounts(ctx, map[string]string{"kie": "kie", "luma": "luma"}); err != nil {
		t.Error(err)
	}
	if err := round.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stores.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie": "another"}); err != nil {
		t.Error(err)
	}
	if got := value[string](t, pool, "SELECT provider FROM provider_account WHERE account = 'kie'"); got != "another" {
		t.Errorf("the account is at %s, want another", got)
	}
}

func TestPinCallbackSigner_KeepsTheFirst(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	if got, err := stores.Accounts.CallbackSigner(t.Context(), "kie"); got != "" || err != nil {
		t.Errorf("CallbackSigner = %q, %v; want none", got, err)
	}
	for _, signer := range []string{"first", "second"} {
		if got, err := stores.Accounts.PinCallbackSigner(t.Context(), "kie", signer); got != "first" || err != nil {
			t.Errorf("PinCallbackSigner(%s) = %q, %v; want the first", signer, got, err)
		}
	}
	if got, err := stores.Accounts.CallbackSigner(t.Context(), "kie"); got != "first" || err != nil {
		t.Errorf("CallbackSigner = %q, %v; want the first", got, err)
	}
	if _, err := stores.Accounts.CallbackSigner(t.Context(), "stranger"); !errors.Is(err, admission.ErrAccountNotFound) {
		t.Errorf("CallbackSigner of an unknown account = %v", err)
	}
	if _, err := stores.Accounts.PinCallbackSigner(t.Context(), "stranger", "a"); !errors.Is(err, admission.ErrAccountNotFound) {
		t.Errorf("PinCallbackSigner of an unknown account = %v", err)
	}
}
