package bench

import "testing"

func TestProgramURL_HasNoParameterOfPgx(t *testing.T) {
	t.Parallel()
	for of, want := range map[string]string{
		"postgresql://u@db/refract?options=-c%20geqo%3Doff&pool_max_conns=4":            "postgresql://u@db/refract?options=-c%20geqo%3Doff",
		"host=/run/pg dbname=refract password=a?b&c":                                    "host=/run/pg dbname=refract password=a?b&c",
		"postgres://u:p@db:5432/refract":                                                "postgres://u:p@db:5432/refract",
		"postgres://u:p@db/refract?sslmode=disable&pool_max_conns=4":                    "postgres://u:p@db/refract?sslmode=disable",
		"postgres://u@db/refract?statement_cache_capacity=0&pool_min_conns=2":           "postgres://u@db/refract",
		"postgres://u@/refract?default_query_exec_mode=exec&host=%2Frun%2Fpg&port=6432": "postgres://u@/refract?host=%2Frun%2Fpg&port=6432",
	} {
		if got := programURL(of); got != want {
			t.Errorf("pgbench gets %s instead of %s, want %s", got, of, want)
		}
	}
}
