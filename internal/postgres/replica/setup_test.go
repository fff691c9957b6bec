package replica_test

import (
	"os"
	"testing"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
