-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    -- A statement that waits for such a lock blocks all that come after it, so it gives up instead of waiting for a long transaction.
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE attempt ADD COLUMN IF NOT EXISTS checks integer NOT NULL DEFAULT 0;
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN attempt.checks IS 'How many checks were claimed, since the release that counts them.';

DROP INDEX CONCURRENTLY IF EXISTS task_in_state;
CREATE INDEX CONCURRENTLY task_in_state ON task (state, update_time, id) WHERE state IN ('QUEUED', 'SUBMITTING', 'RUNNING', 'SAVING');

COMMENT ON INDEX task_in_state IS 'Finds the tasks that have been in a state for the longest time.';

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS task_in_state;

ALTER TABLE attempt DROP COLUMN IF EXISTS checks;
