package postgres

import (
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/webhooks"
	"github.com/refract-video/refract/internal/task"
)

// failure is why a task failed; all NULL when it has not.
type failure struct {
	Reason  *task.Reason  `json:"failure_reason"`
	Message *string       `json:"failure_message"`
	Payment *task.Payment `json:"failure_payment"`
}

type taskUpdate struct {
	ID        task.ID         `json:"id"`
	State     task.State      `json:"state"`
	Revision  int64           `json:"revision"`
	Allowance int             `json:"allowance"`
	Result    *task.AttemptID `json:"result_attempt"`
	Provider  string          `json:"provider"`
	Requeue   float64         `json:"requeue"` // Seconds for which admission leaves the task alone.
	Event     bool            `json:"event"`   // Whether the change is an event.
	Renew     bool            `json:"renew"`   // Whether the deadline begins anew.
	failure
}

// updateTasks writes the state of tasks. The time is that of the transaction, which the events share. A retry
// begins the deadline anew, and the place in line.
const updateTasks = `
WITH new AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset($1) AS new (
        id uuid, state text, revision bigint, allowance integer, result_attempt uuid, provider text, requeue float8, event boolean,
        renew boolean, failure_reason text, failure_message text, failure_payment text)
)
UPDATE task
SET state = new.state, revision = new.revision, allowance = new.allowance, result_attempt = new.result_attempt,
    failure_reason = new.failure_reason, failure_message = new.failure_message, failure_payment = new.failure_payment,
    not_before_time = CASE WHEN new.event THEN now() + make_interval(secs => new.requeue) ELSE not_before_time END,
    update_time = CASE WHEN new.event THEN now() ELSE update_time END,
    deadline_time = CASE WHEN new.renew THEN now() + deadline ELSE deadline_time END,
    line_time = CASE WHEN new.renew THEN now() - make_interval(mins => priority) ELSE line_time END,
    provider = new.provider
FROM new
WHERE task.id = new.id AND task.id = ` + anyNew

// anyNew lets the index find the rows of a set. PostgreSQL does not know how many rows a JSON array has, expects a
// hundred, and would for their sake rather read the whole of a table.
const anyNew = `ANY (ARRAY(SELECT id FROM new))`

type eventInsert struct {
	Task     task.ID    `json:"task_id"`
	Revision int64      `json:"revision"`
	State    task.State `json:"state"`
	Attempt  int        `json:"attempt"`
	Message  string     `json:"message"`
	Tenant   string     `json:"tenant"`
	failure
}

// insertEvents writes events with their webhook deliveries, and returns the number of these. Labels and webhook_uri are read only of
// tasks whose tenant has an endpoint for the state.
var insertEvents = `
WITH event AS (
    INSERT INTO task_event (task_id, revision, state, attempt, message, tenant, failure_reason, failure_message, failure_payment)
    SELECT task_id, revision, state, attempt, message, tenant, failure_reason, failure_message, failure_payment
    FROM json_to_recordset($1) AS new (
        task_id uuid, revision bigint, state text, attempt integer, message text, tenant text, failure_reason text,
        failure_message text, failure_payment text)
    RETURNING task_id, revision, state, tenant
), delivery AS (` +
	webhooks.InsertDeliveries("event", "task_id", `SELECT labels, webhook_uri FROM task WHERE id = event.task_id OFFSET 0`) + `
)
SELECT count(*) FROM delivery`

type attemptInsert struct {
	ID       task.AttemptID    `json:"id"`
	Task     task.ID           `json:"task_id"`
	Number   int               `json:"number"`
	Provider string            `json:"provider"`
	Account  string            `json:"account"`
	State    task.AttemptState `json:"state"`
}

// insertAttempts writes new attempts, which are about to be sent.
const insertAttempts = `
INSERT INTO attempt (id, task_id, number, provider, account, state)
SELECT id, task_id, number, provider, account, state
FROM json_to_recordset($1) AS new (id uuid, task_id uuid, number integer, provider text, account text, state text)`

type attemptUpdate struct {
	ID             task.AttemptID    `json:"id"`
	Provider       string            `json:"provider"` // It and the account change where an attempt takes the place of a forgotten one.
	Account        string            `json:"account"`
	ProviderTaskID string            `json:"provider_task_id"`
	HintedTaskID   string            `json:"hinted_task_id"`
	Remote         string            `json:"remote_model"`
	Handle         string            `json:"provider_handle"`
	State          task.AttemptState `json:"state"`
	Sent           bool              `json:"sent"`
	Saved          bool              `json:"saved"`
	Blame          task.Blame        `json:"blame"`
	Message        string            `json:"message"`
	CostAmount     string            `json:"cost_amount"`
	CostUnit       string            `json:"cost_unit"`
	InTransit      float64           `json:"in_transit"` // Seconds for which an UNCONFIRMED attempt's request may still arrive.
}

