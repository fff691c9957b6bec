-- +goose Up

CREATE TABLE IF NOT EXISTS callback_intake (
    id               bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT callback_intake_pkey PRIMARY KEY,
    attempt_id       uuid        NOT NULL,
    account          text        NOT NULL CONSTRAINT callback_intake_account CHECK (octet_length(account) <= 64),
    sealed           bytea       NOT NULL CONSTRAINT callback_intake_size CHECK (octet_length(sealed) <= 524288),
    receive_time     timestamptz NOT NULL DEFAULT now(),
    next_settle_time timestamptz NOT NULL DEFAULT now(),
    tries            integer     NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS callback_intake_attempt ON callback_intake (attempt_id);
CREATE INDEX IF NOT EXISTS callback_intake_due ON callback_intake (next_settle_time, id);

COMMENT ON TABLE callback_intake IS
    'Callbacks that an ingress stored and that no worker has settled yet. The database role of an ingress may append to it, and do nothing else.';
COMMENT ON COLUMN callback_intake.attempt_id IS 'Without a foreign key: an ingress can not see whether the attempt exists.';
COMMENT ON COLUMN callback_intake.sealed IS 'URL token, headers and body, encrypted and authenticated under the key of callback URL tokens.';
COMMENT ON COLUMN callback_intake.receive_time IS 'By the clock of the database. The role of an ingress may not set it, so that no old signature passes for a new one.';
COMMENT ON COLUMN callback_intake.next_settle_time IS 'When a worker may claim it. A claim moves it to when the claim expires.';

-- An ingress may not count rows. The owner of the function may.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION callback_intake_bound() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF (SELECT count(*) FROM callback_intake WHERE attempt_id = NEW.attempt_id) >= 32 THEN
        RAISE EXCEPTION 'the attempt has 32 callbacks that are not settled yet'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'callback_intake_bound', TABLE = 'callback_intake';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- The role that inserts must not choose the table that is counted.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION callback_intake_bound() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END
$$;
-- +goose StatementEnd

CREATE OR REPLACE TRIGGER callback_intake_bound BEFORE INSERT ON callback_intake
FOR EACH ROW EXECUTE FUNCTION callback_intake_bound();

-- +goose Down

DROP TABLE IF EXISTS callback_intake;
DROP FUNCTION IF EXISTS callback_intake_bound();
