package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the parts of README.md that are made from code")

const readmePath = "../../README.md"

// TestREADME_ShowsTheSettingsOfServe compares the configuration table with the command line, defaults
// included. `go test ./cmd/refract -run README -update` writes it.
func TestREADME_ShowsTheSettingsOfServe(t *testing.T) {
	t.Parallel()
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	c.Serve.complete()
	defaults := map[string]string{
		"grpc-address": c.Serve.GRPC.Address, "http-address": c.Serve.HTTP.Address, "ingress-address": c.Serve.Ingress.Address,
	}
	table := "| flag | variable | default | meaning |\n|---|---|---|---|\n"
	for _, node := range parser.Model.Children {
		if node.Name != "serve" {
			continue
		}
		for _, f := range node.Flags {
			byDefault := f.Default
			if d, ok := defaults[f.Name]; ok {
				byDefault = d
			}
			if byDefault != "" {
				byDefault = "`" + byDefault + "`"
			}
			table += fmt.Sprintf("| `--%s` | `%s` | %s | %s |\n", f.Name, strings.Join(f.Envs, "`, `"), byDefault, f.Help)
		}
	}
	checkPart(t, "config", table)
}

// TestREADME_ShowsTheExample compares the program in the README with the one that is compiled.
func TestREADME_ShowsTheExample(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("../../docs/examples/submit/main.go")
	if err != nil {
		t.Fatal(err)
	}
	checkPart(t, "example", "```go\n"+string(program)+"```\n")
}

// checkPart compares what stands between <!-- NAME --> and <!-- /NAME --> in the README.
func checkPart(t *testing.T, name, want string) {
	t.Helper()
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, ok := strings.Cut(string(readme), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md has no %s…%s", begin, end)
	}
	if *update {
		if err := os.WriteFile(readmePath, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("README.md, part %s (-code +README):\n%s", name, diff)
	}
}
