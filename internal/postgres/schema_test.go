package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/task"
)

func TestSchema_RefusesWhatTheStateMachineNeverDecides(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	created := create(t, stores, "films", plain())
	id := admit(t, stores, created.ID)
	apply(t, stores, created.ID, task.Sending{Attempt: id})
	tests := map[string]struct{ sql, constraint string }{
		"FAILED without a reason":     {"UPDATE task SET state = 'FAILED'", "task_failure_when_failed"},
		"a reason without FAILED":     {"UPDATE task SET failure_reason = 'X', failure_message = '', failure_payment = 'NONE'", "task_failure_when_failed"},
		"half a failure":              {"UPDATE task SET state = 'FAILED', failure_reason = 'X'", "task_failure_whole"},
		"SAVING nothing":              {"UPDATE task SET state = 'SAVING'", "task_result_when_saving"},
		"SUCCEEDED without a result":  {"UPDATE task SET state = 'SUCCEEDED'", "task_result_when_saving"},
		"an unknown state":            {"UPDATE task SET state = 'LOST'", "task_state_known"},
		"a task of nobody":            {"UPDATE task SET tenant = ''", "task_tenant_not_empty"},
		"revision 0":                  {"UPDATE task SET revision = 0", "task_revision_positive"},
		"an outcome without sending":  {"UPDATE attempt SET sent = false, state = 'RUNNING', answer_time = now()", "attempt_sent_before_outcome"},
		"an outcome without answer":   {"UPDATE attempt SET state = 'RUNNING'", "attempt_answered_when_settled"},
		"an answer without outcome":   {"UPDATE attempt SET answer_time = now()", "attempt_answered_when_settled"},
		"a second first attempt":      {"INSERT INTO attempt (id, task_id, number, provider, account, state) SELECT gen_random_uuid(), task_id, number, provider, account, state FROM attempt", "attempt_number_key"},
		"a provider task of two":      {"WITH named AS (UPDATE attempt SET provider_task_id = 'p1' RETURNING task_id, number, provider, account) INSERT INTO attempt (id, task_id, number, provider, account, state, provider_task_id) SELECT gen_random_uuid(), task_id, number + 1, provider, account, 'SUBMITTING', 'p1' FROM named", "attempt_provider_task"},
		"a second event of a number":  {"INSERT INTO task_event SELECT * FROM task_event LIMIT 1", "task_event_pkey"},
		"an empty output":             {"INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256) SELECT id, 0, 'k', '', 0, sha256('') FROM attempt", "output_size_positive"},
		"an output without its hash":  {"INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256) SELECT id, 0, 'k', '', 1, '' FROM attempt", "output_sha256_length"},
		"half a trace context":        {"UPDATE task SET trace_parent = '00-4bf92f35'", "task_trace_parent_length"},
		"a callback about no attempt": {"INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body) VALUES (gen_random_uuid(), '', '', '', '')", "callback_attempt_fkey"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pool.Exec(t.Context(), test.sql)
			if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.ConstraintName != test.constraint {
				t.Errorf("%s = %v, want constraint %s", test.sql, err, test.constraint)
			}
		})
	}
}
