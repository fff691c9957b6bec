package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Pending is what Apply would do.
type Pending struct {
	Current, Target int64 // The schema versions of the database and of this release.
	Oldest          int64 // The schema version of the oldest release whose replicas may run meanwhile and afterwards.
	Steps           []Step
}

// Step is a migration that is not applied.
type Step struct {
	Name       string
	Statements []Statement // Without comments on tables and columns, which block nothing.
}

// Statement is a statement of a migration.
type Statement struct {
	SQL  string // On one line.
	Lock string // What it blocks, in words.
}

const selectApplied = `SELECT version_id FROM goose_db_version WHERE is_applied`

// Plan returns what Apply would do, and changes nothing. It returns ErrNew for a database that a newer release has migrated, unless
// this release works with it: then nothing is pending.
func Plan(ctx context.Context, pool *pgxpool.Pool) (Pending, error) {
	plan := Pending{Oldest: oldestCompatible}
	applied, err := applied(ctx, pool)
	if err != nil {
		return Pending{}, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return Pending{}, fmt.Errorf("list the migrations: %w", err)
	}
	created := map[string]bool{}
	for _, name := range names {
		version, err := strconv.ParseInt(name[:strings.Index(name, "_")], 10, 64)
		if err != nil {
			return Pending{}, fmt.Errorf("migration %s has no version: %w", name, err)
		}
		plan.Target = version
		if slices.Contains(applied, version) {
			continue
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return Pending{}, fmt.Errorf("read migration %s: %w", name, err)
		}
		plan.Steps = append(plan.Steps, Step{path.Base(name), statements(string(text), created)})
	}
	if len(applied) > 0 {
		plan.Current = slices.Max(applied)
	}
	if plan.Current > plan.Target {
		if err := checkNewer(ctx, pool, plan.Current, plan.Target); err != nil {
			return Pending{}, err
		}
	}
	return plan, plan.addJobs(ctx, pool)
}

// applied returns the versions of the migrations that are applied.
func applied(ctx context.Context, pool *pgxpool.Pool) ([]int64, error) {
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("read the schema version: %w", err)
	}
	if !exists {
		return nil, nil
	}
	rows, err := pool.Query(ctx, selectApplied)
	if err != nil {
		return nil, fmt.Errorf("read the schema version: %w", err)
	}
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read the schema version: %w", err)
	}
	return versions, nil
}

// addJobs adds the migrations of the job queue.
func (p *Pending) addJobs(ctx context.Context, pool *pgxpool.Pool) error {
	jobs, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("plan the migration of the job queue: %w", err)
	}
	res, err := jobs.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{DryRun: true})
	if err != nil {
		return fmt.Errorf("plan the migration of the job queue: %w", err)
	}
	created := map[string]bool{}
	for _, v := range res.Versions {
		p.Steps = append(p.Steps, Step{fmt.Sprintf("job queue %03d: %s", v.Version, v.Name), statements("-- +goose Up\n"+v.SQL, created)})
	}
	return nil
}

var (
	block        = regexp.MustCompile(`(?s)-- \+goose StatementBegin\n(.*?)-- \+goose StatementEnd`)
	dollarQuoted = regexp.MustCompile(`(?s)\$\w*\$.*?\$\w*\$`)
	comment      = regexp.MustCompile(`(?m)^\s*--.*$`)
	quiet        = regexp.MustCompile(`(?i)^(COMMENT ON|SET LOCAL|SELECT 1$)`)
)

// statements returns the statements of the way up of a migration. created collects the tables that the plan itself creates.
func statements(text string, created map[string]bool) (list []Statement) {
	_, text, _ = strings.Cut(text, "-- +goose Up")
	text, _, _ = strings.Cut(text, "-- +goose Down")
	// A semicolon inside of a block or a quoted body ends no statement.
	const hidden = "\x00"
	hide := func(s string) string { return strings.ReplaceAll(s, ";", hidden) }
	text = block.ReplaceAllStringFunc(text, func(s string) string { return hide(s) + "\n;" }) // Its last line is a comment.
	text = dollarQuoted.ReplaceAllStringFunc(comment.ReplaceAllString(text, ""), hide)
	text = quoted.ReplaceAllStringFunc(text, hide)
	for s := range strings.SplitSeq(text, ";") {
		sql := strings.Join(strings.Fields(strings.ReplaceAll(s, hidden, ";")), " ")
		if sql == "" || quiet.MatchString(sql) {
			continue
		}
		list = append(list, Statement{sql, lockOf(sql, created)})
	}
	return list
}

var quoted = regexp.MustCompile(`'[^']*'`)

// locks are the kinds of statements that block others, the first that matches counts. %s stands for the table.
var locks = []struct {
	statement *regexp.Regexp
	lock      string
}{
	{regexp.MustCompile(`(?i)CREATE (?:UNIQUE )?INDEX CONCURRENTLY .*? ON (?:ONLY )?([\w."/*: ]+?) ?(?:\(|USING)`), "reads and writes of %s go on; waits for older transactions"},
	{regexp.MustCompile(`(?i)DROP INDEX CONCURRENTLY`), "blocks nothing; waits for older transactions"},
	{regexp.MustCompile(`(?i)ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(\S+) (?:VALIDATE CONSTRAINT)`), "reads and writes of %s go on"},
	{regexp.MustCompile(`(?i)ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(\S+)`), "blocks all use of %s while it runs; gives up after seconds and tries again"},
	{regexp.MustCompile(`(?i)DROP TABLE (?:IF EXISTS )?(\S+)`), "blocks all use of %s while it runs; gives up after seconds and tries again"},
	{regexp.MustCompile(`(?i)DROP INDEX`), "blocks all use of its table while it runs; gives up after seconds and tries again"},
	{regexp.MustCompile(`(?i)CREATE (?:UNIQUE )?INDEX (?:.*? )?ON (?:ONLY )?(\S+)`), "blocks writes to %s while the index is built"},
	{regexp.MustCompile(`(?i)CREATE TABLE .*REFERENCES (\S+)`), "blocks writes to %s while it runs; gives up after seconds and tries again"},
	{regexp.MustCompile(`(?i)CREATE (?:OR REPLACE )?(?:UNLOGGED )?(?:TABLE|SEQUENCE|TYPE|FUNCTION)|ALTER FUNCTION`), "blocks nothing"},
	{regexp.MustCompile(`(?i)CREATE (?:OR REPLACE )?TRIGGER .* ON (\S+)`), "blocks writes to %s while it runs; gives up after seconds and tries again"},
	{regexp.MustCompile(`(?i)UPDATE (\S+)`), "locks the rows of %s that it changes"},
	{regexp.MustCompile(`(?i)INSERT INTO (\S+)`), "locks the rows of %s that it adds"},
	{regexp.MustCompile(`(?i)DELETE FROM (\S+)`), "locks the rows of %s that it removes"},
}

var createsTable = regexp.MustCompile(`(?i)CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\S+)`)

// lockOf says what a statement blocks.
func lockOf(sql string, created map[string]bool) string {
	table := func(name string) string { return strings.Trim(strings.TrimSpace(name), `"();`) }
	if m := createsTable.FindStringSubmatch(sql); m != nil {
		created[table(m[1])] = true
	}
	for _, l := range locks {
		m := l.statement.FindStringSubmatch(sql)
		switch {
		case m == nil:
			continue
		case len(m) == 1:
			return l.lock
		case created[table(m[1])]:
			return "blocks nothing: the table is new"
		default:
			return fmt.Sprintf(l.lock, table(m[1]))
		}
	}
	return "not known: read the statement"
}
