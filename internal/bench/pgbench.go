package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrNoPgbench means that the machine has no pgbench, and so no baseline.
var ErrNoPgbench = errors.New("pgbench was not found: install PostgreSQL's contrib programs")

// Pgbench runs PostgreSQL's own load generator.
type Pgbench struct {
	program string
	url     string
}

// FindPgbench finds the program, in PATH or where the distributions put it.
func FindPgbench(databaseURL string) (Pgbench, error) {
	itsURL := programURL(databaseURL)
	if path, err := exec.LookPath("pgbench"); err == nil {
		return Pgbench{path, itsURL}, nil
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/pgbench", "/usr/pgsql-*/bin/pgbench", "/opt/homebrew/opt/postgresql*/bin/pgbench"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return Pgbench{found[len(found)-1], itsURL}, nil
		}
	}
	return Pgbench{}, ErrNoPgbench
}

// programURL returns a database's URL for PostgreSQL's own programs. They refuse the parameters that only pgx reads, such as
// pool_max_conns. It works on the text, because an encoder of forms would write a space as "+", which means "+" to PostgreSQL.
func programURL(databaseURL string) string {
	base, query, _ := strings.Cut(databaseURL, "?")
	if !strings.Contains(base, "://") {
		return databaseURL // Words and values, in which "?" has no meaning.
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(parameter string) bool {
		name, _, _ := strings.Cut(parameter, "=")
		return name == "" || strings.HasPrefix(name, "pool_") || slices.Contains(pgxParameters, name)
	})
	if len(kept) == 0 {
		return base
	}
	return base + "?" + strings.Join(kept, "&")
}

// pgxParameters are the parameters of pgx.ParseConfig that PostgreSQL's own programs do not know. For pgx, any other name is a
// setting of the session, such as search_path; these programs take settings in options alone.
var pgxParameters = []string{"default_query_exec_mode", "description_cache_capacity", "statement_cache_capacity"}

// PgbenchRun is one run of pgbench.
type PgbenchRun struct {
	Script   Script
	Clients  int
	FirstRow int           // The first of the rows that no other run uses.
	For      time.Duration // In whole seconds, at least one; 0 runs the script once per client.
}

// Run runs a script with prepared statements.
func (p Pgbench) Run(ctx context.Context, run PgbenchRun) (Rate, error) {
	dir, err := os.MkdirTemp("", "refract-pgbench-")
	if err != nil {
		return Rate{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // A file that stays in the temporary folder does no harm.
	file := filepath.Join(dir, "script.sql")
	if err := os.WriteFile(file, []byte(nextRow+run.Script.text), 0o600); err != nil {
		return Rate{}, err
	}
	length := "--transactions=1"
	if run.For > 0 {
		length = "--time=" + strconv.Itoa(max(1, int(run.For.Seconds())))
	}
	clients := strconv.Itoa(run.Clients)
	//nolint:gosec // The program is PostgreSQL's.
	cmd := exec.CommandContext(ctx, p.program, "--no-vacuum", "--protocol=prepared", "--jobs="+strconv.Itoa(min(run.Clients, 2)),
		"--client="+clients, length, "--file="+file, "--define=first="+strconv.Itoa(run.FirstRow), "--define=i=-1", "--define=clients="+clients, p.url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Rate{}, fmt.Errorf("run pgbench: %w: %s", err, strings.ReplaceAll(string(out), p.url, "[database]"))
	}
	return parseRate(string(out))
}

var (
	tps       = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	processed = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
)

// parseRate reads the summary that pgbench prints.
func parseRate(out string) (Rate, error) {
	rate, done := tps.FindStringSubmatch(out), processed.FindStringSubmatch(out)
	if rate == nil || done == nil {
		return Rate{}, fmt.Errorf("pgbench printed no rate: %s", out)
	}
	perSecond, err := strconv.ParseFloat(rate[1], 64)
	if err != nil {
		return Rate{}, fmt.Errorf("read the rate of pgbench: %w", err)
	}
	n, err := strconv.Atoi(done[1])
	return Rate{Done: n, PerSecond: perSecond}, err
}

// nextRow puts the number of the client's next row into :n.
const nextRow = `\set i :i + 1
\set n :first + :client_id + :i * :clients
`
