package main

import (
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// instrument is an instrument as the code makes it.
type instrument struct {
	kind, name, unit, description string
	labels                        []string
}

// TestMetrics_AreDocumented compares the table of metrics with the instruments in the code. It reads the code and not a running
// service, where a metric appears only with its first value.
// `go test ./cmd/refract -run Metrics -update` writes the table.
func TestMetrics_AreDocumented(t *testing.T) {
	t.Parallel()
	var rows []string
	for _, i := range instruments(t) {
		if i.description == "" {
			t.Errorf("%s has no description", i.name)
		}
		name, kind := exposed(t, i)
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, strings.ReplaceAll(strings.Join(i.labels, ", "), ".", "_"), i.description))
	}
	slices.Sort(rows)
	checkPart(t, "../../docs/metrics.md", "metrics", "| name | type | labels | meaning |\n|---|---|---|---|\n"+strings.Join(rows, ""))
}

// instruments returns the instruments that the packages under internal make.
func instruments(t *testing.T) (all []instrument) {
	t.Helper()
	packages := map[string][]*ast.File{} // By folder.
	err := filepath.WalkDir("../../internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range packages {
		for _, file := range files {
			for _, declaration := range file.Decls {
				ast.Inspect(declaration, func(n ast.Node) bool {
					assignment, ok := n.(*ast.AssignStmt)
					if !ok || len(assignment.Rhs) != 1 {
						return true
					}
					made, ok := instrumentOf(assignment.Rhs[0])
					if !ok {
						return true
					}
					made.labels = attributesIn(assignment.Rhs[0])
					if !strings.Contains(made.kind, "Observable") {
						made.labels, ok = recorded(lastName(assignment.Lhs[0]), declaration, files)
					}
					if !ok {
						t.Errorf("nothing records %s", made.name)
					}
					all = append(all, made)
					return true
				})
			}
		}
	}
	return all
}

// instrumentOf reads the call of a meter that makes an instrument of ours.
func instrumentOf(e ast.Expr) (i instrument, ok bool) {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return i, false
	}
	i.kind, i.name = lastName(call.Fun), text(call.Args[0])
	if !strings.HasPrefix(i.name, "refract_") && !strings.HasPrefix(i.name, "http.server.") {
		return i, false
	}
	for _, option := range call.Args[1:] {
		if o, ok := option.(*ast.CallExpr); ok && len(o.Args) > 0 {
			switch lastName(o.Fun) {
			case "WithDescription":
				i.description = text(o.Args[0])
			case "WithUnit":
				i.unit = text(o.Args[0])
			}
		}
	}
	return i, true
}

// recorded returns the labels with which an instrument gets its values, and whether it gets any: in the function that makes
// it, or else in the package, under the same name.
func recorded(name string, maker ast.Decl, files []*ast.File) (labels []string, found bool) {
	look := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || method.Sel.Name != "Add" && method.Sel.Name != "Record" || lastName(method.X) != name {
				return true
			}
			found = true
			labels = append(labels, attributesIn(call)...)
			return true
		})
	}
	look(maker)
	for i := 0; !found && i < len(files); i++ {
		look(files[i])
	}
	slices.Sort(labels)
	return slices.Compact(labels), found
}

// attributesIn returns the keys of the attributes that are made below a node.
func attributesIn(n ast.Node) []string {
	keys := map[string]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) > 0 {
			if f, ok := call.Fun.(*ast.SelectorExpr); ok && lastName(f.X) == "attribute" {
				keys[text(call.Args[0])] = true
			}
		}
		return true
	})
	return slices.Sorted(maps.Keys(keys))
}

// lastName returns the last identifier of a.b.c.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	default:
		return ""
	}
}

// text returns the value of a text that the code spells out, or what is wrong with it.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	}
	return "(not a literal)"
}

// exposed returns name and type under which Prometheus gets an instrument, from the exporter itself.
func exposed(t *testing.T, i instrument) (name, kind string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	meter, unit := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter("refract"), metric.WithUnit(i.unit)
	var makeErr error
	switch i.kind {
	case "Int64Counter":
		c, err := meter.Int64Counter(i.name, unit)
		c.Add(t.Context(), 1)
		makeErr = err
	case "Int64UpDownCounter":
		c, err := meter.Int64UpDownCounter(i.name, unit)
		c.Add(t.Context(), 1)
		makeErr = err
	case "Int64Histogram":
		h, err := meter.Int64Histogram(i.name, unit)
		h.Record(t.Context(), 1)
		makeErr = err
	case "Float64Histogram":
		h, err := meter.Float64Histogram(i.name, unit)
		h.Record(t.Context(), 1)
		makeErr = err
	case "Int64ObservableGauge":
		_, makeErr = meter.Int64ObservableGauge(i.name, unit, metric.WithInt64Callback(observeOne))
	case "Int64ObservableCounter":
		_, makeErr = meter.Int64ObservableCounter(i.name, unit, metric.WithInt64Callback(observeOne))
	case "Float64ObservableGauge":
		_, makeErr = meter.Float64ObservableGauge(i.name, unit, metric.WithFloat64Callback(observeHalf))
	case "Float64ObservableCounter":
		_, makeErr = meter.Float64ObservableCounter(i.name, unit, metric.WithFloat64Callback(observeHalf))
	default:
		t.Fatalf("this test can't make a %s", i.kind)
	}
	families, err := registry.Gather()
	if err := cmp.Or(makeErr, err); err != nil || len(families) != 1 {
		t.Fatalf("%s gives %d metrics, %v", i.name, len(families), err)
	}
	return families[0].GetName(), strings.ToLower(families[0].GetType().String())
}

func observeOne(_ context.Context, o metric.Int64Observer) error {
	o.Observe(1)
	return nil
}

func observeHalf(_ context.Context, o metric.Float64Observer) error {
	o.Observe(0.5)
	return nil
}
