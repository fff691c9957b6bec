package server

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/redact"
)

// retiring is a model that retires 64 days after the beginning of the time in a bubble of synctest, and one without an account.
const retiring = `
models:
  - name: acme/edit
    title: Acme Edit
    offerings:
      - provider: kie
        remote: acme-1
        source: {field: v}
        lifecycle: {retire: 2000-03-05, replaced_by: acme/edit-2}
        facts: {lifecycle: {source: a test, certainty: guess}}
      - provider: luma
        remote: acme-1
        source: {field: v}
        lifecycle: {retire: 2000-03-05}
        facts: {lifecycle: {source: a test, certainty: guess}}
`

// ownCatalog returns a catalog file with this content.
func ownCatalog(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// modelsOf returns the models of a service with an account at kie, and its log.
func modelsOf(t *testing.T, file string, routes ...string) (*models, *bytes.Buffer) {
	t.Helper()
	f := Config{Catalog: []string{file}, Providers: Providers{KIE: Upstream{APIKeys: []redact.Secret{"k"}}, Route: routes}}
	accounts, _, err := f.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	m, err := openModels(t.Context(), f, accounts, time.Now, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return m, log
}

// lines returns the lines of a log with a text.
func lines(log *bytes.Buffer, text string) (found []string) {
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

const withdrawn = "a provider withdraws a model soon"

// TestModels_WarnDailyInTheLast60Days lets a service run from 64 days before a retire date until after it.
func TestModels_WarnDailyInTheLast60Days(t *testing.T) {
	t.Parallel()
	file := ownCatalog(t, retiring)
	for _, tc := range []struct {
		name  string
		ran   time.Duration
		lines int
	}{
		{"before the notice", 4*24*time.Hour - time.Second, 0},
		{"on its first day", 4*24*time.Hour + time.Second, 1},
		{"on its third day", 6*24*time.Hour + time.Second, 3},
		{"after the retire date", 90 * 24 * time.Hour, 60},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, log := modelsOf(t, file)
				ctx, cancel := context.WithTimeout(t.Context(), tc.ran)
				defer cancel()
				if err := m.run(ctx); err != nil {
					t.Fatal(err)
				}
				found := lines(log, withdrawn)
				if len(found) != tc.lines {
					t.Errorf("%d warnings, want %d:\n%s", len(found), tc.lines, log)
				}
				for _, line := range found {
					for _, want := range []string{"level=WARN", "model=acme/edit", "provider=kie", "retires=2000-03-05", "replaced_by=acme/edit-2"} {
						if !strings.Contains(line, want) {
							t.Errorf("a warning lacks %s: %s", want, line)
						}
					}
				}
			})
		})
	}
}

func TestModels_WarnAfterAReload(t *testing.T) {
	t.Parallel()
	file := ownCatalog(t, strings.ReplaceAll(retiring, "2000-03-05", "2001-03-05"))
	synctest.Test(t, func(t *testing.T) {
		m, log := modelsOf(t, file)
		m.warnRetiring(t.Context())
		if found := lines(log, withdrawn); len(found) != 0 {
			t.Errorf("warned a year before: %s", found)
		}
		time.Sleep(5 * 24 * time.Hour) //nolint:forbidigo // In a bubble, where time jumps.
		if err := os.WriteFile(file, []byte(retiring), 0o600); err != nil {
			t.Fatal(err)
		}
		m.reload(t.Context())
		if found := lines(log, withdrawn); len(found) != 1 {
			t.Errorf("%d warnings after a reload, want 1:\n%s", len(found), log)
		}
	})
}

func TestModels_RoutesReplaceTheCatalogs(t *testing.T) {
	t.Parallel()
	file := ownCatalog(t, retiring)
	m, log := modelsOf(t, file, "luma/ray-2-modify=kie,luma", "kie")
	if diff := cmp.Diff([]string{"kie", "luma"}, m.catalog().Model("luma/ray-2-modify").Route); diff != "" {
		t.Errorf("the route (-want +got):\n%s", diff)
	}
	if found := lines(log, "is skipped"); len(found) != 1 || !strings.Contains(found[0], "provider=luma") {
		t.Errorf("the log does not say once that luma is skipped:\n%s", log)
	}

	// A catalog that has no offering of the route does not replace the one before.
	m, log = modelsOf(t, file, "acme/edit=luma")
	if err := os.WriteFile(file, []byte("models: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.reload(t.Context())
	if model := m.catalog().Model("acme/edit"); model == nil || len(model.Route) != 1 {
		t.Errorf("after an invalid reload the model is %+v", model)
	}
	if found := lines(log, "the one before stays in use"); len(found) != 1 || !strings.Contains(found[0], "--route: acme/edit: there is no such model") {
		t.Errorf("the log does not say what is wrong with the catalog:\n%s", log)
	}
}

func TestConfig_RefusesRoutesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		routes []string
		want   string // Empty where the routes fit.
	}{
		"of a model":                  {[]string{"luma/ray-2-modify=kie"}, ""},
		"of a model and the others":   {[]string{"kie", "luma/ray-2-modify=kie"}, ""},
		"over a provider without key": {[]string{"luma/ray-2-modify=luma,kie"}, ""},
		"an empty variable":           {[]string{""}, ""},
		"an unknown model":            {[]string{"acme/none=kie"}, "--route: acme/none: there is no such model"},
		"a provider without it":       {[]string{"luma/ray-2-modify=luma-agents"}, `--route: luma/ray-2-modify: provider "luma-agents" has no offering of the model`},
		"an unknown provider":         {[]string{"luma/ray-2-modify=kei"}, `--route: luma/ray-2-modify: provider "kei" has no offering of the model; these have: luma, fal, kie`},
		"an empty list":               {[]string{"luma/ray-2-modify="}, "--route: luma/ray-2-modify: the route is empty"},
		"one model twice":             {[]string{"luma/ray-2-modify=kie", "luma/ray-2-modify=luma"}, "--route: luma/ray-2-modify: the model has two routes"},
		"one provider twice":          {[]string{"luma/ray-2-modify=kie,kie"}, `--route: luma/ray-2-modify: the route names provider "kie" twice`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := Config{AllowPrivate: true, Providers: Providers{KIE: Upstream{APIKeys: []redact.Secret{"k"}}, Route: tc.routes}}
			err := f.Check()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Check = %v, want %q", err, tc.want)
			}
		})
	}
}
