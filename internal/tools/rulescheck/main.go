// Command rulescheck reads rule files as Prometheus does: YAML, expressions, durations, labels and templates. It is a module of its
// own, since the reader brings the engine of Prometheus with it.
//
//	go -C internal/tools/rulescheck run . ../../../deploy/prometheus/rules.yaml
package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	failed := len(os.Args) < 2
	for _, file := range os.Args[1:] {
		groups, errs := rulefmt.ParseFile(file, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.Default())
		for _, err := range errs {
			fmt.Fprintln(os.Stderr, err)
		}
		if len(errs) > 0 {
			failed = true
			continue
		}
		rules := 0
		for _, g := range groups.Groups {
			rules += len(g.Rules)
		}
		fmt.Printf("%s: %d rules in %d groups\n", file, rules, len(groups.Groups))
	}
	if failed {
		os.Exit(1)
	}
}
