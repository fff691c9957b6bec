package fence

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// The errors of Open.
var (
	// ErrNotSettled means that tasks may have been sent that the database has forgotten.
	ErrNotSettled = errors.New("tasks were sent that the database does not know as sent: settle them with `refract restore-check --settle`")
	// ErrRecordsMissing means that it is not known what was sent.
	ErrRecordsMissing = errors.New("the records of what was sent are missing: bring back the bucket of this database, or accept that something may be paid for again")
)

const (
	// maxPages bounds how many pages of the bucket one call of Unknown reads.
	maxPages = 20
	// maxReads bounds how many records it reads at the same time.
	maxReads = 16
)

// Request names a task as its caller does.
type Request struct{ Tenant, RequestID string }

// SentTask is the task of a request as the database has it.
type SentTask struct {
	Task  task.ID // Empty if the database does not have it.
	State task.State
	Sent  int // How many of its attempts were sent.
}

// UnknownAttempt is a send that has a record, and that the database does not know.
type UnknownAttempt struct {
	lifecycle.SendRecord
	Now SentTask
}

// Settleable reports whether the database has the task and would send it again by itself.
func (u UnknownAttempt) Settleable() bool {
	return u.Now.Task != "" && (u.Now.State == task.Queued || u.Now.State == task.Submitting)
}

// Settle takes over a send that the database has forgotten.
type Settle func(context.Context, lifecycle.SendRecord) error

// Unknown returns a page of the sends that have a record and that the database does not know, at most limit, and where the next page
// begins: nil at the end, as for the first. A page may be empty. With settle, those that can be settled are settled first.
func (f *Fence) Unknown(ctx context.Context, from []byte, limit int, settle Settle) (unknown []UnknownAttempt, next []byte, err error) {
	database, err := f.database(ctx)
	if err != nil {
		return nil, nil, err
	}
	a, err := f.cfg.Store.Admission(ctx)
	if err != nil {
		return nil, nil, err
	}
	settled := false
	for range maxPages {
		var records []lifecycle.SendRecord
		if records, next, err = f.recordPage(ctx, database, a, from, limit); err != nil {
			return nil, nil, err
		}
		if unknown, err = f.unknown(ctx, records); err != nil {
			return nil, nil, err
		}
		if settle != nil && len(unknown) > 0 {
			for _, u := range unknown {
				if !u.Settleable() {
					continue
				}
				if err := settle(ctx, u.SendRecord); err != nil {
					return nil, nil, err
				}
				settled = true
			}
			if unknown, err = f.unknown(ctx, records); err != nil {
				return nil, nil, err
			}
		}
		if from = next; len(unknown) > 0 || next == nil || settled { // Settling takes long, and a call has little time.
			break
		}
	}
	return unknown, next, nil
}

// recordPage returns the records of a page of the bucket, but for those that are so old that the database knows them.
func (f *Fence) recordPage(ctx context.Context, database string, a Admission, from []byte, limit int) ([]lifecycle.SendRecord, []byte, error) {
	files, next, err := f.cfg.Bucket.Page(ctx, sentPrefix+database+"/", from, limit)
	if err != nil {
		return nil, nil, err
	}
	found := make([]*lifecycle.SendRecord, len(files))
	reads, reading := errgroup.WithContext(ctx)
	reads.SetLimit(maxReads)
	for i, file := range files {
		if !a.KnownTime.IsZero() && file.ModTime.Before(a.KnownTime.Add(-skew)) {
			continue
		}
		reads.Go(func() (err error) {
			found[i], err = f.read(reading, file.Key)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, nil, err
	}
	var records []lifecycle.SendRecord
	for _, r := range found {
		if r != nil && r.Task != "" && !r.Unsent {
			records = append(records, *r)
		}
	}
	return records, next, nil
}

// unknown returns those of some records that the database does not know.
func (f *Fence) unknown(ctx context.Context, records []lifecycle.SendRecord) ([]UnknownAttempt, error) {
	if len(records) == 0 {
		return nil, nil
	}
	requests := make([]Request, len(records))
	for i, r := range records {
		requests[i] = Request{r.Tenant, r.RequestID}
	}
	tasks, err := f.cfg.Store.SentTasks(ctx, requests)
	if err != nil {
		return nil, err
	}
	var unknown []UnknownAttempt
	for i, r := range records {
		if tasks[i].Sent < r.Number {
			unknown = append(unknown, UnknownAttempt{r, tasks[i]})
		}
	}
	return unknown, nil
}

// Admission returns whether admission is open.
func (f *Fence) Admission(ctx context.Context) (Admission, error) { return f.cfg.Store.Admission(ctx) }

// Close closes admission for an operator. It stays closed for another reason that it was closed for. Other replicas may send for as long
// as openFor.
func (f *Fence) Close(ctx context.Context, message string) error {
	err := f.cfg.Store.CloseAdmission(ctx, ByOperator, message)
	f.cache.forget()
	return err
}

// Open opens admission. It returns ErrNotSettled or ErrRecordsMissing if something may have been sent that the database has forgotten.
// acceptUnknown opens it although the records are missing.
func (f *Fence) Open(ctx context.Context, acceptUnknown bool) error {
	for {
		a, err := f.cfg.Store.Admission(ctx)
		if err != nil || a.Open() {
			return err
		}
		if err := f.mayOpen(ctx, a, acceptUnknown); err != nil {
			return err
		}
		opened, err := f.cfg.Store.OpenAdmission(ctx, a)
		if err != nil {
			return err
		}
		if opened {
			break
		} // Otherwise it was closed for another reason meanwhile.
	}
	// The bucket gets an epoch at once, so that the next start finds one. If this fails, the next round does it.
	if err := f.advance(ctx); err != nil {
		f.cfg.Log.WarnContext(ctx, "admission is open, and the epoch could not be recorded yet", "error", err)
	}
	f.cfg.Log.InfoContext(ctx, "admission is open")
	return nil
}

// mayOpen returns an error if admission must stay closed.
func (f *Fence) mayOpen(ctx context.Context, a Admission, acceptUnknown bool) error {
	switch a.Reason {
	case BucketSetBack:
		if acceptUnknown {
			return nil
		}
		database, err := f.database(ctx)
		if err != nil {
			return err
		}
		newest, err := f.newestEpoch(ctx, database)
		if err != nil {
			return err
		}
		if newest == noEpoch {
			return ErrRecordsMissing
		}
		return f.checkSettled(ctx) // The bucket is back.
	case DatabaseSetBack:
		return f.checkSettled(ctx)
	case ByOperator, AtStart:
	}
	return nil
}

func (f *Fence) checkSettled(ctx context.Context) error {
	for from := []byte(nil); ; {
		unknown, next, err := f.Unknown(ctx, from, 500, nil)
		if err != nil {
			return err
		}
		for _, u := range unknown {
			if u.Settleable() {
				return fmt.Errorf("attempt %d of task %s: %w", u.Number, u.Now.Task, ErrNotSettled)
			}
		}
		if from = next; next == nil {
			return nil
		}
	}
}
