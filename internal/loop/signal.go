package loop

// Signal wakes a loop. It holds one wake: those that come before the loop looks count once.
type Signal chan struct{}

// NewSignal returns a signal that no loop has seen.
func NewSignal() Signal { return make(Signal, 1) }

// Send wakes the loop. It does not block, and may be called concurrently.
func (s Signal) Send() {
	select {
	case s <- struct{}{}:
	default:
	}
}
