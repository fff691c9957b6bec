package lifecycle_test

import (
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// TestSubmissionRules_NeverPayTwice walks the table: every class has one row, and a row lets a task be sent again only
// where nothing was created, or where the provider itself says that what it created has failed.
func TestSubmissionRules_NeverPayTwice(t *testing.T) {
	t.Parallel()
	rows := map[provider.Class]int{}
	for _, r := range lifecycle.SubmissionRules() {
		rows[r.Class]++
		if r.Effect.SendAgain && r.Created != lifecycle.CreatedNo && r.Class != provider.GenerationFailed {
			t.Errorf("%s: sent again although something may have been created", r.Class)
		}
		if refused := r.Effect.Attempt == task.AttemptRefused; refused != (r.Created == lifecycle.CreatedNo) {
			t.Errorf("%s: created %s, and the attempt becomes %s", r.Class, r.Created, r.Effect.Attempt)
		}
		if brakes := r.Pause != nil && r.Pause.After > 0; brakes != (r.Created == lifecycle.CreatedUnknown) {
			t.Errorf("%s: created %s, and counts as an unknown outcome: %t", r.Class, r.Created, brakes)
		}
		if r.Pause != nil && r.Pause.Account != "" {
			t.Errorf("%s: pauses account %q", r.Class, r.Pause.Account)
		}
	}
	if rows[lifecycle.Accepted] != 1 {
		t.Errorf("%d rows for the answer that accepts, want 1", rows[lifecycle.Accepted])
	}
	for class := provider.Ambiguous; class.String() != provider.Class(0).String(); class++ {
		if rows[class] != 1 {
			t.Errorf("%d rows for class %s, want 1", rows[class], class)
		}
	}
}
