package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The SQLSTATEs of a server that answers and can't write now. The classes of connections, resources and operator
// intervention include others, which end the connection or the statement.
const (
	readOnlyTransaction = "25006" // A standby, as after a failover, or a session that may not write.
	diskFull            = "53100"
	ioError             = "58030"
)

// refusal returns the SQLSTATE of an error by which the server says that it can't write now; empty for any other error.
func refusal(err error) string {
	switch code := sqlState(err); code {
	case readOnlyTransaction, diskFull, ioError:
		return code
	default:
		return ""
	}
}

// WriteChange is a change of whether the database takes writes.
type WriteChange struct {
	Writable bool
	Cause    error         // Why it takes none; nil when it takes them again.
	After    time.Duration // How long it took none, when it takes them again,
	Failures int           // and how many statements failed meanwhile.
}

// WriteState knows from the statements of a pool whether the database takes writes. It asks nothing: every replica writes
// every second or so. At each change it drops all connections of the pool, and at any time each one that met a refusal, since
// new connections may lead to a server that takes writes. Its methods may be called concurrently.
type WriteState struct {
	mu       sync.Mutex
	changed  func(WriteChange) // Nil does nothing.
	reset    func()            // Drops all connections of the pool; nil does nothing.
	cause    string            // The SQLSTATE of the refusal; empty while writes succeed.
	err      error             // The first error of it.
	since    time.Time
	restored time.Time // When writes succeeded again; connections from before say nothing of the server.
	failures int
}

// WriteStateOf returns the state that a pool of Open keeps.
func WriteStateOf(pool *pgxpool.Pool) *WriteState {
	d, ok := pool.Config().ConnConfig.Tracer.(deadlines)
	if !ok {
		return &WriteState{}
	}
	return d.writes
}

// Notify has a function called at each change, one at a time, and now where the database takes no writes. It must not
// block, or use the database.
func (s *WriteState) Notify(changed func(WriteChange)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = changed
	if s.cause != "" {
		changed(WriteChange{Cause: s.err})
	}
}

// Where a connection keeps when it was made, and that it met a refusal.
const (
	madeKey    = "refract.made"
	refusedKey = "refract.refused"
)

// ended takes in how a statement on a connection ended.
func (s *WriteState) ended(conn *pgx.Conn, tag pgconn.CommandTag, err error) {
	if code := refusal(err); code != "" {
		data := conn.PgConn().CustomData()
		data[refusedKey] = true
		made, _ := data[madeKey].(time.Time)
		s.refused(code, err, made)
		return
	}
	if err == nil && (tag.Insert() || tag.Update() || tag.Delete()) {
		s.wrote(tag.RowsAffected() > 0)
	}
}

func (s *WriteState) refused(code string, err error, made time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if s.cause != "" || made.Before(s.restored) {
		return
	}
	s.cause, s.err, s.since, s.failures = code, err, time.Now(), 1
	s.change(WriteChange{Cause: err})
}

func (s *WriteState) change(c WriteChange) {
	if s.reset != nil {
		s.reset()
	}
	if s.changed != nil {
		s.changed(c)
	}
}

// wrote takes in that a statement that writes has succeeded. A read-only session refuses it before it looks for rows; a full
// disk is noticed by rows only.
func (s *WriteState) wrote(rows bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == "" || !rows && s.cause != readOnlyTransaction {
		return
	}
	change := WriteChange{Writable: true, After: time.Since(s.since), Failures: s.failures}
	s.cause, s.err, s.failures, s.restored = "", nil, 0, time.Now()
	s.change(change)
}

// keep reports whether a connection goes back to the pool.
func (*WriteState) keep(conn *pgx.Conn) bool {
	_, refused := conn.PgConn().CustomData()[refusedKey]
	return !refused
}

// selectReadOnly asks a session whether it may not write. It reports so for every session of a standby.
const selectReadOnly = `SELECT current_setting('transaction_read_only')::boolean`

// checkWritable returns errReadOnly where a session may not write.
func checkWritable(ctx context.Context, conn *pgx.Conn) error {
	var readOnly bool
	if err := conn.QueryRow(ctx, selectReadOnly).Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return errReadOnly
	}
	return nil
}
