package operation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/refract-video/refract/internal/e2e/e2etest"
)

const (
	rulesFile  = "../../../deploy/prometheus/rules.yaml"
	dashboards = "../../../deploy/grafana/*.json"
	runbooks   = "../../../docs/runbooks"
)

// TestMonitoring_RulesAndDashboardsNameWhatIsMeasured compares every expression of the rules and the dashboards with what a service
// exports: a metric, a label or a value that does not exist makes an alert silent.
func TestMonitoring_RulesAndDashboardsNameWhatIsMeasured(t *testing.T) {
	t.Parallel()
	all := measured(t)
	for _, r := range rules(t) {
		if r.Record != "" {
			all.addRecorded(t, r)
		}
	}
	for _, r := range rules(t) {
		all.check(t, "rule "+r.Record+r.Alert, r.Expr)
	}
	files, err := filepath.Glob(dashboards)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, file := range files {
		for _, e := range expressionsOf(t, file) {
			all.check(t, filepath.Base(file), e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all.documented)) {
		if !all.used[name] {
			t.Logf("no rule and no dashboard uses %s", name)
		}
	}
}

// TestMonitoring_FindsEveryTypo checks the check itself.
func TestMonitoring_FindsEveryTypo(t *testing.T) {
	t.Parallel()
	s := &series{labels: map[string]map[string]bool{}, values: map[string]string{"calls": "By outcome: ok, or failed."}, used: map[string]bool{}}
	s.add("calls", "histogram", "outcome")
	s.add("calls_other", "gauge", "account")
	for expression, want := range map[string]string{
		`sum by (outcome) (rate(calls_count{outcome=~"ok|failed", instance="a"}[5m]))`: "",
		`histogram_quantile(0.5, sum by (le) (rate(calls_bucket[5m])))`:                "",
		`max by (account) (calls_other) > 0`:                                           "",
		`rate(call_count[5m])`:                                                         "there is no metric call_count",
		`rate(calls_total[5m])`:                                                        "there is no metric calls_total",
		`calls_count{outcom="ok"}`:                                                     "calls_count has no label outcom",
		`calls_count{outcome="okay"}`:                                                  "label outcome of calls_count never is okay",
		`calls_count{outcome!~"ok|fail"}`:                                              "label outcome of calls_count never is fail",
		`calls_count{le="1"}`:                                                          "calls_count has no label le",
		`sum by (account) (rate(calls_count[5m]))`:                                     "no series has the label account",
		`calls_count / on (acount) calls_other`:                                        "no series has the label acount",
		`sum without (outcome) (calls_count)`:                                          "it uses without, whose labels can't be checked",
	} {
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := strings.Join(s.problems(parsed), "; "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

// TestMonitoring_EveryAlertHasItsRunbook compares the alerts with the pages about them, in both directions.
func TestMonitoring_EveryAlertHasItsRunbook(t *testing.T) {
	t.Parallel()
	pages := map[string]bool{}
	files, err := filepath.Glob(runbooks + "/Refract*.md")
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(runbooks + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		pages[name] = true
		for _, part := range []string{"# " + name + "\n", "\n## Meaning\n", "\n## Impact\n", "\n## Look\n", "\n## Fix\n", "\n## When it can wait\n"} {
			if !strings.Contains(string(page), part) {
				t.Errorf("%s lacks %q", file, part)
			}
		}
		if !strings.Contains(string(index), "("+name+".md)") {
			t.Errorf("the index does not link to %s", name)
		}
	}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if !pages[r.Alert] {
			t.Errorf("alert %s has no page", r.Alert)
		}
		delete(pages, r.Alert)
		if got, want := r.Annotations["runbook_url"], "docs/runbooks/"+r.Alert+".md"; got != want {
			t.Errorf("the runbook of %s is %q, want %q", r.Alert, got, want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks a summary or a description", r.Alert)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
	}
	for page := range pages {
		t.Errorf("page %s is about no alert", page)
	}
}

// TestMonitoring_DashboardsAreComplete checks what Grafana needs to import a dashboard.
func TestMonitoring_DashboardsAreComplete(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(dashboards)
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			UID, Title    string
			SchemaVersion int
			Templating    struct {
				List []struct{ Name, Type string }
			}
			Panels []struct {
				ID          int
				Title, Type string
				Datasource  struct{ UID string }
				GridPos     struct{ X, Y, W, H int }
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d.UID == "" || d.Title == "" || d.SchemaVersion < 39 {
			t.Errorf("%s: uid %q, title %q, schema %d", file, d.UID, d.Title, d.SchemaVersion)
		}
		if other := uids[d.UID]; other != "" {
			t.Errorf("%s and %s have one uid", file, other)
		}
		uids[d.UID] = file
		if !slices.ContainsFunc(d.Templating.List, func(v struct{ Name, Type string }) bool { return v.Name == "datasource" && v.Type == "datasource" }) {
			t.Errorf("%s has no variable for the data source", file)
		}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if p.Title == "" || ids[p.ID] || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: panel %d %q has no title, the id of another one, or no place", file, p.ID, p.Title)
			}
			if p.Type != "row" && p.Type != "text" && p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: panel %q has the data source %q", file, p.Title, p.Datasource.UID)
			}
			ids[p.ID] = true
		}
	}
}

// rule is a rule of Prometheus.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// rules returns the rules. Whether Prometheus takes them, templates included, internal/tools/rulescheck checks with its parser.
func rules(t *testing.T) (all []rule) {
	t.Helper()
	file, err := os.Open(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var groups struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&groups); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// series are metrics by name, each with its labels.
type series struct {
	labels     map[string]map[string]bool
	values     map[string]string // Where the values of labels are named, by metric: the description, and what was seen.
	documented map[string]bool
	used       map[string]bool // Of the documented ones.
}

// measured returns what the service measures: the table of docs/metrics.md, which is generated from the code, and what a service
// exports after it has worked, with the metrics of libraries. Both must agree where both have a metric.
func measured(t *testing.T) *series {
	t.Helper()
	all := &series{labels: map[string]map[string]bool{}, values: map[string]string{}, documented: map[string]bool{}, used: map[string]bool{}}
	table, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| ([\\w, ]*) ?\\| (.*) \\|$").FindAllStringSubmatch(string(table), -1) {
		name, kind, labels, meaning := row[1], row[2], strings.FieldsFunc(row[3], func(r rune) bool { return r == ',' || r == ' ' }), row[4]
		all.add(name, kind, labels...)
		kinds[name], all.documented[name], all.values[name] = kind, true, meaning
	}
	for _, family := range scrapeAfterWork(t) {
		name := family.GetName()
		kind := strings.ToLower(family.GetType().String())
		if strings.HasPrefix(name, "refract_") || strings.HasPrefix(name, "http_server_") {
			if kinds[name] != kind {
				t.Errorf("%s is a %s, but documented as %q", name, kind, kinds[name])
			}
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if all.documented[name] && !all.has(name, l.GetName()) {
					t.Errorf("%s has a label %s, which is not documented", name, l.GetName())
				}
				labels = append(labels, l.GetName())
				all.values[name] += " " + l.GetValue()
			}
			all.add(name, kind, labels...)
		}
	}
	for status := range code.Code_value {
		all.values["rpc_server_call_duration_seconds"] += " " + status
	}
	all.add("up", "gauge") // Prometheus itself makes it.
	return all
}

// scrapeAfterWork returns the metrics of a service after a task has passed through it, and a stream, an upload and a callback that
// is refused.
func scrapeAfterWork(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	ts := e2etest.Start(t, nil)
	scrape := func() map[string]*dto.MetricFamily {
		_, body := ts.Rest(t, http.MethodGet, "/metrics", "")
		p := expfmt.NewTextParser(model.LegacyValidation)
		families, err := p.TextToMetricFamilies(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%v in\n%s", err, body)
		}
		return families
	}
	e2etest.Eventually(t, "a stream to wait for an event", func() bool { // A stream that begins late waits for none.
		ts.End(t, ts.Submit(t, "[sim:processing=300ms]").GetId())
		return scrape()["refract_watch_lag_seconds"] != nil
	})
	e2etest.Request(t, http.MethodPost, "http://"+ts.IngressAddr()+"/v1/callbacks/kie/forged", "{}")
	ts.Rest(t, http.MethodGet, "/v1/tasks", "")
	var families map[string]*dto.MetricFamily
	e2etest.Eventually(t, "the metrics show the work", func() bool {
		families = scrape()
		return families["refract_output_saves_total"] != nil && families["refract_tasks"] != nil
	})
	return families
}

// add adds a metric with labels, and the series of a histogram.
func (s *series) add(name, kind string, labels ...string) {
	names := []string{name}
	if kind == "histogram" {
		names = append(names, name+"_bucket", name+"_sum", name+"_count")
	}
	for _, n := range names {
		if s.labels[n] == nil {
			s.labels[n] = map[string]bool{"instance": true, "job": true}
		}
		for _, l := range labels {
			s.labels[n][l] = true
		}
	}
	if kind == "histogram" {
		s.labels[name+"_bucket"]["le"] = true
	}
}

func (s *series) has(name, label string) bool { return s.labels[name][label] }

// addRecorded adds the series that a rule records, with the labels that its level names: account_operation:…
func (s *series) addRecorded(t *testing.T, r rule) {
	t.Helper()
	level, _, ok := strings.Cut(r.Record, ":")
	if !ok {
		t.Errorf("%s is not named level:metric:operation", r.Record)
	}
	var labels []string
	if level != "refract" {
		labels = strings.Split(level, "_")
	}
	s.labels[r.Record] = map[string]bool{}
	for _, l := range labels {
		s.labels[r.Record][l] = true
	}
	s.values[r.Record] = ".*"
}

// base returns the metric that a series belongs to.
func (s *series) base(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if b := strings.TrimSuffix(name, suffix); b != name && s.labels[b] != nil {
			return b
		}
	}
	return name
}

