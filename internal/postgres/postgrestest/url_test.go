package postgrestest_test

import (
	"testing"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestWith_SetsAParameter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ of, name, value, want string }{
		{"postgres://u:p@db/refract", "pool_max_conns", "4", "postgres://u:p@db/refract?pool_max_conns=4"},
		{"postgres://u@db/refract?sslmode=disable", "pool_max_conns", "4", "postgres://u@db/refract?sslmode=disable&pool_max_conns=4"},
		{"postgres://u@db/refract?pool_max_conns=9&sslmode=disable", "pool_max_conns", "4", "postgres://u@db/refract?sslmode=disable&pool_max_conns=4"},
		{"postgres://u@db/refract?options=-c%20geqo%3Doff", "search_path", "two words", "postgres://u@db/refract?options=-c%20geqo%3Doff&search_path=two%20words"},
	} {
		if got := postgrestest.With(tc.of, tc.name, tc.value); got != tc.want {
			t.Errorf("%s with %s=%s is %s, want %s", tc.of, tc.name, tc.value, got, tc.want)
		}
	}
}
