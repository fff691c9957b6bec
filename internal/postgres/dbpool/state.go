package dbpool

import (
	"cmp"
	"context"
	"errors"
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

// Fault is a way in which a database fails as a whole.
type Fault int

// What a database may not do.
const (
	NoWrites      Fault = iota // It answers, and takes no writes.
	NoConnections              // It refuses connections, or does not answer.
)

// Change is the beginning of a fault, another cause of one that goes on, or its end.
type Change struct {
	Fault    Fault
	Over     bool
	Cause    error         // Nil when it is over.
	After    time.Duration // How long it took, when it is over,
	Failures int           // and how many statements or connects failed meanwhile.
}

// State observes, by the statements and the connects of a pool, what the database does. It sends nothing itself: every replica writes
// every second or so, and connects when it has lost a connection. When writes are refused, and when they succeed again, it drops
// all connections of the pool. It always drops a connection that met a refusal, since a new one may lead to a server that takes
// writes. Its methods may be called concurrently.
type State struct {
	mu       sync.Mutex
	changed  func(Change)       // Nil does nothing.
	failed   func(cause string) // Nil does nothing.
	reset    func()             // Drops all connections of the pool; nil does nothing.
	faults   [2]outage          // By Fault.
	restored time.Time          // When writes succeeded again; connections from before say nothing of the server.
	calm     time.Duration      // For how long a full disk must have refused nothing before a write shows that it takes writes again.
}

// calm is long enough for a disk that takes some rows and refuses others to be one fault, and not one at every row.
const calm = 5 * time.Second

// outage is a fault that may be going on.
type outage struct {
	causes   map[string]error // The first error of each cause; nil while there is no fault.
	latest   string           // The latest cause.
	since    time.Time
	newest   time.Time // When it failed last.
	failures int
}

// StateOf returns the state that a pool of Open keeps.
func StateOf(pool *pgxpool.Pool) *State {
	d, ok := pool.Config().ConnConfig.Tracer.(deadlines)
	if !ok {
		return &State{}
	}
	return d.state
}

// Notify has changed called at each change, one at a time, and now for each fault that goes on. failed is called with the cause
// of everything that fails for the database: an SQLSTATE, "connection" or "timeout". Neither may block, or use the database.
func (s *State) Notify(changed func(Change), failed func(cause string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed, s.failed = changed, failed
	for fault, o := range s.faults {
		for _, err := range o.causes {
			changed(Change{Fault: Fault(fault), Cause: err})
		}
	}
}

// Where a connection keeps when it was made, that it was used, and that it met a refusal.
const (
	madeKey    = "refract.made"
	usedKey    = "refract.used"
	refusedKey = "refract.refused"
)

// ended takes in how a statement on a connection ended.
func (s *State) ended(conn *pgx.Conn, tag pgconn.CommandTag, err error) {
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

// count counts a failure by its cause. timeout means that it ended by our own limit; that of a caller is not ours.
func (s *State) count(err error, timeout bool) {
	if !Unavailable(err) || pgconn.Timeout(err) && !timeout {
		return
	}
	cause := cmp.Or(sqlState(err), "connection")
	if timeout {
		cause = "timeout"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		s.failed(cause)
	}
}

func (s *State) refused(code string, err error, made time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.faults[NoWrites]
	if o.causes == nil && made.Before(s.restored) {
		return
	}
	if o.causes == nil && s.reset != nil {
		s.reset()
	}
	s.begin(NoWrites, code, err)
}

// wrote takes in that a statement that writes has succeeded. A read-only session refuses it before it looks for rows. A full disk
// refuses only what needs more room, so a success counts if it wrote rows and nothing was refused for a while.
func (s *State) wrote(rows bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.faults[NoWrites]
	if o.causes == nil || o.latest != readOnlyTransaction && (!rows || time.Since(o.newest) < s.calm) {
		return
	}
	s.restored = time.Now()
	if s.reset != nil {
		s.reset()
	}
	s.end(NoWrites)
}

// connected takes in how the making of a connection ended.
func (s *State) connected(err error) {
	if errors.Is(err, context.Canceled) { // The caller no longer needs it.
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.end(NoConnections)
		return
	}
	code := cmp.Or(sqlState(err), "connection")
	if s.failed != nil {
		s.failed(code)
	}
	s.begin(NoConnections, code, err)
}

// begin takes in one more failure of a fault. The lock is held.
func (s *State) begin(fault Fault, code string, err error) {
	o := &s.faults[fault]
	o.latest, o.newest = code, time.Now()
	o.failures++
	if o.causes == nil {
		o.causes, o.since = map[string]error{}, time.Now()
	}
	if _, known := o.causes[code]; known {
		return
	}
	o.causes[code] = err
	if s.changed != nil {
		s.changed(Change{Fault: fault, Cause: err})
	}
}

// end ends a fault, if it goes on. The lock is held.
func (s *State) end(fault Fault) {
	o := s.faults[fault]
	if o.causes == nil {
		return
	}
	s.faults[fault] = outage{}
	if s.changed != nil {
		s.changed(Change{Fault: fault, Over: true, After: time.Since(o.since), Failures: o.failures})
	}
}

// keep reports whether a connection goes back to the pool, and marks it as used.
func (*State) keep(conn *pgx.Conn) bool {
	data := conn.PgConn().CustomData()
	data[usedKey] = true
	_, refused := data[refusedKey]
	return !refused
}

// selectReadOnly asks a session whether it may not write. It reports so for every session of a standby.
const selectReadOnly = `SELECT current_setting('transaction_read_only')::boolean`

// CheckWritable returns an error for which Unavailable reports true when the session of a connection may not write. It waits for
// the answer for as long as for any statement.
func CheckWritable(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var readOnly bool
	if err := conn.QueryRow(ctx, selectReadOnly).Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return errReadOnly
	}
	return nil
}
