package migrations_test

import (
	"testing"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// The URL of a replica may limit its connections to fewer than a migration needs.
func TestApply_WorksWithAPoolOfOneConnection(t *testing.T) {
	t.Parallel()
	pool, err := dbpool.Open(t.Context(), postgrestest.WithPool(postgrestest.EmptyURL(t), "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Check(t.Context(), pool); err != nil {
		t.Error(err)
	}
}
