// Package program builds the refract program for tests that run it as processes of their own.
package program

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// Package is the import path of the program.
const Package = "github.com/refract-video/refract/cmd/refract"

// raceFlag is set when the tests themselves are built with the race detector.
var raceFlag []string

// Build builds the program into a folder and returns its path. Flags are those of go build. The program has the race
// detector if the test has it. It has no tables for debuggers, which take the linker a third of its time and which stack
// traces and reports of races do not need.
//
// Build calls go run, which executes cp instead of the program. go run keeps the linked program in the build cache, and go build does
// not. A package of tests that builds the same program later takes it from there.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	path := filepath.Join(dir, "refract")
	args := slices.Concat([]string{"run", "-exec=cp", "-ldflags=-s -w"}, raceFlag, flags, []string{Package, path})
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput() //nolint:gosec // Flags of tests.
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}
