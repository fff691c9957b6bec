package frontier

import "time"

// SetMarkLimit sets how long a mark waits for all transactions before only those count that write events.
func (f *Tracker) SetMarkLimit(d time.Duration) { f.markLimit = d }
