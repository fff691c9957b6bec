package dbpool

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// connError is an error of a connection to the database. The type distinguishes it from those of other connections and of files,
// which are of the same types otherwise.
type connError struct{ err error }

func (e *connError) Error() string { return e.err.Error() }

func (e *connError) Unwrap() error { return e.err }

// Timeout implements net.Error, by which pgx finds the end of a context.
func (e *connError) Timeout() bool {
	failed, ok := errors.AsType[net.Error](e.err)
	return ok && failed.Timeout()
}

// Temporary implements net.Error.
func (e *connError) Temporary() bool { return false }

// markedConn is a connection to the database, whose errors are connErrors.
type markedConn struct{ net.Conn }

func (c markedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, marked(err)
}

func (c markedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, marked(err)
}

// marked returns an error of a connection as a connError. A server that ends the connection does not do so by agreement.
func marked(err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF { //nolint:errorlint // Nothing wraps it on this level.
		err = io.ErrUnexpectedEOF
	}
	return &connError{err}
}

// marking returns a function that connects like another one, and marks the errors of its connections.
func marking(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err // A *pgconn.ConnectError will say where it comes from.
		}
		return markedConn{conn}, nil
	}
}
