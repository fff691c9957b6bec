-- +goose NO TRANSACTION
-- +goose Up

-- Tasks that wait for their source stand at the head of their line, maybe in thousands, and are not to go. Who asks for the
-- next in line steps over none of them here; who counts a line still finds it whole, and so does the release before.
DROP INDEX CONCURRENTLY IF EXISTS task_place;
CREATE INDEX CONCURRENTLY task_place ON task (tenant, provider, (not_before_time IS DISTINCT FROM 'infinity'), line_time, id)
    WHERE state = 'QUEUED';
DROP INDEX CONCURRENTLY IF EXISTS task_line;

COMMENT ON INDEX task_place IS
    'The line of each tenant at each provider, and beside it the tasks that wait for their source; also finds who waits at all, and counts what a tenant has queued.';

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS task_line;
CREATE INDEX CONCURRENTLY task_line ON task (tenant, provider, line_time, id) WHERE state = 'QUEUED';
DROP INDEX CONCURRENTLY IF EXISTS task_place;
