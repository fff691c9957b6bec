package postgres

import (
	"cmp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
)

// accountUpdate pauses a provider account, or ends its probing and its row of unknown outcomes.
type accountUpdate struct {
	account  string
	pause    *lifecycle.Pause // Nil to end the probing,
	admitted time.Time        // because of an attempt that was admitted then.
}

// accountUpdates are what a change means for provider accounts.
func accountUpdates(c lifecycle.Change) []accountUpdate {
	var updates []accountUpdate
	if c.Pause != nil {
		updates = append(updates, accountUpdate{account: c.Pause.Account, pause: c.Pause})
	}
	if c.Resume != nil {
		updates = append(updates, accountUpdate{account: c.Resume.Account, admitted: c.Resume.Admitted})
	}
	return updates
}

func (a accountUpdate) queue(batch *pgx.Batch) {
	p := a.pause
	if p == nil {
		batch.Queue(forgetUnknowns, a.account)
		batch.Queue(resumeAccount, a.account, a.admitted)
		return
	}
	if p.After > 0 {
		batch.Queue(countUnknown, a.account)
	}
	var met *time.Time
	if !p.Met.IsZero() {
		met = &p.Met
	}
	batch.Queue(pauseAccount, a.account, p.Reason, p.For.Seconds(), p.Max.Seconds(), p.Blocks, p.After, p.Doubted(), p.Asked.Seconds(), met)
}

// queueAccounts writes what happened to provider accounts in the order of their names, so that sets that pause several
// accounts do not wait for each other. What happened to one account keeps its order; what proved several times in a row
// that it works is said once.
func queueAccounts(batch *pgx.Batch, updates []accountUpdate) {
	slices.SortStableFunc(updates, func(a, b accountUpdate) int { return cmp.Compare(a.account, b.account) })
	for i, u := range updates {
		if i+1 < len(updates) && u.pause == nil {
			if next := &updates[i+1]; next.account == u.account && next.pause == nil {
				next.admitted = later(next.admitted, u.admitted)
				continue
			}
		}
		u.queue(batch)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// countUnknown counts a submission whose outcome is unknown, before pauseAccount looks at the number.
const countUnknown = `UPDATE provider_account SET unknowns = unknowns + 1 WHERE account = $1`

// pauseAccount pauses an account, for longer with each pause in a row, and never shortens a pause. All attempts
// that were under way when the trouble began report it: to an account that is paused already they are not the
// next in the row. One that is found blocked altogether begins a row of its own. An unknown outcome pauses only as
// one of $6 in a row, or as a probe's.
//
// The whole pause holds for the tasks that the account refused since its trouble began. Other tasks wait for a time that grows
// with the number of refused tasks, not with their refusals; tasks of other tenants wait for one that grows with the number of
// refused tenants. So a task that is refused again and again does not keep others from probing. Where that task may be the cause
// of the trouble ($7), another tenant's task probes at once. The time that the provider asks for ($8) counts for other tasks up to
// a bound, since the provider said it to one task.
const pauseAccount = `
WITH state AS (
    SELECT account,
           greatest(make_interval(secs => $3), make_interval(secs => $8)) AS first,
           greatest(make_interval(secs => $4), make_interval(secs => $8)) AS longest,
           least(make_interval(secs => $8), make_interval(secs => CASE WHEN $7 THEN $3 ELSE $4 END)) AS rest,
           paused_until_time IS NULL OR paused_until_time <= now() AS over,
           $5 AND NOT blocked AS worse,
           CASE WHEN $5 AND NOT blocked THEN 0 ELSE pauses END AS in_row,
           least(CASE WHEN pauses > 0 THEN trouble_time END, coalesce($9, now())) AS begun
    FROM provider_account
    WHERE account = $1
    FOR UPDATE
), refused AS (
    SELECT least(count(DISTINCT attempt.task_id), 13) AS tasks, least(count(DISTINCT task.tenant), 13) AS tenants
    FROM state
    JOIN attempt ON attempt.account = $1 AND attempt.blame <> '' AND attempt.blame <> 'TASK' AND attempt.create_time >= state.begun
    JOIN task ON task.id = attempt.task_id
)
UPDATE provider_account AS a
SET paused_until_time = greatest(paused_until_time, now() + CASE
        WHEN over OR worse THEN least(longest, first * power(2, least(in_row, 12)))
        ELSE first END),
    pause_reason = CASE WHEN over OR worse THEN $2 ELSE pause_reason END,
    pauses = in_row + CASE WHEN over OR worse THEN 1 ELSE 0 END,
    blocked = $5 OR blocked AND NOT over,
    trouble_time = begun,
    pause_time = greatest(pause_time, now()),
    task_probe_time = greatest(CASE WHEN a.pauses > 0 THEN task_probe_time END, now() + greatest(rest,
        least(make_interval(secs => $4), make_interval(secs => $3) * power(2, greatest(tasks - 1, 0))))),
    tenant_probe_time = greatest(CASE WHEN a.pauses > 0 THEN tenant_probe_time END, now() + greatest(rest,
        least(make_interval(secs => $4), make_interval(secs => $3) * (power(2, greatest(tenants - 1, 0)) - CASE WHEN $7 THEN 1 ELSE 0 END))))
FROM state, refused
WHERE a.account = state.account AND (a.unknowns >= $6 OR a.pauses > 0)`

// forgetUnknowns ends the row of unknown outcomes.
const forgetUnknowns = `UPDATE provider_account SET unknowns = 0 WHERE account = $1 AND unknowns > 0`

// resumeAccount ends the probing of an account that proved to work: that accepted an attempt which was admitted since it was
// last found in trouble. An older attempt proves nothing.
const resumeAccount = `
UPDATE provider_account
SET pauses = 0, pause_reason = '', paused_until_time = NULL, blocked = false,
    trouble_time = NULL, pause_time = NULL, task_probe_time = NULL, tenant_probe_time = NULL
WHERE account = $1 AND pauses > 0 AND coalesce(pause_time < $2, paused_until_time <= now())`
