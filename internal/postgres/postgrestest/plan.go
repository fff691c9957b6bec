package postgrestest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PopulateTasks fills a database with tasks of many tenants and ages: one in a hundred waits, one in a hundred runs, the
// others have ended.
const PopulateTasks = `
INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider,
                  fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision, allowance,
                  result_attempt, deadline_time, create_time, line_time)
SELECT md5('task' || n)::uuid, 'tenant-' || n % 40, 'request-' || n, repeat('make it snow ', 10), 'https://example.com/a.mp4', '', '', '', '', '',
       '{}', '{kie,luma}', 'kie', 0, '{}', '1 hour', 1,
       CASE n % 100 WHEN 0 THEN 'QUEUED' WHEN 1 THEN 'RUNNING' ELSE 'SUCCEEDED' END, 5, 1,
       CASE WHEN n % 100 > 1 THEN md5('attempt' || n)::uuid END, now() + interval '1 hour', now() - n * interval '1 s', now() - n * interval '1 s'
FROM generate_series(1, $1::int) AS n`

const populateAttempts = `
INSERT INTO attempt (id, task_id, number, provider, account, provider_task_id, state, sent, create_time, answer_time, next_check_time, settle_time)
SELECT md5('attempt' || n)::uuid, md5('task' || n)::uuid, 1, 'kie', 'kie', 'p-' || n,
       CASE n % 100 WHEN 1 THEN 'RUNNING' ELSE 'SUCCEEDED' END, true, now() - n * interval '1 s', now() - n * interval '1 s',
       CASE n % 100 WHEN 1 THEN now() + n * interval '1 s' END, CASE WHEN n % 100 > 1 THEN now() - n * interval '1 s' END
FROM generate_series(1, $1::int) AS n
WHERE n % 100 > 0`

const populateEvents = `
INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
SELECT md5('task' || n)::uuid, revision, 'RUNNING', 1, 'accepted', 'tenant-' || n % 40
FROM generate_series(1, $1::int) AS n, generate_series(1, 5) AS revision`

const populateCallbacks = `
INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body)
SELECT id, 'kie', provider_task_id, 'applied', '{}' FROM attempt WHERE state = 'SUCCEEDED'`

const populateOutputs = `
INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256)
SELECT id, 0, 'outputs/' || id, 'video/mp4', 1, sha256('') FROM attempt WHERE state = 'SUCCEEDED'`

const populateEndpoints = `
INSERT INTO webhook_endpoint (id, tenant, url, description, states, labels, rate_limit, secret)
SELECT md5('endpoint' || n)::uuid, 'tenant-' || n, CASE n % 2 WHEN 0 THEN '' ELSE 'https://example.com/hook' END, '', '{SUCCEEDED}', '{}', n % 3, ''
FROM generate_series(1, $1::int) AS n`

// populateDeliveries gives some endpoints all deliveries, and the others none.
const populateDeliveries = `
INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state, state, next_attempt_time)
SELECT md5('task' || n)::uuid, 5, md5('endpoint' || n % 40)::uuid, 'SUCCEEDED', state, CASE state WHEN 'PENDING' THEN now() END
FROM generate_series(1, $1::int) AS n,
     LATERAL (SELECT CASE n % 4 WHEN 0 THEN 'PENDING' ELSE 'SUCCEEDED' END AS state) AS its`

const populateDeliveryAttempts = `
INSERT INTO webhook_attempt (task_id, revision, endpoint_id, start_time, duration_ms, status, error, answer)
SELECT task_id, revision, endpoint_id, now(), 5, 200, '', '' FROM webhook_delivery WHERE state = 'SUCCEEDED'`

// CheckPlans reports each of the named statements whose plan reads all of a large table. The database is a fresh one with
// thousands of tasks. The plan is the one for any parameters.
func CheckPlans(t *testing.T, statements map[string]string) {
	t.Helper()
	pool := Pool(t)
	Exec(t, pool, "INSERT INTO provider_account (account, provider) VALUES ('kie', 'kie')")
	for _, sql := range []string{PopulateTasks, populateAttempts, populateEvents, populateEndpoints, populateDeliveries} {
		Exec(t, pool, sql, 5_000)
	}
	Exec(t, pool, populateCallbacks)
	Exec(t, pool, populateOutputs)
	Exec(t, pool, populateDeliveryAttempts)
	Exec(t, pool, "ANALYZE")
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan"); err != nil {
		t.Fatal(err)
	}
	for name, sql := range statements {
		t.Run(name, func(t *testing.T) {
			whole := scanned(t.Context(), t, conn.Conn(), sql)
			for _, table := range []string{"task", "attempt", "task_event", "output", "callback", "webhook_delivery", "webhook_attempt"} {
				if slices.Contains(whole, table) {
					t.Errorf("it reads all of table %s", table)
				}
			}
		})
	}
}

// scanned returns the tables that a statement reads from one end to the other.
func scanned(ctx context.Context, t testing.TB, conn *pgx.Conn, sql string) []string {
	t.Helper()
	statement, err := conn.Prepare(ctx, "plan", sql)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Deallocate(ctx, "plan") }()
	explain := "EXPLAIN (FORMAT JSON) EXECUTE plan" // With its text in place of the name it would be planned for the parameters given.
	if n := len(statement.ParamOIDs); n > 0 {
		explain += "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	var text []byte
	if err := conn.QueryRow(ctx, explain, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan node }
	if err := json.Unmarshal(text, &plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan.scanned()
}

// node is a step of a plan.
type node struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Plans    []node
}

func (n node) scanned() []string {
	var tables []string
	if n.Type == "Seq Scan" {
		tables = append(tables, n.Relation)
	}
	for _, p := range n.Plans {
		tables = append(tables, p.scanned()...)
	}
	return tables
}
