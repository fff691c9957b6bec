// Package program builds the refract program for tests that run it as processes of their own.
package program

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Package is the import path of the program.
const Package = "github.com/refract-video/refract/cmd/refract"

// raceFlag is set when the tests themselves are built with the race detector.
var raceFlag []string

// Build builds the program into a folder and returns its path. Flags are those of go build. The program has the race
// detector if the test has it. It has no tables for debuggers, which take the linker a third of its time and which stack
// traces and reports of races do not need.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	path := filepath.Join(dir, "refract")
	args := append([]string{"build", "-ldflags=-s -w", "-o", path}, raceFlag...)
	out, err := exec.CommandContext(ctx, "go", append(append(args, flags...), Package)...).CombinedOutput() //nolint:gosec // Flags of tests.
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}
