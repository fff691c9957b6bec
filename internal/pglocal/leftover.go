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

// stopLeftover ends the server that an earlier process left on this data when it was killed. The caller holds the folder's lock, so
// no process uses that server. PostgreSQL itself replaces a stale postmaster.pid.
func stopLeftover(ctx context.Context, data string, logger *slog.Logger) error {
	pid := readPidFile(data).pid
	if pid == 0 {
		return nil
	}
	// On Linux this is a handle, not only a number: a process that gets the same number after the check is not signalled.
	server, err := os.FindProcess(pid)
	if err != nil {
		return nil //nolint:nilerr // The process does not exist.
	}
	defer server.Release() //nolint:errcheck // It only frees memory.
	if !servesData(pid, data) {
		return nil
	}
	logger.InfoContext(ctx, "stopping the postgres of an earlier process", "pid", pid)
	if err := server.Signal(syscall.SIGINT); err != nil && servesData(pid, data) {
		return fmt.Errorf("stop the postgres that an earlier process left (process id %d): %w", pid, err)
	}
	// Wait for the command line to change, not for the process to end: a zombie keeps its process id.
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
