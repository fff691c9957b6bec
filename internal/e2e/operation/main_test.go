package operation_test

import (
	"os"
	"testing"

	"github.com/refract-video/refract/internal/e2e/e2etest"
)

func TestMain(m *testing.M) { os.Exit(e2etest.Main(m)) }
