package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/facts"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/migrations"
)

// listening is how many connections a replica has besides those of its pool.
const listening = 2

// The differences of clocks that matter: those that show a clock that nothing sets, and those with which a signature of a provider
// counts as stale.
const (
	unsetClock = 2 * time.Second
	staleClock = 5 * time.Minute
)

// database checks the database. Its pool is opened by the first that needs it.
type database struct {
	url, directURL, dataDir string
	appends                 bool // Whether the role may only append callbacks.

	once sync.Once
	pool *dbpool.Pool // Without a pooler where there is a direct URL.
	err  error
}

// errNotRunning means that the private PostgreSQL is not running.
var errNotRunning = errors.New("the private PostgreSQL is not running; the service starts it")

// open opens the database, once. The context is that of the first caller.
func (d *database) open(ctx context.Context) (*dbpool.Pool, error) {
	d.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		url := d.url
		if url == "" {
			var running bool
			if url, running = pglocal.Running(filepath.Join(d.dataDir, "postgres")); !running {
				d.err = errNotRunning
				return
			}
		}
		if d.directURL != "" {
			d.pool, d.err = dbpool.OpenDirect(ctx, d.directURL)
			return
		}
		d.pool, d.err = dbpool.Open(ctx, url)
	})
	return d.pool, d.err
}

func (d *database) close() {
	if d.pool != nil {
		d.pool.Close()
	}
}

func (d *database) examine(ctx context.Context) Report {
	began := time.Now()
	_, err := d.open(ctx)
	checks := d.checks()
	first := Result{Check: "database"}
	refusal, refused := facts.Refusal(err)
	switch {
	case errors.Is(err, errNotRunning):
		first.Status, first.Found = Skip, err.Error()
	case errors.Is(err, dbpool.ErrPooled):
		first = fail("connect to PostgreSQL itself, or to a pool that lends whole sessions (PgBouncer: pool_mode = session)",
			"the URL leads to a pooler that lends sessions for single transactions or statements")
	case refused:
		first = fail("correct user, password and database in --database-url, or let the server's pg_hba.conf admit them",
			"the server refuses the connection: %s", refusal)
	case err != nil:
		first = fail("start the server, let the network pass, or correct --database-url", "out of reach: %s", databaseError(err))
	default:
		to := d.pool.Config().ConnConfig
		first = ok("connected to %s on %s:%d within %v; each connection has a session of its own", to.Database, to.Host, to.Port, rounded(time.Since(began)))
	}
	first.Check = "database"
	if err != nil {
		return append(Report{first}, skipAll(checks, "not checked, without a connection to the database")...)
	}
	return append(Report{first}, makeAll(ctx, checks)...)
}

// checks returns the checks that need a connection. An ingress alone has a role that can't make all of them.
func (d *database) checks() (checks []check) {
	if d.directURL != "" {
		checks = append(checks, check{"database pooler", d.pooler})
	}
	checks = append(checks, check{"database version", d.version}, check{"database durability", d.durability}, check{"database writes", d.writes})
	if d.appends {
		checks = append(checks, check{"database rights", d.appendRights})
	} else {
		checks = append(checks, check{"database schema", d.schema}, check{"database rights", d.rights})
	}
	checks = append(checks,
		check{"database notifications", d.notifications}, check{"database replication", d.replication},
		check{"database connections", d.connections}, check{"database clock", d.clock})
	if !d.appends {
		checks = append(checks, check{"admission", d.admission})
	}
	return checks
}

// pooler connects through the pooler, as the service does.
func (d *database) pooler(ctx context.Context) Result {
	pool, err := dbpool.OpenPooled(ctx, d.url, d.pool)
	switch {
	case errors.Is(err, dbpool.ErrSettings):
		return fail("execute these statements on the database, then let the pooler connect anew", "%v", err)
	case errors.Is(err, dbpool.ErrOtherDatabase):
		return fail("correct --database-url or --database-direct-url", "%v", err)
	case err != nil:
		return fail("start the pooler, let the network pass, or correct --database-url", "out of reach: %s", databaseError(err))
	}
	defer pool.Close()
	return ok("--database-url leads to the same database, and its sessions have the settings that the service needs")
}

// databaseError returns the text of an error of the database in few words.
func databaseError(err error) string {
	if text := plain.Network(err); text != "" {
		return text
	}
	if words, refused := facts.Refusal(err); refused {
		return words
	}
	text := err.Error()
	if i := strings.LastIndex(text, "failed to connect to `"); i >= 0 { // What follows lists every address that was tried.
		text = text[i:]
	}
	return text
}

