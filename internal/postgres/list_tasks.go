package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// maxLooked is the number of tasks that a page looks at, and maxSearched how many bytes of prompts it searches for a text. So the cost
// of a page depends neither on the number of tasks nor on how few of them match its filters.
const (
	maxLooked   = 10_000
	maxSearched = 4 << 20
)

// listTasks reads a page by key, so that its cost does not grow with the pages before it. The innermost query bounds how many tasks
// the filters see, and it ends early once the page is full. The last task that may be looked at is a row of the result even if it
// does not match, because the next page begins there.
//
// NOTE: "tenant = ANY (ARRAY[$1])" keeps PostgreSQL from reading the tasks of all tenants by their ids. An equality makes the tenant
// redundant in the order, and where a few tenants have most tasks, the primary key looks cheap for any tenant.
//
// Bounds that are not set have a value, because a generic plan can use no index for "or it is NULL". The sums need only the sizes of
// the prompts, which are known without reading them. The conditions begin with the cheap ones.
var listTasks = `
SELECT ` + taskColumns + `, task.matches, task.last
FROM (
SELECT *, sum(CASE WHEN matches THEN octet_length(prompt) + octet_length(parameters) END)
              OVER (ORDER BY tenant, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
FROM (
SELECT *,
       (cardinality($6::text[]) = 0 OR state = ANY ($6))
       AND (cardinality($7::text[]) = 0 OR failure_reason IS NOT NULL AND failure_reason = ANY ($7))
       AND (cardinality($8::text[]) = 0 OR provider = ANY ($8))
       AND (cardinality($9::text[]) = 0 OR model = ANY ($9) OR provider || ' ' || model = ANY ($10::text[]))
       AND create_time >= coalesce($4::timestamptz, '-infinity')
       AND create_time < coalesce($5::timestamptz, 'infinity')
       AND labels @> $11
       AND ($12::text = ''
            OR bytes - octet_length(prompt) < $16 AND id IS DISTINCT FROM $13::uuid
               AND (strpos(lower(prompt), (SELECT lower($12))) > 0 OR request_id = $12)) AS matches,
       place = ` + strconv.Itoa(maxLooked) + ` OR $12 <> '' AND bytes >= $16 AND bytes - octet_length(prompt) < $16 AS last
FROM (
SELECT *, row_number() OVER searched AS place, sum(octet_length(prompt)) OVER searched AS bytes
FROM task
WHERE tenant = ANY (ARRAY[$1::text])
  AND id < $2::uuid
  AND id >= $3::uuid
WINDOW searched AS (ORDER BY tenant, id DESC ROWS UNBOUNDED PRECEDING)
ORDER BY tenant, id DESC
LIMIT ` + strconv.Itoa(maxLooked) + `
) AS looked
) AS judged
WHERE matches OR last
ORDER BY tenant, id DESC
LIMIT $14
) AS task
WHERE coalesce(bytes_before, 0) < $15
ORDER BY tenant, id DESC`

// selectNamed finds a task by its id, or else by its request id.
const selectNamed = `
SELECT coalesce((SELECT id FROM task WHERE id = $2::uuid AND tenant = $1), (SELECT id FROM task WHERE tenant = $1 AND request_id = $3))::text`

// ListTasks returns tasks, newest first. It looks at a bounded number of tasks.
func (s *Tasks) ListTasks(ctx context.Context, f task.Filter) (task.Page, error) {
	var page task.Page
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		q := newTaskQuery(f)
		if f.Text != "" {
			if page, err = q.named(ctx, tx); err != nil {
				return err
			}
		}
		if len(page.Tasks) < f.Limit {
			rest, err := q.read(ctx, tx, f.Limit-len(page.Tasks))
			if err != nil {
				return err
			}
			page.Tasks, page.SearchedTo = append(page.Tasks, rest.Tasks...), rest.SearchedTo
		}
		return s.complete(ctx, tx, page.Tasks)
	})
	if err != nil {
		return task.Page{}, fmt.Errorf("list tasks: %w", err)
	}
	return page, nil
}

