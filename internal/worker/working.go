package worker

import (
	"context"
	"sync"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// working is which jobs this replica works on. The zero value is none.
type working struct {
	river.MiddlewareDefaults

	jobs sync.Map // Of job ids.
}

// Work notes a job while it lasts.
func (w *working) Work(ctx context.Context, job *rivertype.JobRow, do func(context.Context) error) error {
	w.jobs.Store(job.ID, nil)
	defer w.jobs.Delete(job.ID)
	return do(ctx)
}

// Working tells whether this replica works on a job.
func (w *Workers) Working(job int64) bool {
	_, ok := w.working.jobs.Load(job)
	return ok
}
