package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	architecturePath = "../../docs/architecture.md"
	module           = "github.com/refract-video/refract/"
)

// largeLibraries are the libraries that few packages may know, by the prefix of their import paths.
var largeLibraries = []struct{ prefix, name string }{
	{"github.com/jackc/pgx/", "pgx"},
	{"github.com/riverqueue/river", "River"},
	{"google.golang.org/grpc", "gRPC"},
	{"github.com/grpc-ecosystem/grpc-gateway/", "gRPC gateway"},
	{"gocloud.dev/", "gocloud.dev"},
	{"go.opentelemetry.io/", "OpenTelemetry"},
}

// importsOf returns what each package of the module imports outside its tests, by the package's path in the module.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = "../.."
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if name, ours := strings.CutPrefix(fields[0], module); ours {
			all[name] = fields[1:]
		}
	}
	return all
}

// TestArchitecture_ShowsWhoImportsWhom compares the table of imports with go list.
// `go test ./cmd/refract -run Architecture -update` writes it.
func TestArchitecture_ShowsWhoImportsWhom(t *testing.T) {
	t.Parallel()
	table := "| package | imports | libraries |\n|---|---|---|\n"
	all := importsOf(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(name, "gen/") {
			continue
		}
		var own, libraries []string
		for _, path := range all[name] {
			if imported, ok := strings.CutPrefix(path, module); ok {
				own = append(own, strings.TrimPrefix(imported, "internal/"))
			}
		}
		for _, l := range largeLibraries {
			if slices.ContainsFunc(all[name], func(path string) bool { return strings.HasPrefix(path, l.prefix) }) {
				libraries = append(libraries, l.name)
			}
		}
		slices.Sort(own)
		table += "| " + name + " | " + strings.Join(own, ", ") + " | " + strings.Join(libraries, ", ") + " |\n"
	}
	checkPart(t, architecturePath, "imports", table)
}

// TestArchitecture_NoPackageImportsPGXAndGRPC keeps SQL and the wire apart: a package that imports both does two jobs. The kit that starts
// whole services for tests is the exception.
func TestArchitecture_NoPackageImportsPGXAndGRPC(t *testing.T) {
	t.Parallel()
	importing := func(imports []string, library string) bool {
		return slices.ContainsFunc(imports, func(path string) bool { return path == library || strings.HasPrefix(path, library+"/") })
	}
	for name, imports := range importsOf(t) {
		if name == "internal/e2e/e2etest" {
			continue
		}
		if importing(imports, "github.com/jackc/pgx/v5") && importing(imports, "google.golang.org/grpc") {
			t.Errorf("%s imports both pgx and gRPC", name)
		}
	}
}

// TestRelease_LinksTheCloudsAndNoDownloadOfPostgreSQL looks for packages in the program as releases have it: the buckets of all clouds
// must be there, and what only the download of PostgreSQL needs must not.
func TestRelease_LinksTheCloudsAndNoDownloadOfPostgreSQL(t *testing.T) {
	t.Parallel()
	linked := func(tags string) []string {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags, ".")
		list.Stderr = os.Stderr
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	ofDownload := func(path string) bool {
		return strings.HasPrefix(path, "github.com/fergusstrange/") || path == "github.com/lib/pq" || strings.HasPrefix(path, "github.com/xi2/xz")
	}
	release, other := linked("release"), linked("")
	if i := slices.IndexFunc(release, ofDownload); i >= 0 {
		t.Errorf("a released program has %s", release[i])
	}
	if !slices.ContainsFunc(other, ofDownload) {
		t.Error("no build has the packages of the download, so their names are wrong here")
	}
	for _, driver := range []string{"s3blob", "gcsblob", "azureblob"} {
		if !slices.Contains(release, "gocloud.dev/blob/"+driver) {
			t.Errorf("a released program has no %s", driver)
		}
	}
	if !slices.Contains(other, "gocloud.dev/blob/s3blob") {
		t.Error("a program that is no release has no s3blob")
	}
}

// TestArchitecture_WalksThroughFunctionsThatExist looks for the function of each step in the package that the step names.
func TestArchitecture_WalksThroughFunctionsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(architecturePath)
	if err != nil {
		t.Fatal(err)
	}
	steps := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\|").FindAllStringSubmatch(string(page), -1)
	if len(steps) == 0 {
		t.Errorf("%s has no step", architecturePath)
	}
	for _, step := range steps {
		declaration := `(?m)^func ` + regexp.QuoteMeta(step[2]) + `[\[(]`
		if receiver, method, ok := strings.Cut(step[2], "."); ok {
			declaration = `(?m)^func \((\w+ )?\*?` + receiver + `(\[[^)]*)?\) ` + method + `\(`
		}
		files, err := filepath.Glob(filepath.Join("../..", step[1], "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := slices.ContainsFunc(files, func(file string) bool {
			source, err := os.ReadFile(file)
			return err == nil && !strings.HasSuffix(file, "_test.go") && regexp.MustCompile(declaration).Match(source)
		})
		if !found {
			t.Errorf("%s names %s in %s, which is not there", architecturePath, step[2], step[1])
		}
	}
}
