-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    -- Whoever waits for this lock makes all others wait, so it gives up rather than wait for a long transaction.
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE attempt
        ADD COLUMN IF NOT EXISTS hints integer NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS last_check_time timestamptz;
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN attempt.hints IS
    'How many times a callback brought the next check forward. Each time the check has to be further from the one before it.';
COMMENT ON COLUMN attempt.last_check_time IS 'When a check was last claimed; NULL when none was.';

-- +goose Down

ALTER TABLE attempt DROP COLUMN IF EXISTS hints, DROP COLUMN IF EXISTS last_check_time;
