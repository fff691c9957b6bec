package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is a package as the go command lists it.
type listed struct {
	dir, export string // The folder of its sources, and the file with its exported types.
	files       []string
}

// list returns the packages of the mutations and all that these import, by import path.
func list(t *testing.T) map[string]listed {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", `{{.ImportPath}}|{{.Dir}}|{{.Export}}|{{join .GoFiles "|"}}`}
	for _, m := range mutations {
		if pkg := "./" + filepath.ToSlash(filepath.Dir(m.file)); !slices.Contains(args, pkg) {
			args = append(args, pkg)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Stderr = checkout, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]listed{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Split(lines.Text(), "|")
		all[fields[0]] = listed{fields[1], fields[2], fields[3:]}
	}
	return all
}

// Code that does not build proves nothing about the tests.
func TestMutations_Build(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(checkout)
	if err != nil {
		t.Fatal(err)
	}
	all := list(t)
	byDir := map[string]string{}
	for name, p := range all {
		byDir[p.dir] = name
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if all[path].export == "" {
			return nil, fmt.Errorf("the go command lists no package %s", path)
		}
		return os.Open(all[path].export)
	})
	for _, m := range mutations {
		if filepath.Ext(m.file) != ".go" {
			continue
		}
		mutated := filepath.Join(root, m.file)
		name := byDir[filepath.Dir(mutated)]
		text, err := m.apply(root)
		if err != nil || !slices.Contains(all[name].files, filepath.Base(m.file)) {
			t.Errorf("%s: %s is no source of package %q: %v", m, m.file, name, err)
			continue
		}
		var files []*ast.File
		for _, file := range all[name].files {
			path := filepath.Join(all[name].dir, file)
			var source any // Nil stands for the file.
			if path == mutated {
				source = text
			}
			parsed, err := parser.ParseFile(fset, path, source, parser.SkipObjectResolution)
			if err != nil {
				t.Errorf("%s: %v", m, err)
			}
			files = append(files, parsed)
		}
		if _, err := (&types.Config{Importer: imports}).Check(name, fset, files, nil); err != nil {
			t.Errorf("%s does not build: %v", m, err)
		}
	}
}
