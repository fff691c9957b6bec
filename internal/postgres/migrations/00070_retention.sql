-- +goose NO TRANSACTION
-- +goose Up

ALTER TABLE tenant
    ADD COLUMN IF NOT EXISTS keep_outputs   interval,
    ADD COLUMN IF NOT EXISTS keep_sources   interval,
    ADD COLUMN IF NOT EXISTS keep_callbacks interval,
    ADD COLUMN IF NOT EXISTS keep_tasks     interval,
    DROP CONSTRAINT IF EXISTS tenant_keep_outputs_range,
    ADD CONSTRAINT tenant_keep_outputs_range CHECK (keep_outputs = interval '0' OR keep_outputs >= interval '1 hour'),
    DROP CONSTRAINT IF EXISTS tenant_keep_sources_range,
    ADD CONSTRAINT tenant_keep_sources_range CHECK (keep_sources = interval '0' OR keep_sources >= interval '24 hours'),
    DROP CONSTRAINT IF EXISTS tenant_keep_callbacks_range,
    ADD CONSTRAINT tenant_keep_callbacks_range CHECK (keep_callbacks = interval '0' OR keep_callbacks >= interval '1 hour'),
    DROP CONSTRAINT IF EXISTS tenant_keep_tasks_range,
    ADD CONSTRAINT tenant_keep_tasks_range CHECK (keep_tasks = interval '0' OR keep_tasks >= interval '24 hours');

COMMENT ON COLUMN tenant.keep_outputs IS
    'How long outputs are kept; 0 is for ever. NULL means as the row with an empty name says, or else the configuration, as in the next three.';
COMMENT ON COLUMN tenant.keep_sources IS 'How long uploaded sources are kept after their last use, and uploads after their last byte.';
COMMENT ON COLUMN tenant.keep_callbacks IS 'How long callbacks are kept.';
COMMENT ON COLUMN tenant.keep_tasks IS
    'How long tasks are kept after their last change; at least a day, since attempts count against the rate windows of their accounts.';

ALTER TABLE output ADD COLUMN IF NOT EXISTS remove_time timestamptz;

COMMENT ON COLUMN output.remove_time IS 'When the output expired and its file was given up; NULL while it is kept.';

CREATE TABLE IF NOT EXISTS unkept_file (
    key         text        NOT NULL CONSTRAINT unkept_file_pkey PRIMARY KEY,
    create_time timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE unkept_file IS
    'Files that no row names any more and that are still to be deleted from the bucket. A key comes here in the transaction that gives it up, so that a crash forgets none.';

DROP INDEX CONCURRENTLY IF EXISTS output_kept;
CREATE INDEX CONCURRENTLY output_kept ON output (create_time, attempt_id, index) WHERE remove_time IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS task_source;
CREATE INDEX CONCURRENTLY task_source ON task (source_id)
    WHERE source_id IS NOT NULL AND state IN ('QUEUED', 'SUBMITTING', 'RUNNING', 'SAVING');

COMMENT ON INDEX task_source IS 'Finds whether a source is in use.';

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS task_source;
DROP INDEX CONCURRENTLY IF EXISTS output_kept;
DROP TABLE IF EXISTS unkept_file;
ALTER TABLE output DROP COLUMN IF EXISTS remove_time;
ALTER TABLE tenant
    DROP COLUMN IF EXISTS keep_outputs,
    DROP COLUMN IF EXISTS keep_sources,
    DROP COLUMN IF EXISTS keep_callbacks,
    DROP COLUMN IF EXISTS keep_tasks;
