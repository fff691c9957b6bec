package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs_NameWhatExists checks that the files, folders and tests that the documents for contributors name exist.
func TestDocs_NameWhatExists(t *testing.T) {
	t.Parallel()
	declared := declaredTests(t)
	path := regexp.MustCompile("`((?:internal|cmd|docs|proto|gen)/[^`\\s]*)`")
	for _, name := range []string{"CONTRIBUTING.md", "docs/architecture.md", "SECURITY.md", "docs/metrics.md", "docs/CHANGELOG.md"} {
		page, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range path.FindAllStringSubmatch(string(page), -1) {
			if strings.Contains(named[1], "NAME") || strings.Contains(named[1], "_NN_") {
				continue // A change adds it.
			}
			if _, err := os.Stat(filepath.Join("../..", filepath.FromSlash(named[1]))); err != nil {
				t.Errorf("%s names %s, which does not exist", name, named[1])
			}
		}
		for test := range namedTests(string(page)) {
			if !declared[test] {
				t.Errorf("%s names %s, which does not exist", name, test)
			}
		}
	}
}
