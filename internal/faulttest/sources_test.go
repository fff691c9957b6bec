package faulttest_test

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

// sources is what this module gives to the program: the files that it is built from, and their folders, which tell
// when one is added; as they were before it was built.
//
// Go test keeps the result of tests until something changes that they are built from, or a file of the module that they
// have looked at. What they build it does not know, so that they have to look at it.
type sources map[string]fs.FileInfo

// listSources returns the sources of the program.
func listSources(ctx context.Context) (sources, error) {
	args := append([]string{"list", "-deps", "-json=Dir,Module,GoFiles,IgnoredGoFiles,EmbedFiles"}, raceFlag...)
	list, err := exec.CommandContext(ctx, "go", append(args, programPackage)...).Output()
	if err != nil {
		return nil, fmt.Errorf("list what %s is built from: %w", programPackage, err)
	}
	s := sources{}
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

// look looks at all sources, for go test to note it. It does so while tests run, but not before, when the program is built.
func (s sources) look() {
	for path := range s {
		_, _ = os.Stat(path)
	}
	_ = os.Getenv("GOFLAGS") // It may hold build tags.
}

// changed tells whether a source is not what it was.
func (s sources) changed() bool {
	for path, was := range s {
		is, err := os.Stat(path)
		if err != nil || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime()) {
			return true
		}
	}
	return false
}

// forget keeps the result of these tests from being kept. Go test would hold it for that of the sources as they are when the
// tests have ended.
func forget() error {
	notes := flag.Lookup("test.testlogfile") // What the tests looked at. Without it, nothing is kept.
	if notes == nil || notes.Value.String() == "" {
		return nil
	}
	return os.Remove(notes.Value.String())
}
