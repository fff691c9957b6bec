package console_test

import (
	"os"
	"testing"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(suite{m})) }

// suite is all tests of the package, and what they share.
type suite struct{ tests *testing.M }

// Run runs the tests. Then it ends what they share, before the check for leaked goroutines.
func (s suite) Run() int {
	code := s.tests.Run()
	for _, end := range atEnd {
		end()
	}
	return code
}

// atEnd are the functions that end what tests share. It must change only before the tests run.
var atEnd []func()