func (d *database) version(ctx context.Context) Result {
	s, err := facts.ReadServer(ctx, d.pool)
	return judgeVersion(s, err)
}

func judgeVersion(s facts.Server, err error) Result {
	switch {
	case err != nil:
		return unread(err)
	case s.Major < facts.OldestVersion:
		return fail(fmt.Sprintf("upgrade the server to PostgreSQL %d or later", facts.OldestVersion), "PostgreSQL %s is older than %d", s.Version, facts.OldestVersion)
	default:
		return ok("PostgreSQL %s, role %s", s.Version, s.Role)
	}
}

func (d *database) durability(ctx context.Context) Result {
	unsafe, err := dbpool.UnsafeSettings(ctx, d.pool)
	if err != nil {
		return unread(err)
	}
	if len(unsafe) > 0 {
		return fail(fmt.Sprintf("set %s = on for the server, and reload it", strings.Join(unsafe, " = on and ")),
			"off: %s; a crash can lose what was committed, and then something may be paid for twice", strings.Join(unsafe, ", "))
	}
	return ok("a commit is on disk when it is answered")
}

func (d *database) writes(ctx context.Context) Result {
	s, err := facts.ReadServer(ctx, d.pool)
	if err != nil {
		return unread(err)
	}
	if s.Standby || s.ReadOnly {
		what := "the server takes no writes (default_transaction_read_only is on)"
		if s.Standby {
			what = "the server is a standby, which takes no writes"
		}
		return fail("let the URL lead to the primary: list all servers and add target_session_attrs=read-write", "%s", what)
	}
	if there, err := facts.HasSchema(ctx, d.pool); err != nil || !there || d.appends {
		return ok("the server is a primary")
	}
	if err := facts.TryWrite(ctx, d.pool); err != nil {
		return fail("free its disk if that is full; else see the rights below", "a write failed: %s", databaseError(err))
	}
	return ok("the server is a primary; a row was written and taken back")
}

func (d *database) schema(ctx context.Context) Result {
	there, err := facts.HasSchema(ctx, d.pool)
	if err != nil {
		return unread(err)
	}
	if !there {
		return fail("run refract migrate", "the database has no tables of Refract")
	}
	switch err := migrations.Check(ctx, d.pool); {
	case errors.Is(err, migrations.ErrOld):
		return fail("run refract migrate (replicas of the previous release go on meanwhile)", "the schema is older than this release")
	case errors.Is(err, migrations.ErrNew):
		return fail("run the release that migrated it, or a later one", "the schema is newer than this release")
	case err != nil:
		return unread(err)
	default:
		return ok("the schema is this release's")
	}
}

// shownGaps is how many missing rights a report lists.
const shownGaps = 3

func (d *database) rights(ctx context.Context) Result {
	r, err := facts.ReadRights(ctx, d.pool)
	switch {
	case err != nil:
		return unread(err)
	case r.Tables == 0:
		return skip("not checked, without tables")
	case len(r.Missing) > 0:
		return fail("as the owner of the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO the role, and USAGE ON ALL SEQUENCES",
			"the role lacks %s", listed(r.Missing, shownGaps))
	default:
		return ok("the role may read and write all %d tables", r.Tables)
	}
}

// appendRights checks the role of an ingress alone.
func (d *database) appendRights(ctx context.Context) Result {
	readsTasks, err := inbox.CheckRole(ctx, d.pool)
	switch {
	case errors.Is(err, inbox.ErrNoIntake), errors.Is(err, inbox.ErrMayNot):
		return fail("as the owner of the tables: run refract migrate, then the SQL of refract migrate --print-ingress-role", "%v", err)
	case err != nil:
		return unread(err)
	case readsTasks:
		return warn("create a role by the SQL of refract migrate --print-ingress-role, and use it here", "the role may append callbacks, and may also read tasks, which an ingress does not need")
	default:
		return ok("the role may append callbacks, and may not read tasks")
	}
}

func (d *database) admission(ctx context.Context) Result {
	if r, err := facts.ReadRights(ctx, d.pool); err != nil || r.Tables == 0 || migrations.Check(ctx, d.pool) != nil {
		return skip("not checked, without the tables of this release")
	}
	a, err := facts.ReadAdmission(ctx, d.pool)
	return judgeAdmission(a, err)
}

