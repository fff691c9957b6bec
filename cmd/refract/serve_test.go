package main

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// TestServe_TakesRoutes parses routes of models and of other tasks, as flags and from the environment.
func TestServe_TakesRoutes(t *testing.T) {
	t.Setenv("REFRACT_ROUTE", "kie,luma;luma/ray-2-modify=luma,kie")
	want := []string{"kie,luma", "luma/ray-2-modify=luma,kie"}
	for _, args := range [][]string{{"serve"}, {"serve", "--route", "kie,luma", "--route", "luma/ray-2-modify=luma,kie"}} {
		var c commands
		parser, err := kong.New(&c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Serve.Route); diff != "" {
			t.Errorf("%v (-want +got):\n%s", args, diff)
		}
	}
}
