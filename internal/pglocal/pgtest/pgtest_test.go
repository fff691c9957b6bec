package pgtest

import (
	"os"
	"testing"
)

func TestDir_HoldsFolders(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(Dir(), "pgtest-") //nolint:usetesting // The folder of the package is what is tested.
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Error(err)
	}
}

func TestUsable_RefusesOtherFolders(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), "/nowhere", "/proc"} {
		if usable(dir) {
			t.Errorf("%s counts as usable memory", dir)
		}
	}
}
