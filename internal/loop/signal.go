package loop

// Signal wakes a loop. It holds at most one wake: several calls of Send before the loop receives
// count as one.
type Signal chan struct{}

// NewSignal returns a signal without a pending wake.
func NewSignal() Signal { return make(Signal, 1) }

// Send wakes the loop. It does not block, and may be called concurrently.
func (s Signal) Send() {
	select {
	case s <- struct{}{}:
	default:
	}
}
