package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// created is the result of a submission.
type created struct {
	task  task.Task // The task of the request id.
	isNew bool      // Whether this submission made it.
}

// CreateTasks implements lifecycle.Store.
func (s *Tasks) CreateTasks(ctx context.Context, ds []task.Decision) []lifecycle.NewTask {
	results := make([]lifecycle.NewTask, len(ds))
	for i, r := range s.creates.DoAll(ctx, ds) {
		results[i] = lifecycle.NewTask{Task: r.Value.task, New: r.Value.isNew, Err: r.Err}
	}
	return results
}

// requestKey names a submission.
type requestKey struct{ tenant, id string }

func requestKeyOf(d *task.Decision) requestKey { return requestKey{d.Task.Tenant, d.Task.RequestID} }

// createSet makes the tasks of a set in one transaction. An item whose request id is known gets the task of that
// request id. Of several items with one request id the first makes the task, and the others get it.
func (s *Tasks) createSet(ctx context.Context, ds []task.Decision, results []groupcommit.Result[created]) error {
	first := make(map[requestKey]int, len(ds))
	var items newTasks
	for i := range ds {
		if _, known := first[requestKeyOf(&ds[i])]; !known {
			first[requestKeyOf(&ds[i])] = i
			items.add(&ds[i])
		}
	}
	var inserted map[task.ID]insertedTask
	err := dbpool.Transact(ctx, s.timeouts.set, func(ctx context.Context) (err error) {
		inserted, err = s.insertTasks(ctx, &items)
		return err
	})
	if err != nil {
		return failedSet(fmt.Errorf("insert tasks: %w", err), results)
	}
	for _, row := range inserted {
		if row.delivered {
			s.wake()
			break
		}
	}
	known := map[requestKey]bool{}
	for i := range ds {
		made := &ds[first[requestKeyOf(&ds[i])]].Task
		row, ok := inserted[made.ID]
		switch {
		case !ok:
			known[requestKeyOf(&ds[i])] = true
		case row.quota != "":
			results[i].Err = row.refusal(ds[i].Task.Tenant)
		default:
			t := *made
			t.CreateTime, t.UpdateTime, t.DeadlineTime = row.createTime, row.createTime, row.deadlineTime
			results[i].Value = created{t, made == &ds[i].Task}
		}
	}
	s.findKnown(ctx, known, ds, results)
	return nil
}

// findKnown sets the results of the items whose request id was used before. It reads them after the commit: the transaction
// that made such a task may have been the last to commit before.
func (s *Tasks) findKnown(ctx context.Context, known map[requestKey]bool, ds []task.Decision, results []groupcommit.Result[created]) {
	if len(known) == 0 {
		return
	}
	var found map[requestKey]task.Task
	err := dbpool.Transact(ctx, s.timeouts.set, func(ctx context.Context) (err error) {
		found, err = s.tasksByRequest(ctx, known)
		return err
	})
	for i := range ds {
		r := requestKeyOf(&ds[i])
		if !known[r] {
			continue
		}
		t, ok := found[r]
		results[i].Value.task = t
		if err != nil {
			results[i].Err = err
		} else if !ok {
			results[i].Err = fmt.Errorf("find the task of request id %q: %w", r.id, lifecycle.ErrTaskNotFound)
		}
	}
}

var selectTasksByRequest = `
SELECT ` + taskColumns + `
FROM unnest($1::text[], $2::text[]) AS asked (tenant, request_id)
JOIN task ON task.tenant = asked.tenant AND task.request_id = asked.request_id`

// tasksByRequest reads tasks by their request ids.
func (s *Tasks) tasksByRequest(ctx context.Context, asked map[requestKey]bool) (map[requestKey]task.Task, error) {
	tenants, ids := make([]string, 0, len(asked)), make([]string, 0, len(asked))
	for r := range asked {
		tenants, ids = append(tenants, r.tenant), append(ids, r.id)
	}
	found := make(map[requestKey]task.Task, len(asked))
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectTasksByRequest, tenants, ids)
		if err != nil {
			return err
		}
		tasks, err := pgx.CollectRows(rows, scanTask)
		if err != nil {
			return err
		}
		err = s.complete(ctx, tx, tasks)
		for _, t := range tasks {
			found[requestKey{t.Tenant, t.RequestID}] = t
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the tasks of %d request ids: %w", len(asked), err)
	}
	return found, nil
}

// TaskByRequest implements lifecycle.Store.
func (s *Tasks) TaskByRequest(ctx context.Context, tenant, requestID string) (task.Task, error) {
	found, err := s.tasksByRequest(ctx, map[requestKey]bool{{tenant, requestID}: true})
	if err != nil {
		return task.Task{}, err
	}
	t, ok := found[requestKey{tenant, requestID}]
	if !ok {
		return task.Task{}, fmt.Errorf("read the task of request id %q: %w", requestID, lifecycle.ErrTaskNotFound)
	}
	return t, nil
}
