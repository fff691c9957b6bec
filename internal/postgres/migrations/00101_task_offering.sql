-- +goose NO TRANSACTION
-- +goose Up

DROP INDEX CONCURRENTLY IF EXISTS task_offering;
CREATE INDEX CONCURRENTLY task_offering ON task (provider, model, id) WHERE state = 'QUEUED' AND not_before_time IS DISTINCT FROM 'infinity';

DROP INDEX CONCURRENTLY IF EXISTS task_held;
CREATE INDEX CONCURRENTLY task_held ON task (provider, model, id) WHERE state = 'QUEUED' AND not_before_time = 'infinity';

DROP INDEX CONCURRENTLY IF EXISTS task_held_movable;
CREATE INDEX CONCURRENTLY task_held_movable ON task (provider, model, id)
    WHERE state = 'QUEUED' AND not_before_time = 'infinity' AND route[cardinality(route)] <> provider;

COMMENT ON INDEX task_offering IS 'Finds the queued tasks of an offering that is closed.';
COMMENT ON INDEX task_held_movable IS 'Finds those that have another provider to go to.';
COMMENT ON INDEX task_held IS 'Finds the tasks that a closed offering holds, among those that wait for their source.';

-- +goose Down

UPDATE task SET not_before_time = NULL WHERE state = 'QUEUED' AND not_before_time = 'infinity'
    AND NOT EXISTS (SELECT FROM preparation_task AS waiter WHERE waiter.task_id = task.id AND waiter.revision = task.revision);

DROP INDEX CONCURRENTLY IF EXISTS task_held_movable;
DROP INDEX CONCURRENTLY IF EXISTS task_held;
DROP INDEX CONCURRENTLY IF EXISTS task_offering;
