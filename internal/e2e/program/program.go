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
// detector if the test has it.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	path := filepath.Join(dir, "refract")
	args := append([]string{"build", "-o", path}, raceFlag...)
	out, err := exec.CommandContext(ctx, "go", append(append(args, flags...), Package)...).CombinedOutput() //nolint:gosec // Flags of tests.
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}
