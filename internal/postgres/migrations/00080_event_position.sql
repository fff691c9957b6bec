-- +goose NO TRANSACTION
-- +goose Up

-- Every statement may be repeated, since a file without a transaction can stop in its middle. Nothing here rewrites
-- the table or reads it under a lock: events from before have no position and belong to no stream of many tasks,
-- since nobody can hold a resume token of them.

CREATE SEQUENCE IF NOT EXISTS task_event_position;

-- +goose StatementBegin
DO $$
BEGIN
    -- Whoever waits for this lock makes all writers wait, so it gives up rather than wait for a long transaction.
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE task_event ADD COLUMN IF NOT EXISTS tenant text, ADD COLUMN IF NOT EXISTS position bigint;
    -- A transaction has its id before it takes a position: readers rely on it. CASE guarantees the order.
    ALTER TABLE task_event ALTER COLUMN position
        SET DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('task_event_position') END;
    ALTER SEQUENCE task_event_position OWNED BY task_event.position;
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN task_event.tenant IS 'The tenant of the task, for streams of all its tasks. Filled in where the writer leaves it out.';
COMMENT ON COLUMN task_event.position IS
    'The place of the event among those of all tasks. It is taken while the task is locked, so the events of a task have rising positions. Positions become visible out of order: only what Frontier returns is safe to read up to.';

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION task_event_fill_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT tenant INTO NEW.tenant FROM task WHERE id = NEW.task_id;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- Writers of the release before leave the tenant out.
CREATE OR REPLACE TRIGGER task_event_tenant BEFORE INSERT ON task_event
FOR EACH ROW WHEN (NEW.tenant IS NULL) EXECUTE FUNCTION task_event_fill_tenant();

CREATE TABLE IF NOT EXISTS event_removal (
    tenant   text   NOT NULL CONSTRAINT event_removal_pkey PRIMARY KEY,
    position bigint NOT NULL
);

COMMENT ON TABLE event_removal IS
    'The greatest position of an event of each tenant that was removed: a stream that has not reached it has missed something.';

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION task_event_note_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event_removal (tenant, position)
    SELECT tenant, max(position) FROM removed WHERE tenant IS NOT NULL AND position IS NOT NULL GROUP BY tenant ORDER BY tenant
    ON CONFLICT ON CONSTRAINT event_removal_pkey
    DO UPDATE SET position = excluded.position WHERE event_removal.position < excluded.position;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- However events are removed, streams that have not reached them are told.
CREATE OR REPLACE TRIGGER task_event_removal AFTER DELETE ON task_event
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION task_event_note_removal();

-- What a build that was interrupted left behind is not usable.
DROP INDEX CONCURRENTLY IF EXISTS task_event_position_idx;
CREATE INDEX CONCURRENTLY task_event_position_idx ON task_event (position) WHERE position IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS task_event_tenant_position;
CREATE INDEX CONCURRENTLY task_event_tenant_position ON task_event (tenant, position) WHERE position IS NOT NULL;

-- +goose Down

DROP TRIGGER IF EXISTS task_event_removal ON task_event;
DROP FUNCTION IF EXISTS task_event_note_removal();
DROP TABLE IF EXISTS event_removal;
DROP TRIGGER IF EXISTS task_event_tenant ON task_event;
DROP FUNCTION IF EXISTS task_event_fill_tenant();
ALTER TABLE task_event DROP COLUMN IF EXISTS tenant, DROP COLUMN IF EXISTS position;
