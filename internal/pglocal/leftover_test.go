package pglocal

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/loop"
)

// ownCluster is what the test binary does as another process: own a cluster, say its URL, and wait to be killed.
func ownCluster(dir string) {
	c, err := Start(context.Background(), testConfig(dir))
	if err != nil {
		fmt.Fprintln(os.Stdout, "error:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, c.URL())
	_ = c.Wait(context.Background())
}

// startOwner runs ownCluster in another process and returns it with the URL of its cluster.
func startOwner(t *testing.T, dir string) (owner *os.Process, url string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), ownerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "postgres://") {
		t.Fatalf("the owner said %q, %v", line, err)
	}
	return cmd.Process, strings.TrimSpace(line)
}

func TestOwnerKilled_NothingKeepsRunning(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // Only Linux signals the death of a parent to its children.
	}
	dir := clusterDir(t)
	owner, _ := startOwner(t, dir)
	data := filepath.Join(dir, "data")
	pid := readPidFile(data).pid
	if !servesData(pid, data) {
		t.Fatalf("process %d does not serve %s", pid, data)
	}
	if err := owner.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !servesData(pid, data) })
	if _, err := os.Stat(filepath.Join(data, "postmaster.pid")); !os.IsNotExist(err) {
		t.Errorf("the server did not shut down in an orderly way: %v", err)
	}
}

func TestOwnerKilled_NextStartTakesOver(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	owner, url := startOwner(t, dir)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, conn, `CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)`)
	_ = conn.Close(t.Context())

	if c, err := Start(t.Context(), testConfig(dir)); err == nil {
		stop(t, c)
		t.Fatal("two processes own one folder")
	}
	if err := owner.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Wait(); err != nil {
		t.Fatal(err)
	}
	c := start(t, testConfig(dir)) // while the old server may still be shutting down
	if got := queryRow[int](t, connect(t, c), `SELECT n FROM kept`); got != 42 {
		t.Errorf("got %d, want 42", got)
	}
}

// Where no signal comes with the parent's death the old server is in full swing at the next Start.
func TestStart_StopsARunningLeftover(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	old := start(t, testConfig(dir))
	execute(t, connect(t, old), `CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)`)
	if err := unlock(old.folder.lock); err != nil { // As the kernel does when the owner dies.
		t.Fatal(err)
	}
	fresh := start(t, testConfig(dir))
	if err := old.Wait(t.Context()); err == nil {
		t.Error("the old server was not stopped")
	}
	if got := queryRow[int](t, connect(t, fresh), `SELECT n FROM kept`); got != 42 {
		t.Errorf("got %d, want 42", got)
	}
	old.folder.lock = nil
}

func TestStart_SparesAStrangerWithAStalePid(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	stranger := exec.CommandContext(t.Context(), "sleep", "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	})
	data := filepath.Join(dir, "data")
	write(t, filepath.Join(data, "postmaster.pid"), fmt.Sprintf("%d\n%s\n", stranger.Process.Pid, data))

	if err := stopLeftover(t.Context(), data, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger is gone: %v", err)
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	for !holds() {
		if loop.Sleep(ctx, 10*time.Millisecond) != nil {
			t.Fatal("waited in vain")
		}
	}
}
