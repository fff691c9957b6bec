package inbox_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestKeepCallback_KeepsUpToItsLimit(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	_, id := create(t, pool, "films")
	for _, verdict := range []lifecycle.Verdict{lifecycle.BadSignature, lifecycle.Stale, lifecycle.Malformed, lifecycle.Stale} {
		c := lifecycle.Callback{AttemptID: id, Account: "kie", Verdict: verdict} // Without a body.
		if err := store.KeepCallback(t.Context(), c, 3); err != nil {
			t.Fatal(err)
		}
	}
	if n := postgrestest.Value[int](t, pool, "SELECT count(*) FROM callback"); n != 3 {
		t.Errorf("%d callbacks are kept, want 3", n)
	}
	stranger := lifecycle.Callback{AttemptID: task.AttemptID(uuid.NewString()), Account: "kie", Verdict: lifecycle.Stale}
	if err := store.KeepCallback(t.Context(), stranger, 3); !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		t.Errorf("KeepCallback of an unknown attempt = %v, want ErrAttemptNotFound", err)
	}
}
