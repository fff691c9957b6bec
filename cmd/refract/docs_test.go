package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs_NameWhatExists checks that the files, folders and tests that documents name, and the files that they link to, exist.
func TestDocs_NameWhatExists(t *testing.T) {
	t.Parallel()
	declared := declaredTests(t)
	path := regexp.MustCompile("`((?:internal|cmd|docs|proto|gen|deploy)/[^`\\s]*)`")
	link := regexp.MustCompile(`\]\(([^)#:]+)[)#]`) // Of this repository: no colon.
	var pages []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/runbooks/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, name := range pages {
		page, err := os.ReadFile(name)
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
		for _, linked := range link.FindAllStringSubmatch(string(page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(linked[1]))); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, linked[1])
			}
		}
		for test := range namedTests(string(page)) {
			if !declared[test] {
				t.Errorf("%s names %s, which does not exist", name, test)
			}
		}
	}
}
