-- +goose NO TRANSACTION
-- +goose Up

ALTER TABLE attempt ADD COLUMN IF NOT EXISTS asked boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN attempt.asked IS 'Whether an operator asked for the next check, so that its verdict is counted as an operator''s.';

-- The inbox, newest first, for each account and verdict. It is built beside callbacks that come in; what a build
-- that was cut left behind is of no use.
DROP INDEX CONCURRENTLY IF EXISTS callback_list;
CREATE INDEX CONCURRENTLY callback_list ON callback (account, verdict, receive_time, id);

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS callback_list;
ALTER TABLE attempt DROP COLUMN IF EXISTS asked;
