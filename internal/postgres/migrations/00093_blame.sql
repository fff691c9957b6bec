-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    -- A statement that waits for such a lock blocks all that come after it, so it gives up instead of waiting for a long transaction.
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE attempt ADD COLUMN IF NOT EXISTS blame text NOT NULL DEFAULT '';
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN attempt.blame IS
    'What it is held against that the provider did not accept the attempt: ACCOUNT, which pauses since it is said to be blocked, CHANCE, which makes it pause for what befalls any task, or TASK, where the account accepted others meanwhile. Empty where it says nothing about the account.';

DROP INDEX CONCURRENTLY IF EXISTS attempt_blame;
CREATE INDEX CONCURRENTLY attempt_blame ON attempt (account, create_time) WHERE blame <> '';

COMMENT ON INDEX attempt_blame IS 'Finds the tasks that an account did not accept since its trouble began: others probe it first.';

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE provider_account
        ADD COLUMN IF NOT EXISTS trouble_time      timestamptz,
        ADD COLUMN IF NOT EXISTS pause_time        timestamptz,
        ADD COLUMN IF NOT EXISTS task_probe_time   timestamptz,
        ADD COLUMN IF NOT EXISTS tenant_probe_time timestamptz;
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN provider_account.trouble_time IS
    'When the first attempt was admitted that met the trouble for which the account pauses, or is probed.';
COMMENT ON COLUMN provider_account.pause_time IS
    'When the account was last found in trouble. An acceptance proves that it works again if the attempt was admitted since.';
COMMENT ON COLUMN provider_account.task_probe_time IS
    'When a task may probe the account of which no attempt was refused in the current row: at the end of the pause or before.';
COMMENT ON COLUMN provider_account.tenant_probe_time IS
    'When a task may probe the account of whose tenant no attempt was refused in the current row: at task_probe_time or before.';

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE preparation
        ADD COLUMN IF NOT EXISTS refuse_time timestamptz,
        ADD COLUMN IF NOT EXISTS refusals    integer NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS faults      integer NOT NULL DEFAULT 0;
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN preparation.refuse_time IS 'When the account first refused the upload for its own sake.';
COMMENT ON COLUMN preparation.refusals IS 'How often it did so.';
COMMENT ON COLUMN preparation.faults IS 'How many of those are held against the upload, since the account accepted other tasks meanwhile.';

-- +goose Down

ALTER TABLE preparation DROP COLUMN IF EXISTS refuse_time, DROP COLUMN IF EXISTS refusals, DROP COLUMN IF EXISTS faults;

ALTER TABLE provider_account
    DROP COLUMN IF EXISTS trouble_time, DROP COLUMN IF EXISTS pause_time,
    DROP COLUMN IF EXISTS task_probe_time, DROP COLUMN IF EXISTS tenant_probe_time;

DROP INDEX CONCURRENTLY IF EXISTS attempt_blame;

ALTER TABLE attempt DROP COLUMN IF EXISTS blame;
