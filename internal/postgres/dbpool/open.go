package dbpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The time limits for a database that does not answer. A network that drops packets, or a machine that hangs, reports no error.
// Without a time limit, a loop would wait until the system closes the connection, which takes a quarter of an hour or never
// happens.
const (
	connectTimeout   = 5 * time.Second
	statementTimeout = 10 * time.Second
	startTimeout     = 30 * time.Second // From the first try to connect to the last.

	// patientTimeout replaces connectTimeout and statementTimeout while a program starts. No caller waits for an answer then, and a busy
	// database may need long for a connection. An early end would make it busier, because the next start begins anew.
	patientTimeout = time.Minute
)

// defaultMaxConns is the size of the pool if the URL has no pool_max_conns. A commit is one round trip, so a few connections
// are enough for thousands of commits a second.
const defaultMaxConns = 20

// minConns is the least size of a pool, whatever the URL says: a migration and a round of retention hold a lock on one connection, and
// work on another.
const minConns = 2

// errNoPostgresURL replaces the errors of the URL parser, which contain the password.
var errNoPostgresURL = errors.New("the database URL is not a PostgreSQL URL")

// Pool is a pool of connections that Open returns. The alias lets other packages use the type without a dependency on the
// driver.
type Pool = pgxpool.Pool

// Open connects to a database. It fails if the database can't be reached: at once if the server refuses the connection, and
// after half a minute if it is starting or does not answer. With a context of Patient, one that does not answer has a minute.
// Every statement on the pool, and on connections made with its configuration, ends after 10 seconds at the latest, with an
// error for which Unavailable reports true. Waiting for a notification does not count as a statement. Calls with a context of
// Patient or WithoutTimeouts have other limits.
func Open(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	return open(ctx, databaseURL, statementTimeout)
}

func open(ctx context.Context, databaseURL string, limit time.Duration) (*pgxpool.Pool, error) {
	c, err := configure(databaseURL, limit)
	if err != nil {
		return nil, err
	}
	c.pool.ConnConfig.AfterConnect = beginSession(c.searchPath)
	return retry(ctx, func() (*pgxpool.Pool, error) { return c.reach(ctx) })
}

// config is what a database URL and our own rules give a pool.
type config struct {
	pool            *pgxpool.Config
	state           *State
	searchPath      string // Empty where the server's options in the URL set it.
	searchPathNamed bool   // Whether the URL names one.
}

// configure returns the configuration of a pool, without what depends on whether its connections have sessions.
func configure(databaseURL string, limit time.Duration) (*config, error) {
	pool, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, errNoPostgresURL
	}
	if named, err := namesPoolSize(databaseURL); err != nil {
		return nil, err
	} else if !named {
		pool.MaxConns = defaultMaxConns
	}
	pool.MaxConns = max(pool.MaxConns, minConns)
	if _, named := pool.ConnConfig.RuntimeParams["application_name"]; !named {
		pool.ConnConfig.RuntimeParams["application_name"] = "refract" // Operators see this name in the list of connections.
	}
	// A host that does not answer must not keep a start from the next one.
	patient := pool.ConnConfig.ConnectTimeout == 0 && oneHost(pool.ConnConfig)
	if pool.ConnConfig.ConnectTimeout == 0 {
		pool.ConnConfig.ConnectTimeout = connectTimeout
	}
	pool.BeforeConnect = func(ctx context.Context, conn *pgx.ConnConfig) error {
		if limit, ok := limitOf(ctx); ok && (patient || limit == 0) {
			conn.ConnectTimeout = limit
		}
		return nil
	}
	pool.ConnConfig.DialFunc = marking(pool.ConnConfig.DialFunc)
	pool.PingTimeout = limit // For the ping of a connection that was idle, before it is acquired.
	pool.ShouldPing = func(ctx context.Context, params pgxpool.ShouldPingParams) bool {
		// A connection counts as idle from the moment when its connect began. A ping of a new one would fail where the database is
		// slow, and the next one's, too, until pgxpool gives up without the cause.
		_, used := params.Conn.PgConn().CustomData()[usedKey]
		_, starting := limitOf(ctx)
		return params.IdleDuration > time.Second && used && !starting
	}
	state := &State{calm: calm}
	pool.ConnConfig.Tracer = deadlines{limit, state}
	pool.AfterRelease = state.keep
	c := &config{pool: pool, state: state}
	c.searchPath, c.searchPathNamed = takeSearchPath(pool.ConnConfig.RuntimeParams)
	return c, nil
}

// oneHost reports whether a configuration names a single host.
func oneHost(conn *pgx.ConnConfig) bool {
	return !slices.ContainsFunc(conn.Fallbacks, func(other *pgconn.FallbackConfig) bool {
		return other.Host != conn.Host || other.Port != conn.Port
	})
}

// retry opens a pool again and again while the database needs more time.
func retry(ctx context.Context, connect func() (*pgxpool.Pool, error)) (*pgxpool.Pool, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 2*time.Second
	return backoff.Retry(ctx, func() (*pgxpool.Pool, error) {
		pool, err := connect()
		if err != nil && !slow(err) {
			return nil, backoff.Permanent(err)
		}
		return pool, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(startTimeout))
}

// reach opens a pool whose connections have sessions, and makes its first connection.
func (c *config) reach(ctx context.Context) (*pgxpool.Pool, error) {
	if err := checkPooler(ctx, c.pool); err != nil {
		return nil, fmt.Errorf("reach the database: %w", err)
	}
	return c.connect(ctx, func(pool *pgxpool.Pool) error {
		if c.searchPathNamed {
			return pool.Ping(ctx)
		}
		return checkSearchPath(ctx, pool)
	})
}

// connect opens a pool, and closes it again if a check of its first connections fails.
func (c *config) connect(ctx context.Context, check func(*pgxpool.Pool) error) (*pgxpool.Pool, error) {
	pool, err := pgxpool.NewWithConfig(ctx, c.pool)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	c.state.reset = pool.Reset
	if err := check(pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reach the database: %w", err)
	}
	return pool, nil
}

// slow reports whether a connect failed because the server needs more time: it did not answer within our timeout, or it is
// still starting. Any other refusal is final.
func slow(err error) bool {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		// cannot_connect_now, and idle_in_transaction_session_timeout, which ends a check whose other connection took long.
		return pe.Code == "57P03" || pe.Code == "25P03"
	}
	return pgconn.Timeout(err)
}

