-- +goose NO TRANSACTION
-- +goose Up

DROP INDEX CONCURRENTLY IF EXISTS source_key;
CREATE INDEX CONCURRENTLY source_key ON source (key);

DROP INDEX CONCURRENTLY IF EXISTS source_part_key;
CREATE INDEX CONCURRENTLY source_part_key ON source_part (key);

COMMENT ON INDEX source_key IS 'Finds whether a file of the bucket has a row, as source_part_key does. Outputs are found by the task in their key.';

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS source_part_key;
DROP INDEX CONCURRENTLY IF EXISTS source_key;
