package postgrestest

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// PgBouncer starts a PgBouncer with some settings in front of a database and returns the URL by which it is reached. It ends with the
// test. Where no PgBouncer is installed the test is skipped, but for CI, which installs one.
func PgBouncer(t testing.TB, databaseURL, settings string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer") // Where Debian installs it.
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI must have PgBouncer: %v", err)
		}
		t.Skip("no PgBouncer is installed (Debian: apt-get install pgbouncer)")
	}
	server, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	password, _ := server.User.Password()
	dir, err := os.MkdirTemp("", "pgb") //nolint:usetesting // The path of a socket must be short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Appendf(nil, `[databases]
refract = host=%s port=%s dbname=%s user=%s password=%s
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = %s
auth_type = any
%s
`, server.Hostname(), server.Port(), strings.TrimPrefix(server.Path, "/"), server.User.Username(), password, dir, settings)
	if err := os.WriteFile(config, text, 0o644); err != nil { //nolint:gosec // Another user reads it; the password is one of tests.
		t.Fatal(err)
	}
	args := []string{config}
	if os.Getuid() == 0 { // As whom it refuses to run.
		args = append(args, "-u", "nobody")
		if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // Another user makes the socket there.
			t.Fatal(err)
		}
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...) //nolint:gosec // The arguments are ours.
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { <-ended })
	Until(t, func() bool {
		select {
		case <-ended:
			t.Fatalf("PgBouncer ended: %s", output.String())
		default:
		}
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "unix", filepath.Join(dir, ".s.PGSQL.6432"))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return "postgres://refract@/refract?port=6432&host=" + dir
}
