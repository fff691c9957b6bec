package postgres_test

import (
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestClock_IsTheDatabasesAndNotOurs has a database whose clock is an hour ahead.
func TestClock_IsTheDatabasesAndNotOurs(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	const ahead = `CREATE SCHEMA ahead;
		CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql
		AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$`
	if _, err := postgrestest.Connect(t, u.String()).Exec(t.Context(), ahead); err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "ahead,pg_catalog,public")
	u.RawQuery = q.Encode()
	clock, err := postgres.NewClock(t.Context(), postgrestest.Connect(t, u.String()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if ahead := time.Until(clock.Now()); ahead < 59*time.Minute || ahead > 61*time.Minute {
		t.Errorf("the clock is %v ahead of ours, want an hour as the database", ahead)
	}
	if first, second := clock.Now(), clock.Now(); second.Before(first) {
		t.Errorf("the clock went back from %v to %v", first, second)
	}
}
