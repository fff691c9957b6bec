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

// Sources are the files of this module that the program is built from, and their folders, which change when a file is added; as
// they were before it was built.
//
// Go test keeps the result of tests until something changes that they are built from, or a file of the module that they
// have looked at. What they build it does not know, so that they have to look at it.
type Sources map[string]fs.FileInfo

// List returns the sources of the program.
func List(ctx context.Context) (Sources, error) {
	args := append([]string{"list", "-deps", "-json=Dir,Module,GoFiles,IgnoredGoFiles,EmbedFiles"}, raceFlag...)
	list, err := exec.CommandContext(ctx, "go", append(args, Package)...).Output() //nolint:gosec // The arguments are ours.
	if err != nil {
		return nil, fmt.Errorf("list what %s is built from: %w", Package, err)
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
		// A file that is ignored may be so no more after a change.
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

// Look looks at all sources, for go test to note it. It does so while tests run, but not before, when the program is built.
func (s Sources) Look() {
	for path := range s {
		_, _ = os.Stat(path)
	}
	_ = os.Getenv("GOFLAGS") // It may hold build tags.
}

// Changed reports whether a source is not what it was.
func (s Sources) Changed() bool {
	for path, was := range s {
		is, err := os.Stat(path)
		if err != nil || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime()) {
			return true
		}
	}
	return false
}

// Forget keeps the result of these tests from being kept. Go test would hold it for that of the sources as they are when the
// tests have ended.
func Forget() error {
	notes := flag.Lookup("test.testlogfile") // What the tests looked at. Without it, nothing is kept.
	if notes == nil || notes.Value.String() == "" {
		return nil
	}
	return os.Remove(notes.Value.String())
}
