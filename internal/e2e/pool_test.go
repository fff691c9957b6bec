package e2e_test

import (
	"testing"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestOpenPool_NamesItsConnections reads the names of connections from the database.
func TestOpenPool_NamesItsConnections(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	for given, want := range map[string]string{"": "refract", "&application_name=films-refract": "films-refract"} {
		pool, err := dbpool.Open(t.Context(), url+given)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		var name string
		if err := pool.QueryRow(t.Context(), "SELECT current_setting('application_name')").Scan(&name); err != nil || name != want {
			t.Errorf("with %q the name is %q, %v, want %q", given, name, err, want)
		}
	}
}
