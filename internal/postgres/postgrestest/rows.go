package postgrestest

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/task"
)

const insertTask = `
WITH inserted AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider, fallbacks,
                      route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, result_attempt, deadline_time,
                      create_time, update_time)
    VALUES (gen_random_uuid(), $1, gen_random_uuid(), '', '', '', '', '', '', '', '{}', '{kie}', 'kie', 0, '{}', '1 hour', 1, $2, 1, 1,
            CASE WHEN $2 IN ('SAVING', 'SUCCEEDED') THEN gen_random_uuid() END, now(), now() - make_interval(secs => $3), now() - make_interval(secs => $3))
    RETURNING id
), event AS (
    INSERT INTO task_event (task_id, revision, state, attempt, message, tenant) SELECT id, 1, 'QUEUED', 0, '', $1 FROM inserted
)
SELECT id::text FROM inserted`

// InsertTask inserts a task of a tenant in a state, as it was so long ago, with its first event. The task has no attempt.
func InsertTask(t testing.TB, pool *pgxpool.Pool, tenant string, state task.State, age time.Duration) task.ID {
	t.Helper()
	return Value[task.ID](t, pool, insertTask, tenant, state, age.Seconds())
}

const insertAttempt = `
INSERT INTO attempt (id, task_id, number, provider, account, state, sent, answer_time)
SELECT coalesce(result_attempt, gen_random_uuid()), id, 1, 'kie', 'kie', $2::text, true, CASE WHEN $2::text <> 'SUBMITTING' THEN now() END
FROM task
WHERE id = $1
RETURNING id::text`

// InsertAttempt inserts the first attempt of a task in a state. It is the one that gave the result, if the task succeeded.
func InsertAttempt(t testing.TB, pool *pgxpool.Pool, id task.ID, state task.AttemptState) task.AttemptID {
	t.Helper()
	return Value[task.AttemptID](t, pool, insertAttempt, id, state)
}
