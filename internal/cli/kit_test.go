package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// run runs a command line.
func run(ctx context.Context, args []string, con Console) int {
	var commands struct {
		Submit   Submit   `cmd:""`
		Get      Get      `cmd:""`
		List     List     `cmd:""`
		Watch    Watch    `cmd:""`
		Cancel   Cancel   `cmd:""`
		Retry    Retry    `cmd:""`
		Model    Model    `cmd:""`
		Provider Provider `cmd:""`
		Tenant   Tenant   `cmd:""`
		Callback Callback `cmd:""`
		Check    Check    `cmd:""`
		Explain  Explain  `cmd:""`
		Stuck    Stuck    `cmd:""`
		Webhook  Webhook  `cmd:""`
	}
	return Run(ctx, &commands, args, con)
}

// freeAddress returns an address of this machine where nothing listens. It is not one that the system gives to other tests.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, last = 10_000, 30_000
	for range 1000 {
		lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first)))
		if err == nil {
			defer lis.Close()
			return lis.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// writeFile makes a file with a content and returns its path.
func writeFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
