package faults_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/e2e/program"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// built is the path of the built program, and builtFrom its sources.
var (
	built     string
	builtFrom program.Sources
)

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "refract-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if builtFrom, err = program.List(context.Background()); err == nil {
		built, err = build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	// A link that is cut while a toxic delays data leaves a goroutine of the toxic behind. That is a leak of the proxy.
	code := postgrestest.Main(m, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
	if builtFrom.Changed() {
		if err := program.Forget(); err != nil {
			fmt.Fprintln(os.Stderr, "prevent go test from caching the result:", err)
			return 1
		}
	}
	return code
}
