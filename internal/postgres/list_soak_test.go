//go:build soak

package postgres_test

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/postgres"
)

// manyTasks is how many tasks the database has.
const manyTasks = 10_000_000

// insertMany inserts the tasks from $1 to $2-1, of one tenant or, with $3 greater than 1, of many, over a day.
const insertMany = `
INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider,
                  fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, deadline_time, create_time)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008' || substr(md5(n::text), 1, 15))::uuid,
       'tenant-' || abs(hashint4(n)::bigint) % $3, 'request-' || n, 'make it snow ' || md5(n::text), 'https://example.com/a.mp4', '', '', '', '', '',
       '{}', '{kie}', 'kie', 0, '{"team": "films"}', '1 hour', 1, 'CANCELED', 1, 1, at, at
FROM (SELECT n, now() - interval '1 day' * (1 - n / 1e7) AS at FROM generate_series($1::int, $2::int - 1) AS n) AS made`

// TestSoak_APageLooksAtFewBuffersOfTenMillionTasks measures buffers, which other load on the machine does not change. Each of the ten
// thousand tasks that a page looks at may be on a page of its own.
func TestSoak_APageLooksAtFewBuffersOfTenMillionTasks(t *testing.T) {
	for name, tenants := range map[string]int{"of one tenant": 1, "of a thousand tenants": 1000} {
		t.Run(name, func(t *testing.T) {
			_, pool := setup(t)
			for n := 0; n < manyTasks; n += 100_000 {
				exec(t, pool, insertMany, n, n+100_000, tenants)
			}
			exec(t, pool, "VACUUM ANALYZE task")
			for filter, tc := range map[string]struct {
				states, labels, text string
				most                 int
			}{
				"none":             {"{}", "{}", "", 200},
				"a state":          {"{SAVING}", "{}", "", 11_000},
				"a label":          {"{}", `{"team": "absent"}`, "", 11_000},
				"a text":           {"{}", "{}", "no task has this", 11_000},
				"a text and state": {"{SAVING}", "{}", "no task has this", 11_000},
			} {
				var plan []byte
				err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					return tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+postgres.HotStatements["list tasks"],
						"tenant-0", "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000", nil, nil, tc.states, "{}", "{}", "{}", "{}",
						tc.labels, tc.text, nil, 51, 6_000_000, 4<<20).Scan(&plan)
				})
				if err != nil {
					t.Fatal(err)
				}
				var plans []struct {
					Plan struct {
						Hit  int `json:"Shared Hit Blocks"`
						Read int `json:"Shared Read Blocks"`
					}
					Time float64 `json:"Execution Time"`
				}
				if err := json.Unmarshal(plan, &plans); err != nil {
					t.Fatal(err)
				}
				buffers := plans[0].Plan.Hit + plans[0].Plan.Read
				t.Logf("filtered by %s: %d buffers, %.1f ms", filter, buffers, plans[0].Time)
				if buffers > tc.most {
					t.Errorf("filtered by %s, a page reads %d buffers, want at most %d", filter, buffers, tc.most)
				}
			}
		})
	}
}
