package postgres

import (
	"context"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// ChangeTogether changes the tasks of attempts in one set, once, and returns what is wrong with the set as a whole.
func (s *Store) ChangeTogether(ctx context.Context, attempts []task.AttemptID, decide lifecycle.Decide) error {
	wishes := make([]wish, len(attempts))
	for i, id := range attempts {
		wishes[i] = wish{attempt: id, decide: decide}
	}
	return s.changeSet(ctx, wishes, make([]groupcommit.Result[task.Task], len(wishes)))
}

// CreateTogether makes tasks in one set, once, and returns what is wrong with the set as a whole.
func (s *Store) CreateTogether(ctx context.Context, ds []task.Decision) error {
	return s.createSet(ctx, ds, make([]groupcommit.Result[created], len(ds)))
}

// WaitingChanges returns how many grouped changes wait for their set.
func (s *Store) WaitingChanges() int { return s.changes.Waiting() }

// ChangeSetsAtOnce is how many sets of changes are committed at the same time.
var ChangeSetsAtOnce = changeLimits.AtOnce

// CreateQueue is how many new tasks may wait.
var CreateQueue = createLimits.Waiting
