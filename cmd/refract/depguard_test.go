package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDepguard_AllowsOnlyWhatIsImported compares the lists of .golangci.yml with go list. The linter refuses an import that is not
// on a list; here a list must not allow an import that no package has.
func TestDepguard_AllowsOnlyWhatIsImported(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						Files, Allow []string
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	rules, all := config.Linters.Settings.Depguard.Rules, importsOf(t)
	if len(rules) < 20 {
		t.Fatalf("%d rules, want one for each package with a list", len(rules))
	}
	for name, rule := range rules {
		var imported []string
		for path, list := range all {
			if matches(rule.Files, path) {
				imported = append(imported, list...)
				imported = append(imported, module+path) // A folder may allow itself, for the packages below it.
			}
		}
		if len(imported) == 0 {
			t.Errorf("rule %s is for %q, where no package is", name, rule.Files)
		}
		for _, allowed := range rule.Allow {
			if !strings.HasPrefix(allowed, module) {
				continue
			}
			exact, isExact := strings.CutSuffix(allowed, "$")
			if !slices.ContainsFunc(imported, func(path string) bool { return path == exact || !isExact && strings.HasPrefix(path, allowed) }) {
				t.Errorf("rule %s allows %s, which nothing imports there", name, allowed)
			}
		}
	}
}

// matches reports whether files of a package are under a rule: under one of its patterns, and under none that begins with !.
func matches(patterns []string, path string) bool {
	under := func(pattern string) bool {
		folder, below := strings.CutSuffix(strings.TrimPrefix(pattern, "**/"), "/**")
		folder, files := strings.CutSuffix(folder, "/*.go")
		if parent, children := strings.CutSuffix(folder, "/*"); children {
			rest, ok := strings.CutPrefix(path, parent+"/")
			return ok && !strings.Contains(rest, "/")
		}
		return path == folder && (below || files) || below && strings.HasPrefix(path, folder+"/") || pattern == "$all"
	}
	included := false
	for _, pattern := range patterns {
		if excluded, ok := strings.CutPrefix(pattern, "!"); ok {
			if under(excluded) {
				return false
			}
		} else if under(pattern) {
			included = true
		}
	}
	return included
}