// taskQuery has the arguments of listTasks.
type taskQuery struct {
	task.Filter
	before, from uuid.UUID // The ids to look at: those from from to before, without it.
	except       *string   // The task that the text names.
}

// clockMargin is the maximum difference between the time in the id of a task and its creation time. Both are from the clock of the
// database. A task gets its id first, and its row within the deadline of the call. A replica reads the clock every 30 seconds.
const clockMargin = 5 * time.Minute

func newTaskQuery(f task.Filter) *taskQuery {
	q := &taskQuery{Filter: f, before: uuid.Max}
	if !f.ToTime.IsZero() {
		q.before = firstID(f.ToTime.Add(clockMargin))
	}
	if id, err := uuid.Parse(string(f.Before)); err == nil && string(f.Before) < q.before.String() {
		q.before = id
	}
	if !f.FromTime.IsZero() {
		q.from = firstID(f.FromTime.Add(-clockMargin))
	}
	return q
}

// firstID returns the least UUID of version 7 of a time. It is the least of all UUIDs for a time before 1970.
func firstID(at time.Time) (id uuid.UUID) {
	if ms := at.UnixMilli(); ms > 0 {
		binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16)
	}
	return id
}

// named returns the task that the text names. Only the first page has it, because no other page could know whether a page before
// had it. All pages leave it out from the tasks that they look at.
func (q *taskQuery) named(ctx context.Context, tx pgx.Tx) (task.Page, error) {
	var id *string
	if parsed, err := uuid.Parse(q.Text); err == nil && len(q.Text) == len(parsed.String()) {
		text := parsed.String()
		id = &text
	}
	if err := tx.QueryRow(ctx, selectNamed, q.Tenant, id, q.Text).Scan(&q.except); err != nil || q.except == nil || q.Before != "" {
		return task.Page{}, err
	}
	one := *q
	one.Text, one.except = "", nil
	if err := one.only(*q.except); err != nil {
		return task.Page{}, err
	}
	page, err := one.read(ctx, tx, 1)
	page.Named = len(page.Tasks) > 0
	return page, err
}

// only makes the query look at one task.
func (q *taskQuery) only(id string) (err error) {
	if q.from, err = uuid.Parse(id); err != nil {
		return err
	}
	low := binary.BigEndian.Uint64(q.from[8:]) + 1 // The variant bits keep it from overflowing.
	q.before = q.from
	binary.BigEndian.PutUint64(q.before[8:], low)
	return nil
}

// read reads the tasks that match.
func (q *taskQuery) read(ctx context.Context, tx pgx.Tx, limit int) (page task.Page, err error) {
	offerings := make([]string, len(q.Offerings))
	for i, o := range q.Offerings {
		offerings[i] = o.Provider + " " + o.Model
	}
	labels := q.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	rows, err := tx.Query(ctx, listTasks, q.Tenant, q.before.String(), q.from.String(), dbpool.Optional(q.FromTime), dbpool.Optional(q.ToTime),
		texts(q.States), texts(q.Reasons), texts(q.Providers), texts(q.Models), offerings, labels, q.Text, q.except,
		limit, cmp.Or(q.LimitBytes, math.MaxInt64), maxSearched)
	if err != nil {
		return page, err
	}
	found, err := pgx.CollectRows(rows, scanListed)
	for _, l := range found {
		if l.matches {
			page.Tasks = append(page.Tasks, l.Task)
		}
		if l.last {
			page.SearchedTo = &task.Place{ID: l.ID, CreateTime: l.CreateTime}
		}
	}
	return page, err
}

// listed is a row of listTasks.
type listed struct {
	task.Task
	matches, last bool
}

func scanListed(row pgx.CollectableRow) (l listed, err error) {
	l.Task, err = scanTaskAnd(row, &l.matches, &l.last)
	return l, err
}

// texts returns words as strings, and an empty list for none, since NULL has no cardinality.
func texts[T ~string](words []T) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return list
}
