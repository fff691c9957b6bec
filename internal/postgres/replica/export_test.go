package replica

import "time"

// LookEvery sets how often lost jobs are looked for.
func (r *JobRescuer) LookEvery(tick time.Duration) { r.tick = tick }

// ReconnectAfter sets how long a listener pauses after its connection broke.
func (l *Listener) ReconnectAfter(wait time.Duration) { l.reconnectWait = wait }