// check parses an expression and compares what it names with the series.
func (s *series) check(t *testing.T, where, expression string) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Errorf("%s: %v in %s", where, err, expression)
		return
	}
	for _, problem := range s.problems(parsed) {
		t.Errorf("%s: %s in %s", where, problem, expression)
	}
}

// problems returns what an expression names that there is not.
func (s *series) problems(e parser.Expr) (problems []string) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			problems = append(problems, s.selectorProblems(n)...)
		case *parser.AggregateExpr:
			if n.Without {
				problems = append(problems, "it uses without, whose labels can't be checked")
			}
			problems = append(problems, s.labelProblems(n.Expr, n.Grouping)...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				problems = append(problems, s.labelProblems(n, n.VectorMatching.MatchingLabels)...)
			}
		}
		return nil
	})
	return problems
}

// labelProblems returns the labels that no series below an expression has.
func (s *series) labelProblems(below parser.Expr, labels []string) (problems []string) {
	for _, label := range labels {
		found := false
		parser.Inspect(below, func(n parser.Node, _ []parser.Node) error {
			if v, ok := n.(*parser.VectorSelector); ok {
				found = found || s.has(v.Name, label)
			}
			return nil
		})
		if !found {
			problems = append(problems, fmt.Sprintf("no series has the label %s", label))
		}
	}
	return problems
}

