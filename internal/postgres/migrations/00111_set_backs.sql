-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE installation ADD COLUMN IF NOT EXISTS set_backs bigint NOT NULL DEFAULT 0;
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN installation.set_backs IS
    'How often admission was closed because the database or the bucket was set back. A replica that notices a database that was set back closes admission only if no other one has done so since.';

-- +goose Down

ALTER TABLE installation DROP COLUMN IF EXISTS set_backs;
