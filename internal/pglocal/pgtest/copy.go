package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Copy copies the entries of a folder with a stopped cluster to an empty folder, with the owners and modes of all files.
//
// NOTE: the time of the target stays its own, since pglocal.RemoveAbandoned removes what is old. The lock comes first, since that
// passes over a folder without one.
func Copy(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	slices.Reverse(entries) // refract.lock, password, data.
	args := []string{"-a"}
	for _, entry := range entries {
		args = append(args, filepath.Join(from, entry.Name()))
	}
	cmd := exec.Command("cp", append(args, to)...) //nolint:noctx,gosec // It ends by itself. The folders are those of tests.
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}
