package dbpool_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestOpen_WaitsForADatabaseThatStarts has the first connection of a start fail. A database that needs more time gets it, and
// one that refuses the connection ends the start.
func TestOpen_WaitsForADatabaseThatStarts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		first func(net.Conn)
		opens bool
	}{
		"it does not answer":      {func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, true},
		"it starts":               {refuse("57P03"), true},
		"it refuses the password": {refuse("28P01"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			door := openDoor(t, postgrestest.URL(t), tc.first)
			pool, err := dbpool.Open(t.Context(), postgrestest.With(door.url, "connect_timeout", "1"))
			if err == nil {
				pool.Close()
			}
			if opens := err == nil; opens != tc.opens {
				t.Errorf("the start ended with %v; want success: %v", err, tc.opens)
			}
			if n := door.connections.Load(); !tc.opens && n != 1 {
				t.Errorf("%d connections were made, want one", n)
			}
		})
	}
}

// refuse returns what answers a connection with an error.
func refuse(code string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := pgproto3.NewBackend(conn, conn).ReceiveStartupMessage(); err != nil {
			return
		}
		answer, err := (&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "not now"}).Encode(nil)
		if err == nil {
			_, _ = conn.Write(answer)
		}
	}
}

// door is a way to a database that meets the first connection itself.
type door struct {
	url         string
	connections atomic.Int64
}

func openDoor(t *testing.T, databaseURL string, first func(net.Conn)) *door {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	d, server := &door{}, u.Host
	u.Host = lis.Addr().String()
	d.url = u.String()
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			n := d.connections.Add(1)
			go func() {
				defer conn.Close()
				if n == 1 {
					first(conn)
					return
				}
				pass(context.WithoutCancel(t.Context()), conn, server)
			}()
		}
	}()
	return d
}

// pass connects a client with a server until one of them ends.
func pass(ctx context.Context, client net.Conn, address string) {
	server, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}
