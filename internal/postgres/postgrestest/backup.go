package postgrestest

import (
	"net/url"
	"os/exec"
	"path"
	"path/filepath"
	"testing"
)

// Backup is a copy of a database as it was at one moment.
type Backup struct{ file string }

// TakeBackup copies a database, which may be in use, with pg_dump.
func TakeBackup(t testing.TB, databaseURL string) Backup {
	t.Helper()
	b := Backup{file: filepath.Join(t.TempDir(), "backup")}
	runProgram(t, "pg_dump", "--format=custom", "--compress=0", "--no-owner", "--file="+b.file, "--dbname="+withoutParameter(databaseURL, poolSize))
	return b
}

// Restore returns the address of a fresh database with the content of the backup.
func (b Backup) Restore(t testing.TB) string {
	t.Helper()
	databaseURL := EmptyURL(t)
	runProgram(t, "pg_restore", "--no-owner", "--exit-on-error", "--dbname="+databaseURL, b.file)
	return databaseURL
}

// Replace puts the backup in the place of a database that may be in use, as a failover to a standby does that lacks the last commits. All
// sessions of the database end.
func (b Backup) Replace(t testing.TB, databaseURL string) {
	t.Helper()
	old, restored := databaseName(t, databaseURL), databaseName(t, b.Restore(t))
	for _, statement := range []string{"DROP DATABASE " + old + " WITH (FORCE)", "ALTER DATABASE " + restored + " RENAME TO " + old} {
		if _, err := lend(t).pool.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func databaseName(t testing.TB, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed") // The error would print its password.
	}
	return path.Base(u.Path)
}

// runProgram runs a program of PostgreSQL, of the server's release where it is on this machine.
func runProgram(t testing.TB, name string, args ...string) {
	t.Helper()
	var dir string
	if err := lend(t).pool.QueryRow(t.Context(), `SELECT setting FROM pg_config WHERE name = 'BINDIR'`).Scan(&dir); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath(filepath.Join(dir, name))
	if err != nil {
		program = name
	}
	cmd := exec.CommandContext(t.Context(), program, args...) //nolint:gosec // A program of PostgreSQL, on a database of a test.
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
