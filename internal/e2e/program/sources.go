package program

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Sources has the state, before the build, of the files of this module from which the program is built. It includes
// their folders, which change when a file is added.
//
// Go test caches a test result until a source of the test changes, or a file of the module that the test has opened. It
// does not know which programs the tests build, so the tests must open the sources of these programs.
type Sources map[string]fs.FileInfo

// List returns the sources of the program.
func List(ctx context.Context) (Sources, error) {
	args := append([]string{"list", "-deps", "-json=Dir,Module,GoFiles,IgnoredGoFiles,EmbedFiles"}, raceFlag...)
	list, err := exec.CommandContext(ctx, "go", append(args, Package)...).Output() //nolint:gosec // The arguments are ours.
	if err != nil {
		return nil, fmt.Errorf("list the sources of %s: %w", Package, err)
	}
	s := Sources{}
	for packages := json.NewDecoder(bytes.NewReader(list)); packages.More(); {
		var p struct {
			Dir    string
			Module *struct {
				Main  bool
				GoMod string
			}
			GoFiles, IgnoredGoFiles, EmbedFiles []string
		}
		if err := packages.Decode(&p); err != nil {
			return nil, err
		}
		if p.Module == nil || !p.Module.Main {
			continue // The versions of other modules are in go.mod.
		}
		// After a change, an ignored file may no longer be ignored.
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.EmbedFiles) {
			file := filepath.Join(p.Dir, name)
			s[file], s[filepath.Dir(file)] = nil, nil
		}
		s[p.Module.GoMod], s[filepath.Join(filepath.Dir(p.Module.GoMod), "go.sum")] = nil, nil
	}
	for path := range s {
		if s[path], err = os.Stat(path); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Look opens all sources, so that go test records them. It must be called while tests run, not before, when the program
// is built.
func (s Sources) Look() {
	for path := range s {
		_, _ = os.Stat(path)
	}
	_ = os.Getenv("GOFLAGS") // It may contain build tags.
}

// Changed reports whether a source has changed.
func (s Sources) Changed() bool {
	for path, was := range s {
		is, err := os.Stat(path)
		if err != nil || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime()) {
			return true
		}
	}
	return false
}

// Forget prevents go test from caching the result of these tests. Otherwise go test would attribute the result to the
// sources at the end of the tests.
func Forget() error {
	notes := flag.Lookup("test.testlogfile") // The record of opened files. Without it, nothing is cached.
	if notes == nil || notes.Value.String() == "" {
		return nil
	}
	return os.Remove(notes.Value.String())
}
