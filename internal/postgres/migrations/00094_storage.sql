-- +goose Up

-- The foreign key takes a lock of attempt. A statement that waits for it blocks all writers that come after it, so it gives up
-- instead of waiting for a long transaction.
SET LOCAL lock_timeout = '5s';

CREATE TABLE storage_probe (
    replica    text        NOT NULL CONSTRAINT storage_probe_pkey PRIMARY KEY,
    cause      text        NOT NULL DEFAULT '',
    since_time timestamptz NOT NULL DEFAULT now(),
    probe_time timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE storage_probe IS
    'Whether each replica can store results, as its last probe found. A row that is not renewed no longer counts.';
COMMENT ON COLUMN storage_probe.cause IS 'Why the storage fails, in words for callers; empty while it works.';
COMMENT ON COLUMN storage_probe.since_time IS 'When the replica first found it so.';

CREATE TABLE save_trouble (
    attempt_id         uuid        NOT NULL CONSTRAINT save_trouble_pkey PRIMARY KEY
        CONSTRAINT save_trouble_attempt_fkey REFERENCES attempt (id) ON DELETE CASCADE,
    cause              text        NOT NULL,
    message            text        NOT NULL,
    since_time         timestamptz NOT NULL DEFAULT now(),
    until_time         timestamptz NOT NULL,
    update_time        timestamptz NOT NULL DEFAULT now(),
    storage_cause      text        NOT NULL DEFAULT '',
    storage_since_time timestamptz,
    storage_until_time timestamptz
);

COMMENT ON TABLE save_trouble IS
    'Why the outputs of attempts are not saved yet, as the last try found: one row for each attempt whose save failed.';
COMMENT ON COLUMN save_trouble.cause IS 'What the save waits for: a cause of Waiting in the contract.';
COMMENT ON COLUMN save_trouble.since_time IS
    'When the save began to fail. It begins anew when the storage works again, so that its trouble does not count as the provider''s.';
COMMENT ON COLUMN save_trouble.until_time IS 'When it is tried again.';
COMMENT ON COLUMN save_trouble.storage_cause IS 'Why the storage did not take an output the last time it did not, with the times of the first and the last such try; empty where it always did.';

-- +goose Down

DROP TABLE save_trouble, storage_probe;
