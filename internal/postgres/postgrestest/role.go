package postgrestest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Role runs a script that creates a database role of the given name, as a superuser in a database of URL, and returns the address of the
// database for this role. The end of the test removes the role.
func Role(t testing.TB, databaseURL string, script func(name string) (string, error)) string {
	t.Helper()
	c := lend(t)
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed") // The error would print its password.
	}
	random := make([]byte, 8)
	_, _ = rand.Read(random) // It never fails: a system without randomness ends the process.
	name := "test_role_" + hex.EncodeToString(random)
	sql, err := script(name)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := scramSecret(Password)
	if err != nil {
		t.Fatal(err)
	}
	super := *c.server
	super.Path = u.Path
	run := func(ctx context.Context, statements ...string) error {
		conn, err := pgx.Connect(ctx, super.String())
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(t.Context(), sql, "ALTER ROLE "+name+" PASSWORD '"+secret+"'"); err != nil {
		t.Fatalf("create role %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := run(context.WithoutCancel(t.Context()), "DROP OWNED BY "+name, "DROP ROLE "+name); err != nil && !t.Failed() {
			t.Errorf("remove role %s: %v", name, err)
		}
	})
	u.User = url.UserPassword(name, Password)
	return u.String()
}
