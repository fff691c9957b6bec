package watch_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// hung bounds each wait outside of a synctest bubble. Only a test that hangs reaches it.
const hung = 5 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
