package watch_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// hung is how long a test outside of a bubble waits for what must happen, so that only one that hangs reaches it.
const hung = 5 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
