package expiry_test

import (
	"testing"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/retention"
)

// The lock takes a connection, and the URL of a replica may allow it one.
func TestHoldRetention_LeavesAConnectionToWorkWith(t *testing.T) {
	t.Parallel()
	pool, err := dbpool.Open(t.Context(), postgrestest.WithPool(postgrestest.URL(t), "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := expiry.New(pool, pool, retention.Periods{})
	release, held, err := store.HoldRetention(t.Context())
	if err != nil || !held {
		t.Fatalf("held %v, %v", held, err)
	}
	defer release()
	if err := store.ForgetDays(t.Context()); err != nil {
		t.Error(err)
	}
}
