package groupcommit

import (
	"fmt"
	"runtime/debug"
)

// PanicError is the result of an item if the commit function panicked with this item alone.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value and the stack. The text is for logs and not for callers.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// settle gives every item of a set its result. If a set fails, it tries each half of the set. So it finds one bad item
// among n in about 2·log₂(n) tries instead of n.
func (g *Group[In, Out]) settle(set []*item[In, Out]) {
	results, err := g.try(set)
	if err != nil && len(set) > 1 {
		half := len(set) / 2
		g.settle(set[:half])
		g.settle(set[half:])
		return
	}
	for i, it := range set {
		if err != nil {
			results[i] = Result[Out]{Err: err}
		}
		it.result <- results[i]
	}
}

// try commits a set once. It returns a panic as an error, so that one item can't end the process.
func (g *Group[In, Out]) try(set []*item[In, Out]) (results []Result[Out], err error) {
	ins := make([]In, len(set))
	for i, it := range set {
		ins[i] = it.in
	}
	results = make([]Result[Out], len(set))
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return results, g.commit(g.ctx, ins, results)
}
