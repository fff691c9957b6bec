package postgres_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/task"
)

// TestStorage_FailsForTheFleetWhereItFailsEverywhere has replicas whose storage fails, works, and that died.
func TestStorage_FailsForTheFleetWhereItFailsEverywhere(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	created := create(t, stores, "films", plain())
	limits := admission.AccountLimits{"kie": {Submissions: 1, Window: time.Second, InFlight: 1}}
	check := func(what, want string) {
		t.Helper()
		st, err := stores.Tasks.QueuePosition(t.Context(), created, limits)
		if err != nil || st.Storage != want {
			t.Errorf("%s: QueuePosition says %q, %v; want %q", what, st.Storage, err, want)
		}
		accounts, err := stores.Accounts.ProviderAccounts(t.Context(), limits)
		if err != nil || len(accounts) != 1 || accounts[0].Storage != want {
			t.Errorf("%s: accounts are %+v, %v; want %q", what, accounts, err, want)
		}
		if _, storage, err := stores.Storage.SaveTrouble(t.Context(), task.AttemptID(newID()), time.Time{}); err != nil || storage != want {
			t.Errorf("%s: SaveTrouble says %q, %v; want %q", what, storage, err, want)
		}
	}
	record := func(replica, cause string) {
		t.Helper()
		if err := stores.Storage.RecordStorage(t.Context(), replica, cause); err != nil {
			t.Fatal(err)
		}
	}
	check("nobody has looked", "")
	record("r1", "is full")
	check("the only replica fails", "is full")
	record("r2", "")
	check("another works", "")
	record("r2", "is full")
	check("both fail", "is full")
	record("r2", "")
	exec(t, pool, `UPDATE storage_probe SET probe_time = now() - interval '10 minutes' WHERE replica = 'r2'`)
	check("the one that worked died", "is full")
	record("r1", "")
	check("the storage works again", "")
	record("r1", "is read-only")
	if err := stores.Storage.ForgetStorage(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	check("all replicas stopped", "")
}

// TestNoteSaveTrouble_CountsTheProvidersFromWhenTheStorageWorked follows the trouble of one save.
func TestNoteSaveTrouble_CountsTheProvidersFromWhenTheStorageWorked(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	created := create(t, stores, "films", plain())
	id := admit(t, stores, created.ID)
	began := time.Now().Add(-time.Hour)
	note := func(cause task.WaitCause, storage string) task.SaveTrouble {
		t.Helper()
		got, err := stores.Storage.NoteSaveTrouble(t.Context(), id, began, task.SaveTry{Cause: cause, Message: "m", RetryAfter: time.Minute, Storage: storage})
		if err != nil {
			t.Fatal(err)
		}
		if got.Cause != cause || got.Until.Before(got.Since.Add(time.Minute)) {
			t.Errorf("noted %+v, want %s", got, cause)
		}
		exec(t, pool, `UPDATE save_trouble SET since_time = since_time - interval '1 minute'`) // Time passes.
		return got
	}
	age := func(got task.SaveTrouble) time.Duration {
		return got.Until.Add(-time.Minute).Sub(got.Since).Round(time.Minute)
	}
	if got := note(task.WaitDownload, ""); age(got) != 0 || got.Storage.Cause != "" {
		t.Errorf("the first trouble is %+v", got)
	}
	if got := note(task.WaitLinks, ""); age(got) != time.Minute {
		t.Errorf("the provider's trouble lasts %s, want a minute", age(got))
	}
	if got := note(task.WaitStorage, "is full"); age(got) != 0 || got.Storage.Cause != "is full" {
		t.Errorf("the storage's trouble is %+v, want it to begin", got)
	}
	if got := note(task.WaitStorage, "is read-only"); age(got) != time.Minute || got.Storage.Cause != "is read-only" || got.Storage.Until.Before(got.Storage.Since) {
		t.Errorf("the storage's trouble is %+v, want it to last a minute", got)
	}
	if got := note(task.WaitDownload, ""); age(got) != 0 || got.Storage.Cause != "is read-only" {
		t.Errorf("after the storage's trouble the provider's is %+v, want it to begin anew and to know of the storage", got)
	}
	if got, _, err := stores.Storage.SaveTrouble(t.Context(), id, began); err != nil || got.Cause != task.WaitDownload || got.Message != "m" {
		t.Errorf("SaveTrouble = %+v, %v", got, err)
	}
	if got, _, err := stores.Storage.SaveTrouble(t.Context(), id, time.Now().Add(time.Hour)); err != nil || got.Cause != "" {
		t.Errorf("trouble of an earlier save is returned: %+v, %v", got, err)
	}
	began = time.Now().Add(time.Hour)
	if got := note(task.WaitDownload, ""); age(got) != 0 || got.Storage.Cause != "" {
		t.Errorf("the trouble of another job is %+v, want it to begin anew and to know of no storage", got)
	}
}
