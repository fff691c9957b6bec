package faulttest_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// program is the path of the built program.
var program string

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// The tests wait for processes most of the time, so that more of them run at once than there are processors.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("8")
	}
	dir, err := os.MkdirTemp("", "refract-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if program, err = build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	return postgrestest.Main(m)
}
