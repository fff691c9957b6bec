package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/cli"
)

func TestCatalogCheck_ShowsWhatAFileAdds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "own.yaml")
	entry := `
models:
  - name: acme/edit
    title: Acme Edit
    offerings:
      - provider: fal
        remote: acme/edit/v1
        source: {field: video_url}
        lifecycle: {retire: 2030-01-31}
        facts: {lifecycle: {source: a letter, certainty: documented}}
`
	check := func(content string) (exit int, out, errs string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var o, e bytes.Buffer
		exit = run(t.Context(), []string{"catalog", "check", file}, cli.Console{Out: &o, Err: &e})
		return exit, o.String(), e.String()
	}
	exit, out, errs := check(entry)
	if exit != 0 || !strings.Contains(out, "luma/ray-2-modify") {
		t.Errorf("exit %d, %s, without the built-in models:\n%s", exit, errs, out)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "acme/edit ") && strings.Join(strings.Fields(line), " ") != "acme/edit fal acme/edit/v1 2030-01-31" {
			t.Errorf("the model of the file is shown as %q", line)
		}
	}
	exit, out, errs = check(strings.Replace(entry, "2030-01-31", "soon", 1))
	if exit == 0 || out != "" || !strings.Contains(errs, "own.yaml: line 9: ") {
		t.Errorf("exit %d, %q, %q; want an error that names the file and the line", exit, out, errs)
	}
}

// TestDocs_ListTheModels compares the page of models with the built-in catalog.
// `go test ./cmd/refract -run Docs -update` writes it.
func TestDocs_ListTheModels(t *testing.T) {
	t.Parallel()
	all, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	for _, m := range all.Models() {
		fmt.Fprintf(&page, "\n### %s\n\n%s. %s\n\n| provider | remote name | source | prompt | usual time | price | lifecycle |\n|---|---|---|---|---|---|---|\n", m.Name, m.Title, m.Description)
		for _, name := range m.Route {
			o := m.At(name)
			fmt.Fprintf(&page, "| %s | %s | %s | %s | %s | %s | %s |\n", name, "`"+o.Remote+"`"+map[bool]string{true: " (default)"}[o.Default], sourceCell(o), promptCell(o), durationCell(o), priceCell(o), lifecycleCell(o))
		}
		for _, name := range m.Route {
			for _, line := range parameterLines(m.At(name)) {
				fmt.Fprintf(&page, "%s", line)
			}
		}
	}
	checkPart(t, "../../docs/models.md", "models", page.String())
}

// cited adds how certain a cell is. A cell without figures says so by a dash.
func cited(o *catalog.Offering, field string, parts []string) string {
	if len(parts) == 0 {
		return "–"
	}
	text := strings.Join(parts, ", ")
	if fact, ok := o.Fact(field); ok && fact.Certainty != catalog.Documented {
		text += fmt.Sprintf(" (%s)", fact.Certainty)
	}
	return text
}

func sourceCell(o *catalog.Offering) string {
	s := o.Source
	var parts []string
	if len(s.Types) > 0 {
		parts = append(parts, strings.ReplaceAll(strings.Join(s.Types, ", "), "video/", ""))
	}
	switch {
	case s.MinDuration > 0 && s.MaxDuration > 0:
		parts = append(parts, fmt.Sprintf("%g to %g s", s.MinDuration.Seconds(), s.MaxDuration.Seconds()))
	case s.MaxDuration > 0:
		parts = append(parts, fmt.Sprintf("at most %g s", s.MaxDuration.Seconds()))
	}
	if s.MaxBytes > 0 {
		parts = append(parts, fmt.Sprintf("at most %g MB", float64(s.MaxBytes)/1e6))
	}
	if s.MinSide > 0 {
		parts = append(parts, fmt.Sprintf("sides of %d to %d pixels", s.MinSide, s.MaxSide))
	}
	if s.MaxRatio > 0 {
		parts = append(parts, fmt.Sprintf("ratio of %g to %g", s.MinRatio, s.MaxRatio))
	}
	return cited(o, "source.max_duration", parts)
}

func promptCell(o *catalog.Offering) string {
	if o.Prompt == nil {
		return "none"
	}
	parts := []string{map[bool]string{true: "required", false: "optional"}[o.Prompt.Required]}
	if o.Prompt.MaxCharacters == 0 {
		return parts[0]
	}
	return cited(o, "prompt.max_characters", append(parts, fmt.Sprintf("at most %d characters", o.Prompt.MaxCharacters)))
}

func durationCell(o *catalog.Offering) string {
	if o.UsualDuration == 0 {
		return "–"
	}
	return cited(o, "usual_duration", []string{strings.TrimSuffix(o.UsualDuration.Round(time.Second).String(), "0s")})
}

func priceCell(o *catalog.Offering) string {
	p := o.Price
	if p == nil {
		return "–"
	}
	parts := []string{fmt.Sprintf("%s %s per %s", p.Amount, p.Currency, strings.ReplaceAll(string(p.Unit), "_", " "))}
	if p.Note != "" {
		parts = append(parts, p.Note)
	}
	return cited(o, "price", parts)
}

func lifecycleCell(o *catalog.Offering) string {
	var parts []string
	if date := o.Lifecycle.Deprecate.String(); date != "" {
		parts = append(parts, "deprecated "+date)
	}
	if date := o.Lifecycle.Retire.String(); date != "" {
		parts = append(parts, "retires "+date)
	}
	return cited(o, "lifecycle", parts)
}

// parameterLines lists the parameters of an offering.
func parameterLines(o *catalog.Offering) []string {
	properties, _ := o.Parameters["properties"].(map[string]any)
	if len(properties) == 0 {
		return nil
	}
	lines := []string{fmt.Sprintf("\nParameters at %s:\n\n", o.Provider)}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any)
		line := fmt.Sprintf("- `%s`: %s", name, kindOf(property))
		if value, ok := o.Defaults[name]; ok {
			line += fmt.Sprintf(", %v unless set", value)
		}
		if text, ok := property["description"].(string); ok {
			line += ". " + strings.TrimSuffix(text, ".")
		}
		lines = append(lines, line+".\n")
	}
	return lines
}

// kindOf describes the values of a parameter.
func kindOf(property map[string]any) string {
	if values, ok := property["enum"].([]any); ok {
		var texts []string
		for _, v := range values {
			texts = append(texts, fmt.Sprint(v))
		}
		return "one of " + strings.Join(texts, ", ")
	}
	if items, ok := property["items"].(map[string]any); ok {
		return fmt.Sprintf("a list of at most %v: %s", property["maxItems"], kindOf(items))
	}
	if property["format"] == "uri" {
		return "an https address"
	}
	return fmt.Sprint(property["type"])
}
