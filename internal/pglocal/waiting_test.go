package pglocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWaiting_ReportsAfterFiveSecondsThenEveryTen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		w := NewWaiting(t.Context(), textLogger(&log))
		w.Step("one")
		time.Sleep(firstReport - time.Nanosecond) //nolint:forbidigo // In a bubble.
		synctest.Wait()
		if got := log.String(); got != "" {
			t.Errorf("logged before the first report was due:\n%s", got)
		}
		time.Sleep(time.Nanosecond) //nolint:forbidigo // In a bubble.
		synctest.Wait()
		w.detailedStep("two", func() []slog.Attr { return []slog.Attr{slog.String("last_line", "x")} })
		time.Sleep(2 * reportPeriod) //nolint:forbidigo // In a bubble.
		synctest.Wait()
		w.Stop()
		time.Sleep(time.Hour) //nolint:forbidigo // In a bubble.
		want := `level=INFO msg="still waiting for PostgreSQL" step=one elapsed=5s
level=INFO msg="still waiting for PostgreSQL" step=two elapsed=15s last_line=x
level=INFO msg="still waiting for PostgreSQL" step=two elapsed=25s last_line=x
`
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// textLogger logs without times.
func textLogger(log *safeBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// slowStart is a start whose programs wait for a file each before they do anything.
type slowStart struct {
	dir    string // Holds the programs, and initdb.go and postgres.go once they may go on.
	log    safeBuffer
	began  time.Time
	ticks  chan time.Time
	cancel context.CancelFunc
	ended  chan struct{} // Closed when the start has returned cluster and err.

	cluster *Cluster
	err     error
}

// startSlowly starts a cluster in a folder by programs that wait.
func startSlowly(t *testing.T, folder string) *slowStart {
	t.Helper()
	s := &slowStart{dir: programDir(t), ticks: make(chan time.Time), ended: make(chan struct{})}
	user, err := serverAccount(folder)
	if err != nil {
		t.Fatal(err)
	}
	found := findBinaries(t.Context(), user, installedIn)
	if len(found) == 0 {
		t.Fatal("no PostgreSQL is installed")
	}
	for program, first := range map[string]string{"initdb": "--pgdata", "postgres": "-D"} {
		writeProgram(t, filepath.Join(s.dir, program), `case "$1" in
`+first+`*)
	echo "`+program+` waits" >&2
	until [ -e `+s.dir+`/`+program+`.go ]; do sleep 0.02; done
esac
exec `+found[0].path(program)+` "$@"
`)
	}
	t.Setenv("PATH", s.dir+":"+os.Getenv("PATH"))

	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	cfg := testConfig(folder)
	cfg.Logger = textLogger(&s.log)
	w := newWaiting(ctx, cfg.Logger, func(time.Duration) <-chan time.Time { return s.ticks })
	s.began = w.began
	go func() {
		defer close(s.ended)
		defer w.Stop()
		s.cluster, s.err = startWith(ctx, cfg, w)
	}()
	t.Cleanup(func() {
		cancel()
		<-s.ended
		if s.cluster != nil {
			stop(t, s.cluster)
		}
	})
	return s
}

// awaitReport lets the clock of the log show that so much time has passed, until the log has a line with the words.
func (s *slowStart) awaitReport(t *testing.T, elapsed time.Duration, words string) {
	t.Helper()
	eventually(t, func() bool {
		select {
		case s.ticks <- s.began.Add(elapsed):
		case <-s.ended:
			t.Fatalf("the start ended with %v; log:\n%s", s.err, s.log.String())
		}
		return strings.Contains(s.log.String(), words)
	})
}

func TestStart_WaitsForASlowServer(t *testing.T) {
	s := startSlowly(t, testDir(t))
	s.awaitReport(t, time.Hour, `step="creating the cluster" elapsed=1h0m0s last_line="initdb waits"`)
	write(t, filepath.Join(s.dir, "initdb.go"), "")
	s.awaitReport(t, 2*time.Hour, `step="starting the server, or recovering" elapsed=2h0m0s last_line="postgres waits"`)
	write(t, filepath.Join(s.dir, "postgres.go"), "")
	<-s.ended
	if s.err != nil {
		t.Fatal(s.err)
	}
	if err := connect(t, s.cluster).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStart_ItsContextEndsTheWaitForAHungServer(t *testing.T) {
	s := startSlowly(t, clusterDir(t))
	s.awaitReport(t, time.Hour, `last_line="postgres waits"`)
	s.cancel()
	<-s.ended
	if !errors.Is(s.err, context.Canceled) || !strings.Contains(s.err.Error(), "postgres waits") {
		t.Errorf("got %v, want %v with the last words of the server", s.err, context.Canceled)
	}
}

func TestStartState_HasTheStatusOfTheServer(t *testing.T) {
	t.Parallel()
	c := &Cluster{
		folder: &folder{path: t.TempDir()},
		server: &process{cmd: &exec.Cmd{Process: &os.Process{Pid: 4711}}},
		output: &logTail{},
	}
	const line = "LOG:  redo in progress, elapsed time: 10.00 s, current LSN: 0/2C98B20"
	_, _ = c.output.Write([]byte("LOG:  redo starts at 0/1522C10\n" + line + "\n"))
	pidFile := filepath.Join(c.folder.data(), "postmaster.pid")
	for content, want := range map[string][]slog.Attr{
		"":        {slog.String("last_line", line)},
		"4711\n/": {slog.String("last_line", line)},
		"4711\n/\n1\n5432\n\n127.0.0.1\n  1  2\nstarting\n": {slog.String("server_status", "starting"), slog.String("last_line", line)},
		"4712\n/\n1\n5432\n\n127.0.0.1\n  1  2\nready   \n": {slog.String("last_line", line)},
	} {
		write(t, pidFile, content)
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(c.startState())); diff != "" {
			t.Errorf("postmaster.pid %q (-want +got):\n%s", content, diff)
		}
	}
}
