-- +goose NO TRANSACTION
-- +goose Up

-- The constraint is NOT VALID: no older row has the column, so there is nothing to read a large table for.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE task ADD COLUMN IF NOT EXISTS trace_parent text;
    ALTER TABLE task DROP CONSTRAINT IF EXISTS task_trace_parent_length;
    ALTER TABLE task ADD CONSTRAINT task_trace_parent_length CHECK (octet_length(trace_parent) = 55) NOT VALID;
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN task.trace_parent IS
    'The trace context of the submit, as the header traceparent of W3C Trace Context; NULL if the submit had none.';

-- +goose Down

ALTER TABLE task DROP COLUMN IF EXISTS trace_parent;
