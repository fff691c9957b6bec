-- +goose Up

-- A statement that waits for such a lock blocks all that come after it, so it gives up instead of waiting for a long transaction.
SET LOCAL lock_timeout = '5s';

ALTER TABLE attempt
    ADD COLUMN IF NOT EXISTS cost_amount numeric,
    ADD COLUMN IF NOT EXISTS cost_unit   text NOT NULL DEFAULT '';

COMMENT ON COLUMN attempt.cost_amount IS 'What the provider says that the attempt cost, in cost_unit; NULL where the provider named no cost.';
COMMENT ON COLUMN attempt.cost_unit IS 'What cost_amount counts, such as credits.';

-- +goose Down

ALTER TABLE attempt DROP COLUMN IF EXISTS cost_amount, DROP COLUMN IF EXISTS cost_unit;
