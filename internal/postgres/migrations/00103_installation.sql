-- +goose Up

CREATE TABLE IF NOT EXISTS installation (
    singleton     boolean     NOT NULL DEFAULT true CONSTRAINT installation_pkey PRIMARY KEY,
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    epoch         bigint      NOT NULL DEFAULT 0,
    epoch_time    timestamptz NOT NULL DEFAULT now(),
    cluster       text        NOT NULL DEFAULT '',
    close_reason  text,
    close_message text        NOT NULL DEFAULT '',
    close_time    timestamptz,
    known_time    timestamptz,
    CONSTRAINT installation_singleton CHECK (singleton),
    CONSTRAINT installation_close CHECK (close_reason IN ('BY_OPERATOR', 'AT_START', 'DATABASE_SET_BACK', 'BUCKET_SET_BACK') AND close_time IS NOT NULL
        OR close_reason IS NULL AND close_time IS NULL)
);

COMMENT ON TABLE installation IS
    'One row: the fence against a database or a bucket that was set back to an earlier state, and whether admission is open. The first start of the service inserts it.';
COMMENT ON COLUMN installation.id IS 'The name under which the bucket keeps the records of this database.';
COMMENT ON COLUMN installation.epoch IS 'Grows every few seconds, and the bucket records each value after its commit. A bucket with a higher one shows that the database was set back.';
COMMENT ON COLUMN installation.epoch_time IS 'When the epoch last grew.';
COMMENT ON COLUMN installation.cluster IS
    'Where the epoch last grew: the system identifier and the timeline of the server, and the oid of the database. A dump or a restore of the database has another one. Empty if the role may not read them.';
COMMENT ON COLUMN installation.close_reason IS 'Why nothing is sent to providers; NULL while admission is open.';
COMMENT ON COLUMN installation.known_time IS 'After the database was set back: the time up to which it surely knows what was sent. NULL otherwise.';

-- +goose Down

DROP TABLE IF EXISTS installation;
