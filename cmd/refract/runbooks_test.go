package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestRunbooks_NameCommandsThatExist parses each command of the runbooks. An operator reads them when there is no time to guess.
func TestRunbooks_NameCommandsThatExist(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named, word := regexp.MustCompile("`refract ([a-z][^`]*)`"), regexp.MustCompile(`[^\s"]*"[^"]*"|\S+`)
	found := 0
	for _, name := range pages {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range named.FindAllStringSubmatch(string(page), -1) {
			found++
			var c commands
			parser, err := kong.New(&c, kong.Exit(func(int) { t.Errorf("%s: %s ends the program", name, command[1]) }))
			if err != nil {
				t.Fatal(err)
			}
			args := word.FindAllString(command[1], -1)
			for i, arg := range args {
				args[i] = strings.ReplaceAll(arg, `"`, "")
			}
			// A page may name a command without what it needs.
			if _, err := parser.Parse(args); err != nil && !strings.HasPrefix(err.Error(), "expected ") && !strings.HasPrefix(err.Error(), "missing flags") {
				t.Errorf("%s names %s: %v", name, command[0], err)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}
