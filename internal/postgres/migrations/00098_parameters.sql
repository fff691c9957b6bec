-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE task ADD COLUMN IF NOT EXISTS parameters text NOT NULL DEFAULT '';
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN task.parameters IS
    'The parameters of the model as JSON with sorted names, as text, so that a repeated submission compares equal; empty for none.';

-- +goose Down

ALTER TABLE task DROP COLUMN IF EXISTS parameters;