// updateAttempts writes attempts. One that is no longer open is no longer checked.
//
// answer_time is when the submission stopped being under way. An attempt that becomes UNCONFIRMED without an answer may
// still be sent by a process that has lost the database, so that its answer_time is in the future: the latest time at
// which its request can arrive. Every state but UNCONFIRMED and LOST proves that the request arrived or never left, and
// brings a time in the future forward to now; the previous release keeps it, which holds the permit for longer.
const updateAttempts = `
WITH new AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset($1) AS new (
        id uuid, provider text, account text, provider_task_id text, hinted_task_id text, remote_model text, provider_handle text, state text, sent boolean, saved boolean, blame text, message text,
        cost_amount text, cost_unit text, in_transit float8)
)
UPDATE attempt
SET provider = new.provider, account = new.account, provider_task_id = new.provider_task_id, hinted_task_id = new.hinted_task_id,
    remote_model = new.remote_model, provider_handle = new.provider_handle, state = new.state, sent = new.sent,
    saved = new.saved, blame = new.blame, message = new.message,
    cost_amount = nullif(new.cost_amount, '')::numeric, cost_unit = new.cost_unit,
    answer_time = CASE
        WHEN new.state = 'SUBMITTING' THEN NULL
        WHEN new.state IN ('UNCONFIRMED', 'LOST') THEN coalesce(answer_time, now() + make_interval(secs => new.in_transit))
        ELSE least(answer_time, now()) END,
    settle_time = CASE WHEN new.state IN ('SUCCEEDED', 'FAILED') THEN coalesce(settle_time, now()) END,
    next_check_time = CASE WHEN new.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING') THEN next_check_time END
FROM new
WHERE attempt.id = new.id AND attempt.id = ` + anyNew

type checkUpdate struct {
	Attempt  task.AttemptID `json:"id"`
	Delay    float64        `json:"delay"`    // Seconds.
	Callback bool           `json:"callback"` // Whether a callback asks for it.
}

// scheduleChecks only ever brings a check forward: a callback that overtakes the answer to its submission asks for
// one at once, and the answer for one later. least passes over NULL.
//
// NOTE: anyone that has seen a callback can repeat it, and each check costs one of the account's queries. So the first callback
// leads to a check at once, and each further one that brings a check forward to one that is 1 s, 2 s, 4 s and so on away from
// the check before it, up to 17 minutes. The regular checks are soon more frequent than that, and callbacks cost no more
// queries.
const scheduleChecks = `
WITH new AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1) AS new (id uuid, delay float8, callback boolean)
)
UPDATE attempt
SET next_check_time = least(next_check_time, ` + checkTime + `),
    hints = hints + CASE WHEN new.callback AND (next_check_time IS NULL OR next_check_time > ` + checkTime + `) THEN 1 ELSE 0 END
FROM new
WHERE attempt.id = new.id AND attempt.id = ` + anyNew

// checkTime is when a check of scheduleChecks is to be. greatest passes over NULL.
const checkTime = `CASE
    WHEN new.callback THEN greatest(now(), last_check_time + CASE hints WHEN 0 THEN interval '0' ELSE interval '1 s' * power(2, least(hints - 1, 10)) END)
    ELSE now() + make_interval(secs => new.delay) END`

type outputInsert struct {
	Attempt     task.AttemptID `json:"attempt_id"`
	Index       int            `json:"index"`
	Key         string         `json:"key"`
	ContentType string         `json:"content_type"`
	SizeBytes   int64          `json:"size_bytes"`
	SHA256      []byte         `json:"sha256"` // JSON has it in base64.
	DurationMS  int64          `json:"duration_ms"`
	Width       int            `json:"width"`
	Height      int            `json:"height"`
	VideoCodec  string         `json:"video_codec"`
}

const insertOutputs = `
INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256, duration_ms, width, height, video_codec)
SELECT attempt_id, index, key, content_type, size_bytes, decode(sha256, 'base64'), duration_ms, width, height, video_codec
FROM json_to_recordset($1) AS new (
    attempt_id uuid, index integer, key text, content_type text, size_bytes bigint, sha256 text, duration_ms bigint,
    width integer, height integer, video_codec text)`

type callbackInsert struct {
	Attempt        task.AttemptID    `json:"attempt_id"`
	Account        string            `json:"account"`
	ProviderTaskID string            `json:"provider_task_id"`
	Verdict        lifecycle.Verdict `json:"verdict"`
	Body           []byte            `json:"body"`         // JSON has it in base64, and null for none.
	ReceiveTime    *time.Time        `json:"receive_time"` // Nil means now.
}

// insertCallbacks stores an empty body as such. The rows keep the order of the set.
//
// Of the callbacks of an attempt the one that was applied is always kept, and of the others the first, and up to 32 of
// inbox.KeptBytes together: anyone that has seen a callback can repeat it, with any body. The transaction holds the task, so the
// bound is exact.
const insertCallbacks = `
INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
SELECT attempt_id, account, provider_task_id, verdict, coalesce(decode(body, 'base64'), ''), coalesce(receive_time, now())
FROM json_to_recordset($1) AS new (
    attempt_id uuid, account text, provider_task_id text, verdict text, body text, receive_time timestamptz)
WHERE verdict = 'applied' OR (
    SELECT count(*) = 0 OR count(*) < 32 AND sum(octet_length(kept.body)) + coalesce(length(new.body), 0) * 3 / 4 <= ` + inbox.KeptBytes + `
    FROM callback AS kept
    WHERE kept.attempt_id = new.attempt_id AND kept.verdict IN ('confirming', 'duplicate', 'conflict', 'mismatch'))`
