package lifecycle

import "time"

// IDs returns a function that makes ids by a clock.
func IDs(now func() time.Time) func() string { return (&ids{now: now}).next }
