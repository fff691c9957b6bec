package httpapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestStatuses_StandInOneFile finds statuses outside statuses.go.
func TestStatuses_StandInOneFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	set := token.NewFileSet()
	for _, name := range files {
		if name == "statuses.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				x, _ := n.X.(*ast.Ident)
				if x == nil {
					return true
				}
				switch used := x.Name + "." + n.Sel.Name; {
				case strings.HasPrefix(used, "http.Status"), used == "runtime.HTTPStatusFromCode", used == "status.New", strings.HasPrefix(used, "status.Error"):
					t.Errorf("%s: %s belongs into statuses.go", set.Position(n.Pos()), used)
				}
			case *ast.CallExpr:
				called, _ := n.Fun.(*ast.SelectorExpr)
				if called == nil || len(n.Args) == 0 {
					return true
				}
				if _, literal := n.Args[0].(*ast.BasicLit); literal && called.Sel.Name == "WriteHeader" {
					t.Errorf("%s: the status of an answer belongs into statuses.go", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
}