// The values of labels that are spelt out, and those of which a description can't list all.
var (
	literal  = regexp.MustCompile(`^\w+$`)
	sqlState = regexp.MustCompile(`^[0-9][0-9A-Z]{4}$`)
)

func (s *series) selectorProblems(v *parser.VectorSelector) (problems []string) {
	if s.labels[v.Name] == nil {
		return []string{"there is no metric " + v.Name}
	}
	s.used[s.base(v.Name)] = true
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if !s.has(v.Name, m.Name) {
			problems = append(problems, fmt.Sprintf("%s has no label %s", v.Name, m.Name))
			continue
		}
		if m.Name == "job" || m.Name == "instance" || m.Name == "le" {
			continue
		}
		for value := range strings.SplitSeq(m.Value, "|") {
			if literal.MatchString(value) && !sqlState.MatchString(value) && !s.names(v.Name, value) {
				problems = append(problems, fmt.Sprintf("label %s of %s never is %s", m.Name, v.Name, value))
			}
		}
	}
	return problems
}

// names reports whether the description of a metric, or a label that was seen, has a value.
func (s *series) names(name, value string) bool {
	return regexp.MustCompile(`(^|\W)` + regexp.QuoteMeta(value) + `(\W|$)`).MatchString(s.values[s.base(name)])
}

// expressionsOf returns the expressions of a dashboard, with the variables of Grafana replaced.
func expressionsOf(t *testing.T, file string) (expressions []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var board any
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	inPlace := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$__interval", "1m")
	values := regexp.MustCompile(`^label_values\((.+), ?(\w+)\)$`)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for key, e := range v {
				text, isText := e.(string)
				switch {
				case isText && key == "expr":
					expressions = append(expressions, inPlace.Replace(text))
				case isText && (key == "query" || key == "definition") && strings.Contains(text, "("):
					found := values.FindStringSubmatch(text)
					if found == nil {
						t.Errorf("%s: this test can't read the query %s", file, text)
						continue
					}
					expressions = append(expressions, "count by ("+found[2]+") ("+found[1]+")")
				}
				walk(e)
			}
		}
	}
	walk(board)
	return expressions
}
