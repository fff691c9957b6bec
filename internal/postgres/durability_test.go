package postgres_test

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestForgetful_NamesWhatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"off", "on"} {
		config.ConnConfig.RuntimeParams["synchronous_commit"] = setting
		pool, err := pgxpool.NewWithConfig(t.Context(), config.Copy())
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		store, err := postgres.NewStore(pool, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.Forgetful(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(got, "synchronous_commit") != (setting == "off") {
			t.Errorf("with synchronous_commit %s the database is forgetful for %v", setting, got)
		}
	}
}
