package postgrestest

import (
	"net/url"
	"testing"
)

// poolSize is the parameter of a URL that pgx reads and PostgreSQL's own programs refuse.
const poolSize = "pool_max_conns"

// With returns the address of a database with a parameter.
func With(t testing.TB, databaseURL, name, value string) string {
	t.Helper()
	return amend(t, databaseURL, func(q url.Values) { q.Set(name, value) })
}

// WithPool returns the address of a database for a pool of at most so many connections.
func WithPool(t testing.TB, databaseURL, connections string) string {
	t.Helper()
	return With(t, databaseURL, poolSize, connections)
}

// withoutPool returns the address of a database for PostgreSQL's own programs.
func withoutPool(t testing.TB, databaseURL string) string {
	t.Helper()
	return amend(t, databaseURL, func(q url.Values) { q.Del(poolSize) })
}

func amend(t testing.TB, databaseURL string, change func(url.Values)) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed") // The error would print its password.
	}
	q := u.Query()
	change(q)
	u.RawQuery = q.Encode()
	return u.String()
}
