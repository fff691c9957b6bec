package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The statements that begin and end a pipelinedTx. Each is sent in a batch with others.
const (
	begin  = `BEGIN`
	commit = `COMMIT`
)

// pipelinedTx is a transaction whose begin is sent with its first statements, and whose commit with its last: every write
// waits for the round trips of its set, and these are two less.
type pipelinedTx struct{ *lentConn }

// lentConn is of the pool's. Under its own name it would hide its method Conn.
type lentConn = pgxpool.Conn

var _ pgx.Tx = pipelinedTx{}

// pipelined lends a connection to a function that begins a transaction and commits it. What it left open is rolled back.
func (s *Tasks) pipelined(ctx context.Context, do func(tx pipelinedTx) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // It closes a connection that is still in a transaction.
	tx := pipelinedTx{conn}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	return nil
}

// Commit is not for use: see commit.
func (tx pipelinedTx) Commit(context.Context) error {
	return errors.New("a pipelined transaction is committed by its last batch")
}

// Rollback ends the transaction if it is open. When the connection is lost the database does so by itself.
func (tx pipelinedTx) Rollback(ctx context.Context) error {
	if conn := tx.Conn(); conn.IsClosed() || conn.PgConn().TxStatus() == idle {
		return nil
	}
	if _, err := tx.Exec(ctx, `ROLLBACK`); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// idle is the state of a connection without a transaction, in PostgreSQL's protocol.
const idle = 'I'

// Prepare prepares a statement.
func (tx pipelinedTx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	return tx.Conn().Prepare(ctx, name, sql)
}

// LargeObjects is not for use.
func (pipelinedTx) LargeObjects() pgx.LargeObjects { return pgx.LargeObjects{} }