// namesPoolSize reports whether a URL sets pool_max_conns itself. pgxpool replaces a missing value with its own default, and
// its configuration does not show which of them it has.
func namesPoolSize(databaseURL string) (bool, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return false, errNoPostgresURL
	}
	_, named := config.RuntimeParams["pool_max_conns"]
	return named, nil
}

// Patient returns a context with which a pool of Open has a minute for each connect and for each statement. It is for the start of
// a program. A connect keeps its usual limit where the URL sets connect_timeout or names several hosts. Each address of a name has its
// own minute. NOTE: the server keeps its statement_timeout of 15 seconds, which does not count the time that a connection or an answer takes.
func Patient(ctx context.Context) context.Context { return patientFor(ctx, patientTimeout) }

func patientFor(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, limitKey{}, limit)
}

// WithoutTimeouts returns a context with which a pool of Open has no timeouts of its own, neither for connecting nor for
// statements: a call ends when the context or the connection does. It is for the start of a database on this machine,
// where a timeout shows only that the machine is slow. The NOTE of Patient applies.
func WithoutTimeouts(ctx context.Context) context.Context {
	return context.WithValue(ctx, limitKey{}, time.Duration(0))
}

// limitKey is the context key of the limit that Patient and WithoutTimeouts set.
type limitKey struct{}

// limitOf returns the limit that a context sets instead of those of the pool; 0 means none.
func limitOf(ctx context.Context) (limit time.Duration, ok bool) {
	limit, ok = ctx.Value(limitKey{}).(time.Duration)
	return limit, ok
}

// WithoutDeadlines returns a pool on the same database whose statements have no time limit, for example to build an index. They wait
// for a lock that another transaction holds up to lockTimeout, in whole milliseconds; 0 means for as long as it takes. An error of a
// longer wait is one for which Locked reports true.
func WithoutDeadlines(ctx context.Context, pool *pgxpool.Pool, lockTimeout time.Duration) (*pgxpool.Pool, error) {
	config := pool.Config()
	config.ConnConfig.Tracer, config.AfterRelease = nil, nil
	begin := config.ConnConfig.AfterConnect
	config.ConnConfig.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if begin != nil {
			if err := begin(ctx, conn); err != nil {
				return err
			}
		}
		return conn.Exec(ctx, fmt.Sprintf(migratingTimeouts, lockTimeout.Milliseconds())).Close()
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// deadlines gives every statement a deadline: pgx uses the context that its tracer returns for the rest of the call, up to the
// last row. It reports the results of statements and connects to the state of the database.
type deadlines struct {
	limit time.Duration
	state *State
}

var (
	_ pgx.QueryTracer    = deadlines{}
	_ pgx.BatchTracer    = deadlines{}
	_ pgx.CopyFromTracer = deadlines{}
	_ pgx.ConnectTracer  = deadlines{}
)

// errOverLimit is the cause of a context that our own time limit ended.
var errOverLimit = errors.New("the statement took too long")

// cancelKey is the context key of the function that frees the timer.
type cancelKey struct{}

func (d deadlines) begin(ctx context.Context) context.Context {
	limit, ok := limitOf(ctx)
	if !ok {
		limit = d.limit
	}
	if limit == 0 {
		return ctx
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errOverLimit)
	return context.WithValue(ctx, cancelKey{}, cancel)
}

// end frees the timer of a call, and counts the call if the database caused its failure.
func (d deadlines) end(ctx context.Context, err error) {
	if err != nil {
		d.state.count(err, errors.Is(context.Cause(ctx), errOverLimit))
	}
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceQueryStart begins the time of one statement.
func (d deadlines) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return d.begin(ctx)
}

// TraceQueryEnd ends it.
func (d deadlines) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	d.end(ctx, data.Err)
	d.state.ended(conn, data.CommandTag, data.Err)
}

// TraceBatchStart begins the time of a batch.
func (d deadlines) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return d.begin(ctx)
}

// TraceBatchQuery gets each statement of a batch, which shares the batch's time.
func (d deadlines) TraceBatchQuery(_ context.Context, conn *pgx.Conn, data pgx.TraceBatchQueryData) {
	d.state.ended(conn, data.CommandTag, data.Err)
}

// TraceBatchEnd ends it. The error of a statement whose result was not read is reported here.
func (d deadlines) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchEndData) {
	d.end(ctx, data.Err)
	d.state.ended(conn, pgconn.CommandTag{}, data.Err)
}

// TraceCopyFromStart begins the time of a bulk insert.
func (d deadlines) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	return d.begin(ctx)
}

// TraceCopyFromEnd ends it.
func (d deadlines) TraceCopyFromEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceCopyFromEndData) {
	d.end(ctx, data.Err)
	d.state.ended(conn, pgconn.CommandTag{}, data.Err)
}

// TraceConnectStart changes nothing: a connect has a timeout of its own.
func (d deadlines) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd records the result of a connect.
func (d deadlines) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	d.state.connected(data.Err)
}