func judgeAdmission(a facts.Admission, err error) Result {
	switch {
	case err != nil:
		return unread(err)
	case a.Reason == "":
		return ok("admission is open: tasks are sent to providers")
	case a.Reason == "DATABASE_SET_BACK" || a.Reason == "BUCKET_SET_BACK":
		return warn("run refract restore-check; docs/restore.md has the steps", "admission is closed (%s), so no task is sent: %s", a.Reason, a.Message)
	default:
		return warn("run refract admission open, when its reason is gone", "admission is closed (%s), so no task is sent: %s", a.Reason, a.Message)
	}
}

func (d *database) notifications(ctx context.Context) Result {
	if err := facts.TryNotify(ctx, d.pool); err != nil {
		return fail("connect to a primary without a pooler in between; until then watchers see changes late", "a notification did not arrive: %s", databaseError(err))
	}
	return ok("a notification arrived at another connection")
}

func (d *database) replication(ctx context.Context) Result {
	r, err := facts.ReadReplication(ctx, d.pool)
	return judgeReplication(r, err)
}

func judgeReplication(r facts.Replication, err error) Result {
	switch {
	case err != nil:
		return unread(err)
	case r.Required != "" && !r.Visible:
		return ok("commits wait for standbys (synchronous_standby_names); the role may not see them")
	case r.Required != "" && r.Synchronous == 0:
		return fail("start a standby that synchronous_standby_names lists, or empty that setting",
			"commits wait for a synchronous standby, and none is connected: every write hangs")
	case r.Required != "":
		return ok("commits wait for %d of %d standbys", r.Synchronous, r.Standbys)
	case r.Visible:
		return ok("commits wait for no standby (%d connected): they survive a crash of the server, and not the loss of its disk", r.Standbys)
	default:
		return ok("commits wait for no standby: they survive a crash of the server, and not the loss of its disk")
	}
}

func (d *database) connections(ctx context.Context) Result {
	c, err := facts.ReadConnections(ctx, d.pool)
	return judgeConnections(c, int(d.pool.Config().MaxConns)+listening, err)
}

func judgeConnections(c facts.Connections, need int, err error) Result {
	const action = "raise max_connections or the limits of role and database, or set a smaller pool_max_conns in the URL"
	switch {
	case err != nil:
		return unread(err)
	case c.Allowed < need:
		return fail(action, "%d connections are allowed, and a replica needs up to %d", c.Allowed, need)
	case c.Allowed-c.Others < need:
		return warn(action, "%d connections are allowed, others use %d of them, and a replica needs up to %d", c.Allowed, c.Others, need)
	default:
		return ok("%d connections are allowed, %d in use; a replica needs up to %d", c.Allowed, c.Used, need)
	}
}

func (d *database) clock(ctx context.Context) Result {
	c, err := facts.ReadClock(ctx, d.pool)
	return judgeClock(c, err)
}

func judgeClock(c facts.Clock, err error) Result {
	const action = "let NTP set both clocks: the service goes by the database's, signed links and certificates by this machine's"
	if err != nil {
		return unread(err)
	}
	apart := max(c.Ahead.Abs()-c.Error, 0)
	where := "behind"
	if c.Ahead > 0 {
		where = "ahead of"
	}
	switch {
	case apart >= staleClock:
		return fail(action, "the database's clock is %v %s this machine's: signed callbacks count as stale", rounded(c.Ahead.Abs()), where)
	case apart >= unsetClock:
		return warn(action, "the database's clock is %v %s this machine's", rounded(c.Ahead.Abs()), where)
	default:
		return ok("the clocks of the database and of this machine agree, to %v", rounded(c.Ahead.Abs()+c.Error))
	}
}

// key returns the key of callback URLs that the database keeps.
func (d *database) key(ctx context.Context) ([]byte, error) {
	pool, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	return credentials.NewSecrets(pool).Known(ctx, "callback_token_key")
}

// unread is the result of a check whose question was not answered.
func unread(err error) Result {
	return fail("see whether the database answers at all", "not known: %s", databaseError(err))
}

// rounded returns a duration as reports show it.
func rounded(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(time.Second)
	}
	return max(d.Round(time.Millisecond), time.Millisecond)
}

// listed returns the first of a list, and how many more there are.
func listed(all []string, most int) string {
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}
