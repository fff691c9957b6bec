package lifecycle

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/task"
)

// SettleSave applies the result of saving the outputs of an attempt: the outputs, or why there never will be any. It reports whether
// that changed anything: an attempt whose outputs are recorded keeps them.
func (l *Lifecycle) SettleSave(ctx context.Context, id task.AttemptID, outputs []task.Output, failure *task.SaveFailed) (bool, error) {
	var changed bool // Not a named result, which a return would write while a decision may still be under way.
	_, err := l.change(ctx, "save", id, func(t task.Task) (Change, error) {
		var in task.Input = task.Saved{Attempt: id, Outputs: outputs}
		if failure != nil {
			in = *failure
		}
		d, err := t.Apply(in)
		changed = d.Changed
		return Change{Decision: d}, err
	})
	if err != nil {
		return false, fmt.Errorf("settle the save of attempt %s: %w", id, err)
	}
	return changed, nil
}
