-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    -- A statement that waits for such a lock blocks all that come after it, so it gives up instead of waiting for a long transaction.
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE preparation ADD COLUMN IF NOT EXISTS host text NOT NULL DEFAULT '';
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN preparation.host IS
    'The host of the URI, or the account that an uploaded source is handed to: one that hangs leaves the tenant places for others.';

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE tenant
        ADD COLUMN IF NOT EXISTS max_source_bytes bigint CONSTRAINT tenant_max_source_bytes_positive CHECK (max_source_bytes > 0),
        ADD COLUMN IF NOT EXISTS max_sources integer CONSTRAINT tenant_max_sources_positive CHECK (max_sources > 0),
        ADD COLUMN IF NOT EXISTS max_unfinished_uploads integer CONSTRAINT tenant_max_unfinished_uploads_positive CHECK (max_unfinished_uploads > 0);
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN tenant.max_source_bytes IS
    'How many bytes the tenant''s sources and unfinished uploads may have. NULL means the default of the release, as in the next two.';
COMMENT ON COLUMN tenant.max_sources IS 'How many sources and unfinished uploads the tenant may have.';
COMMENT ON COLUMN tenant.max_unfinished_uploads IS 'How many unfinished uploads the tenant may have.';

-- What a tenant has, counted for its quotas without a look at the tables.
DROP INDEX CONCURRENTLY IF EXISTS source_kept;
CREATE INDEX CONCURRENTLY source_kept ON source (tenant) INCLUDE (size_bytes) WHERE state = 'READY';
DROP INDEX CONCURRENTLY IF EXISTS source_upload_unfinished;
CREATE INDEX CONCURRENTLY source_upload_unfinished ON source_upload (tenant) WHERE source_id IS NULL;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS source_upload_unfinished;
DROP INDEX CONCURRENTLY IF EXISTS source_kept;

ALTER TABLE tenant
    DROP COLUMN IF EXISTS max_source_bytes, DROP COLUMN IF EXISTS max_sources, DROP COLUMN IF EXISTS max_unfinished_uploads;

ALTER TABLE preparation DROP COLUMN IF EXISTS host;
