package postgrestest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/migrations"
)

// The role that owns the databases of tests. It has no other rights.
const (
	role = "refract_test"
	// Password is its password, which no log may contain.
	Password = "refract-test-password"
)

// emptyTemplate is what PostgreSQL itself provides. Nothing may connect to it, so it can always be cloned.
const emptyTemplate = "template0"

// cloner clones databases on a server. All tests share its connections, because each connection costs the server a process.
type cloner struct {
	pool     *pgxpool.Pool
	server   *url.URL
	strategy string
	template func() (string, error) // The template with the schema of this release, which the first call creates.
}

// newCloner connects to a server as a user who may create databases and roles. Private servers exist for these tests only.
func newCloner(ctx context.Context, serverURL string, private bool) (*cloner, error) {
	u, err := url.Parse(serverURL)
	if err != nil {
		return nil, errors.New("the server's URL can't be parsed") // The error would print its password.
	}
	pool, err := pgxpool.New(ctx, serverURL)
	if err != nil {
		return nil, err
	}
	c := &cloner{pool: pool, server: u}
	c.template = sync.OnceValues(func() (string, error) { return c.migrated(ctx) })
	const prepare = `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1), current_setting('server_version_num')::int >= 150000`
	var known, hasStrategies bool
	if err := pool.QueryRow(ctx, prepare, role).Scan(&known, &hasStrategies); err != nil {
		pool.Close()
		return nil, err
	}
	// Where files live in memory and are not synchronized, to copy them takes half the time of logging their pages.
	if private && hasStrategies {
		c.strategy = "STRATEGY file_copy"
	}
	if !known {
		if err := c.createRole(ctx); err != nil {
			pool.Close()
			return nil, err
		}
	}
	return c, nil
}

// createRole creates the role. Test binaries that run at the same time may share a server, so it may exist by now.
func (c *cloner) createRole(ctx context.Context) error {
	secret, err := scramSecret(Password)
	if err != nil {
		return err
	}
	_, err = c.pool.Exec(ctx, fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s LOGIN PASSWORD '%s' NOSUPERUSER NOCREATEDB NOCREATEROLE;
		EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`, role, secret))
	return err
}

// migrated returns the name of the template with the schema of this release. It is keyed by the migrations, and stays on a
// server of one's own.
func (c *cloner) migrated(ctx context.Context) (name string, err error) {
	hash, err := migrations.Hash()
	if err != nil {
		return "", err
	}
	name = "refract_template_" + hash
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	// Other test binaries may share the server. They wait here until the template is complete.
	const lock, unlock = `SELECT pg_advisory_lock(hashtext($1))`, `SELECT pg_advisory_unlock(hashtext($1))`
	if _, err := conn.Exec(ctx, lock, name); err != nil {
		return "", err
	}
	defer func() {
		_, unlockErr := conn.Exec(ctx, unlock, name)
		err = errors.Join(err, unlockErr)
	}()
	var complete bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)`, name).Scan(&complete); err != nil || complete {
		return name, err
	}
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + name, "CREATE DATABASE " + name + " OWNER " + role + " TEMPLATE " + emptyTemplate} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return "", err
		}
	}
	if err := migrate(ctx, c.url(name)); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+name+" IS_TEMPLATE true")
	return name, err
}

func migrate(ctx context.Context, databaseURL string) error {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	return migrations.Apply(ctx, pool)
}

// url returns the address of a database for its owner.
func (c *cloner) url(name string) string {
	u := *c.server
	u.User, u.Path = url.UserPassword(role, Password), "/"+name
	return u.String()
}

// clone returns the address of a clone of a template. The end of the test removes it with all its sessions, unless the test
// has failed.
func (c *cloner) clone(t testing.TB, template string) string {
	t.Helper()
	random := make([]byte, 8)
	_, _ = rand.Read(random) // It never fails: a system without randomness ends the process.
	name := "refract_test_" + hex.EncodeToString(random)
	if _, err := c.pool.Exec(t.Context(), "CREATE DATABASE "+name+" OWNER "+role+" TEMPLATE "+template+" "+c.strategy); err != nil {
		t.Fatalf("create the database of the test: %v", err)
	}
	its := c.url(name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the database of the test is kept: %s", its)
			return
		}
		if _, err := c.pool.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("remove the database of the test: %v", err)
		}
	})
	return its
}

// cheapenOwnPassword gives the user of a private server a SCRAM secret that was hashed once instead of 4,096 times. Every
// connection repeats that hashing on both sides, and under the race detector it took a third of the processor time of the
// tests that run whole services. The protocol stays the same.
func (c *cloner) cheapenOwnPassword(ctx context.Context) error {
	password, _ := c.server.User.Password()
	secret, err := scramSecret(password)
	if err != nil {
		return err
	}
	_, err = c.pool.Exec(ctx, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", pgx.Identifier{c.server.User.Username()}.Sanitize(), secret))
	return err
}
