package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrNoPgbench means that the machine has no pgbench, so that there is no baseline.
var ErrNoPgbench = errors.New("pgbench was not found: install PostgreSQL's contrib programs")

// Pgbench runs PostgreSQL's own load generator.
type Pgbench struct {
	program string
	url     string
}

// FindPgbench finds the program, in PATH or where the distributions put it.
func FindPgbench(databaseURL string) (Pgbench, error) {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return Pgbench{path, databaseURL}, nil
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/pgbench", "/usr/pgsql-*/bin/pgbench", "/opt/homebrew/opt/postgresql*/bin/pgbench"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return Pgbench{found[len(found)-1], databaseURL}, nil
		}
	}
	return Pgbench{}, ErrNoPgbench
}

// clientCounts are the numbers of clients among which the best is looked for.
var clientCounts = []int{4, 8, 16, 32, 64}

// Best finds the number of clients with which a script does most. Each try uses rows of its own, which rows gives.
func (p Pgbench) Best(ctx context.Context, script string, duration time.Duration, rows func() (int, error)) (int, error) {
	best, most := 0, 0.0
	for _, clients := range clientCounts {
		first, err := rows()
		if err != nil {
			return 0, err
		}
		r, err := p.Run(ctx, script, clients, duration, first)
		if err != nil {
			return 0, err
		}
		if r.PerSecond > most {
			best, most = clients, r.PerSecond
		}
	}
	return best, nil
}

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// Run runs a script with prepared statements. The script finds the number of a row that nobody else uses in :n, once it
// has begun with nextRow.
func (p Pgbench) Run(ctx context.Context, script string, clients int, duration time.Duration, firstRow int) (Rate, error) {
	dir, err := os.MkdirTemp("", "refract-pgbench-")
	if err != nil {
		return Rate{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // What is left of a temporary folder harms nobody.
	file := filepath.Join(dir, "script.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return Rate{}, err
	}
	seconds := max(1, int(duration.Seconds()))
	//nolint:gosec // The program is PostgreSQL's.
	cmd := exec.CommandContext(ctx, p.program, "--no-vacuum", "--protocol=prepared", "--jobs=2",
		"--client="+strconv.Itoa(clients), "--time="+strconv.Itoa(seconds), "--file="+file,
		"--define=first="+strconv.Itoa(firstRow), "--define=i=-1", "--define=clients="+strconv.Itoa(clients), p.url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Rate{}, fmt.Errorf("run pgbench: %w: %s", err, strings.ReplaceAll(string(out), p.url, "[database]"))
	}
	m := tps.FindSubmatch(out)
	if m == nil {
		return Rate{}, fmt.Errorf("pgbench printed no rate: %s", out)
	}
	rate, err := strconv.ParseFloat(string(m[1]), 64)
	return Rate{Done: int(rate * float64(seconds)), PerSecond: rate}, err
}

// nextRow gives each client of pgbench the next of its own rows.
const nextRow = `\set i :i + 1
\set n :first + :client_id + :i * :clients
`

// CallbackScript writes what a callback writes to a task: update of task and attempt, insert of event and inbox row. The
// job that fetches the result is left out, in favour of pgbench.
func CallbackScript() string {
	body := strings.ReplaceAll(CallbackBody(ProviderTaskID(0)), `\`, `\\`)
	return nextRow + `BEGIN;
UPDATE task SET state = 'SAVING', revision = revision + 1, result_attempt = ('00000000-0000-7000-9000-' || lpad((:n)::text, 12, '0'))::uuid, update_time = now()
WHERE id = ('00000000-0000-7000-8000-' || lpad((:n)::text, 12, '0'))::uuid;
UPDATE attempt SET state = 'SUCCEEDED', settle_time = now(), next_check_time = NULL
WHERE id = ('00000000-0000-7000-9000-' || lpad((:n)::text, 12, '0'))::uuid;
INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
VALUES (('00000000-0000-7000-8000-' || lpad((:n)::text, 12, '0'))::uuid, 4, 'SAVING', 1, 'kie finished attempt 1', 'bench');
INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body)
VALUES (('00000000-0000-7000-9000-' || lpad((:n)::text, 12, '0'))::uuid, 'kie', lpad((:n)::text, 32, '0'), 'applied', '` + body + `');
COMMIT;
`
}

// SubmitScript writes what a submission writes, a task and its first event, in one statement.
func SubmitScript() string {
	return nextRow + `WITH created AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider,
                      fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, deadline_time)
    VALUES (('00000000-0000-7000-a000-' || lpad((:n)::text, 12, '0'))::uuid, 'baseline', gen_random_uuid()::text,
            '` + prompt + `', '` + sourceURI + `',
            '', '', '', '', '', '{}', '{kie}', 'kie', 0, '{"team": "films"}', interval '6 hours', 1, 'QUEUED', 1, 1, now() + interval '6 hours')
    RETURNING id
)
INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
SELECT id, 1, 'QUEUED', 0, 'submitted', 'baseline' FROM created;
`
}
