package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

var update = flag.Bool("update", false, "write the parts of documents that are made from code")

// writing is held while a document is compared or written: a document has several parts.
var writing sync.Mutex

const readmePath = "../../README.md"

// TestREADME_ShowsTheSettingsOfServe compares the configuration table with the command line, defaults
// included. `go test ./cmd/refract -run README -update` writes it.
func TestREADME_ShowsTheSettingsOfServe(t *testing.T) {
	t.Parallel()
	var c commands
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	c.Serve.Complete()
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
	checkPart(t, readmePath, "config", table)
}

// TestREADME_ShowsTheExample compares the program in the README with the one that is compiled.
func TestREADME_ShowsTheExample(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("../../docs/examples/submit/main.go")
	if err != nil {
		t.Fatal(err)
	}
	checkPart(t, readmePath, "example", "```go\n"+string(program)+"```\n")
}

// TestDocs_ShowTheExamplesOfOtherLanguages compares the programs in documents with those that run in tests.
func TestDocs_ShowTheExamplesOfOtherLanguages(t *testing.T) {
	t.Parallel()
	for _, example := range []struct{ page, name, path, language string }{
		{"clients.md", "node", "node/submit.js", "js"},
		{"clients.md", "python", "python/submit.py", "python"},
		{"webhooks.md", "go", "webhook/main.go", "go"},
		{"webhooks.md", "typescript", "node/webhook.ts", "ts"},
		{"webhooks.md", "python", "python/webhook.py", "python"},
	} {
		program, err := os.ReadFile("../../docs/examples/" + example.path)
		if err != nil {
			t.Fatal(err)
		}
		checkPart(t, "../../docs/"+example.page, example.name, "```"+example.language+"\n"+string(program)+"```\n")
	}
}

// TestDocs_ShowTheCapabilities compares the table of providers with what their adapters declare.
func TestDocs_ShowTheCapabilities(t *testing.T) {
	t.Parallel()
	key := server.Upstream{APIKeys: []redact.Secret{"any"}}
	signing := key
	signing.WebhookKeys = []redact.Secret{"a key that signs callbacks"}
	accounts, _, err := (&server.Providers{KIE: signing, Luma: key, LumaAgents: key, Fal: server.Fal{Upstream: key}}).Accounts()
	if err != nil {
		t.Fatal(err)
	}
	table := "| provider | " + strings.Join(capabilityNames, " | ") + " |\n|---|" + strings.Repeat("---|", len(capabilityNames)) + "\n"
	for _, name := range accounts.Names() {
		table += "| " + name + " | " + strings.Join(capabilityRow(accounts[name].Capabilities()), " | ") + " |\n"
	}
	checkPart(t, "../../docs/providers.md", "capabilities", table)
}

const guaranteesPath = "../../docs/guarantees.md"

// TestDocs_ShowTheRulesOfSubmissions compares the table of answers with the one that the code follows.
func TestDocs_ShowTheRulesOfSubmissions(t *testing.T) {
	t.Parallel()
	table := "| answer | created? | the attempt becomes | the task becomes | the account pauses |\n|---|---|---|---|---|\n"
	for _, r := range lifecycle.SubmissionRules() {
		answer, pause := "a provider task id", "no"
		if r.Class != lifecycle.Accepted {
			answer = r.Class.String()
		}
		if p := r.Pause; p != nil {
			pause = fmt.Sprintf("%s, up to %s", p.For, p.Max)
			if p.After > 0 {
				pause += fmt.Sprintf(", after %d in a row", p.After)
			}
		}
		table += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", answer, r.Created, r.Effect.Attempt, r.Effect.Task, pause)
	}
	checkPart(t, guaranteesPath, "submissions", table)
}

// TestDocs_NameTheTestsOfThePromises checks that the tests which the guarantees name exist, and that they name all that
// try to break a promise.
func TestDocs_NameTheTestsOfThePromises(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(guaranteesPath)
	if err != nil {
		t.Fatal(err)
	}
	named, declared := namedTests(string(page)), declaredTests(t)
	for name := range named {
		if !declared[name] {
			t.Errorf("%s names %s, which does not exist", guaranteesPath, name)
		}
	}
	for name := range declared {
		if strings.HasPrefix(name, "TestPromise") && !named[name] {
			t.Errorf("%s does not name %s", guaranteesPath, name)
		}
	}
	for n := range 12 {
		if !strings.Contains(string(page), fmt.Sprintf("\n## %d. ", n+1)) {
			t.Errorf("%s has no promise %d", guaranteesPath, n+1)
		}
	}
}

// TestDocs_NameATestOfEachFault checks that each row of the tables of faults names tests which exist, and that the page quotes the
// log as it is.
func TestDocs_NameATestOfEachFault(t *testing.T) {
	t.Parallel()
	const path = "../../docs/troubleshooting.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	declared := declaredTests(t)
	rows := regexp.MustCompile(`(?m)^\| \*\*.*$`).FindAllString(string(page), -1)
	if len(rows) == 0 {
		t.Errorf("%s has no row of a fault", path)
	}
	for _, row := range rows {
		named := namedTests(row)
		if len(named) == 0 {
			t.Errorf("%s names no test in the row %s", path, row)
		}
		for name := range named {
			if !declared[name] {
				t.Errorf("%s names %s, which does not exist", path, name)
			}
		}
	}
	for _, message := range []string{server.LogWritesRefused, server.LogWritesTaken, server.LogConnectionsRefused, server.LogConnectionsMade} {
		if !strings.Contains(string(page), "`"+message+"`") {
			t.Errorf("%s does not have the message %q", path, message)
		}
	}
}

// namedTests returns the tests that a text names.
func namedTests(text string) map[string]bool {
	named := map[string]bool{}
	for _, name := range regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(text, -1) {
		named[name[1]] = true
	}
	return named
}

// declaredTests returns the tests of the module.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	declared := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(t \*testing\.T\)`)
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, name := range declaration.FindAllSubmatch(source, -1) {
			declared[string(name[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared
}

var capabilityNames = []string{
	"callbacks", "cancel", "upload", "refresh_links", "link lifetime", "checked every", "submissions", "in flight", "queries",
}

func capabilityRow(c provider.Capabilities) []string {
	yes := map[bool]string{true: "yes", false: "no"}
	limit := func(n int, unit string) string {
		if n == 0 {
			return "–"
		}
		return fmt.Sprintf("%d%s", n, unit)
	}
	return []string{
		c.Callbacks.String(), yes[c.Cancel], yes[c.Upload], yes[c.RefreshLinks], c.LinkLifetime.String(), c.PollInterval.String(),
		fmt.Sprintf("%d in %s", c.Limits.Submissions, c.Limits.Window), limit(c.Limits.InFlight, ""), limit(c.Limits.Queries, "/s"),
	}
}

// checkPart compares what stands between <!-- NAME --> and <!-- /NAME --> in a document.
func checkPart(t *testing.T, path, name, want string) {
	t.Helper()
	writing.Lock()
	defer writing.Unlock()
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, ok := strings.Cut(string(readme), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s…%s", path, begin, end)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, part %s (-code +document):\n%s", path, name, diff)
	}
}
