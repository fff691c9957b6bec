package postgres

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// ChangeTogether changes the tasks of attempts in one set, once, and returns what is wrong with the set as a whole.
func (s *Tasks) ChangeTogether(ctx context.Context, attempts []task.AttemptID, decide lifecycle.Decide) error {
	requests := make([]changeRequest, len(attempts))
	for i, id := range attempts {
		requests[i] = changeRequest{attempt: id, decide: decide}
	}
	return s.changeSet(ctx, requests, make([]groupcommit.Result[task.Task], len(requests)))
}

// CreateTogether makes tasks in one set, once, and returns what is wrong with the set as a whole.
func (s *Tasks) CreateTogether(ctx context.Context, ds []task.Decision) error {
	return s.createSet(ctx, ds, make([]groupcommit.Result[created], len(ds)))
}

// WaitingChanges returns how many grouped changes wait for their set.
func (s *Tasks) WaitingChanges() int { return s.changes.Waiting() }

// SetChangeTimeout bounds the transaction of a set of changes, and its waits for rows that other transactions hold.
func (s *Tasks) SetChangeTimeout(d time.Duration) {
	s.timeouts = changeTimeouts{set: d, alone: d, together: d}
}

// SetLockTimeout bounds only how long a change that is alone in its set waits for a row that another transaction holds.
func (s *Tasks) SetLockTimeout(alone time.Duration) { s.timeouts.alone = alone }

// ChangeSetsAtOnce is how many sets of changes are committed at the same time.
var ChangeSetsAtOnce = changeLimits.AtOnce

// CreateQueue is how many new tasks may wait.
var CreateQueue = createLimits.Waiting

// ReadTenantQueues is readTenantQueues.
var ReadTenantQueues = readTenantQueues
