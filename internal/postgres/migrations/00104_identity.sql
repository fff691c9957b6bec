-- +goose Up

SET LOCAL lock_timeout = '5s';

ALTER TABLE tenant
    ADD COLUMN IF NOT EXISTS max_calls_per_second integer
    CONSTRAINT tenant_max_calls_per_second_range CHECK (max_calls_per_second > 0);

COMMENT ON COLUMN tenant.max_calls_per_second IS 'How many calls the tenant may make per second at each replica; NULL means no limit.';

CREATE TABLE IF NOT EXISTS audit_event (
    id           bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_event_pkey PRIMARY KEY,
    create_time  timestamptz NOT NULL DEFAULT now(),
    actor_kind   text        NOT NULL,
    actor_name   text        NOT NULL,
    actor_tenant text        NOT NULL,
    action       text        NOT NULL,
    target       text        NOT NULL,
    tenant       text        NOT NULL,
    before       jsonb,
    after        jsonb,
    CONSTRAINT audit_event_actor_kind CHECK (actor_kind IN ('TOKEN', 'JWT', 'CERTIFICATE', 'ANONYMOUS', 'COMMAND')),
    CONSTRAINT audit_event_action CHECK (action ~ '^[a-z_]+\.[a-z_]+$')
);

CREATE INDEX IF NOT EXISTS audit_event_time ON audit_event (create_time, id);

COMMENT ON TABLE audit_event IS
    'Who changed what: the actions of operators, and changes of tokens, limits and webhook endpoints. Written by the transaction of the change; a trigger keeps rows from being changed.';
COMMENT ON COLUMN audit_event.actor_name IS 'The id of the token, issuer and subject of the JWT, the name in the certificate, or the user who ran the command.';
COMMENT ON COLUMN audit_event.tenant IS 'The tenant that the change is about; empty for the whole installation.';
COMMENT ON COLUMN audit_event.before IS 'The values before the change, without secrets.';

-- The trigger holds for the owner of the table as well, whose privileges no REVOKE takes away. Who may alter the table can drop it. Retention
-- keeps events for 30 days at least, so that nothing has a reason to remove a younger one.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF current_setting('refract.audit_retention', true) = 'on' AND OLD.create_time < now() - interval '720 hours' THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_event is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd

CREATE OR REPLACE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_event_append_only();
CREATE OR REPLACE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_append_only();

-- +goose Down

DROP TABLE IF EXISTS audit_event;
DROP FUNCTION IF EXISTS audit_event_append_only();
ALTER TABLE tenant DROP COLUMN IF EXISTS max_calls_per_second;
