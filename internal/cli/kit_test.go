package cli

import (
	"context"
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

// writeFile makes a file with a content and returns its path.
func writeFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
