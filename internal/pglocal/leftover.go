package pglocal

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

// stopLeftover ends the server that an earlier process left on this data when it was killed. We hold the folder's lock, so
// nobody is left who wants it. A stale postmaster.pid is PostgreSQL's own affair.
func stopLeftover(ctx context.Context, data string, logger *slog.Logger) error {
	pid := readPidFile(data).pid
	if pid == 0 {
		return nil
	}
	// On Linux this is a handle, not only a number: a process that gets the same number after the check is not signalled.
	server, err := os.FindProcess(pid)
	if err != nil {
		return nil //nolint:nilerr // there is no such process
	}
	defer server.Release() //nolint:errcheck // nothing can be done about it
	if !servesData(pid, data) {
		return nil
	}
	logger.InfoContext(ctx, "stopping the postgres of an earlier process", "pid", pid)
	if err := server.Signal(syscall.SIGINT); err != nil && servesData(pid, data) {
		return fmt.Errorf("stop the postgres that an earlier process left (process id %d): %w", pid, err)
	}
	// The command line, not the process, is waited for: a process that nobody reaps keeps its number for ever.
	for servesData(pid, data) {
		if err := loop.Sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("stop the postgres that an earlier process left (process id %d): %w", pid, err)
		}
	}
	return nil
}

// servesData reports whether the process is a PostgreSQL server that was started on this data directory, as we start them.
func servesData(pid int, data string) bool {
	args := commandLine(pid)
	if len(args) == 0 || filepath.Base(args[0]) != "postgres" {
		return false
	}
	i := slices.Index(args, "-D")
	return i > 0 && i+1 < len(args) && args[i+1] == data
}
