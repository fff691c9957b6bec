-- +goose Up

CREATE TABLE source (
    id            uuid        NOT NULL CONSTRAINT source_pkey PRIMARY KEY,
    tenant        text        NOT NULL CONSTRAINT source_tenant_not_empty CHECK (tenant <> ''),
    sha256        bytea       NOT NULL CONSTRAINT source_sha256_length CHECK (length(sha256) = 32),
    size_bytes    bigint      NOT NULL CONSTRAINT source_size_positive CHECK (size_bytes > 0),
    content_type  text        NOT NULL,
    duration_us   bigint      NOT NULL,
    width         integer     NOT NULL,
    height        integer     NOT NULL,
    flaw          text        NOT NULL,
    state         text        NOT NULL DEFAULT 'READY' CONSTRAINT source_state_known CHECK (state IN ('READY', 'EXPIRED')),
    key           text        NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    last_use_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT source_sha256_key UNIQUE (tenant, sha256)
);

CREATE INDEX source_last_use ON source (last_use_time) WHERE state = 'READY';

COMMENT ON TABLE source IS 'The videos that tenants uploaded: one for equal bytes of a tenant.';
COMMENT ON COLUMN source.duration_us IS 'Microseconds; 0 where it could not be read from the file, as with width and height.';
COMMENT ON COLUMN source.flaw IS 'Why the file can''t be played, where that is certain.';
COMMENT ON COLUMN source.state IS 'READY, or EXPIRED once the file is gone: the same bytes make it READY again.';
COMMENT ON COLUMN source.key IS 'Where the file is in the bucket.';
COMMENT ON COLUMN source.last_use_time IS 'When the source was last uploaded, submitted or handed to a provider.';

CREATE TABLE source_upload (
    tenant         text        NOT NULL CONSTRAINT source_upload_tenant_not_empty CHECK (tenant <> ''),
    id             uuid        NOT NULL,
    size_bytes     bigint      NOT NULL,
    sha256         bytea       NOT NULL,
    received_bytes bigint      NOT NULL,
    parts          integer     NOT NULL,
    source_id      uuid        CONSTRAINT source_upload_source_fkey REFERENCES source (id) ON DELETE CASCADE,
    duplicate      boolean     NOT NULL DEFAULT false,
    create_time    timestamptz NOT NULL DEFAULT now(),
    update_time    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT source_upload_pkey PRIMARY KEY (tenant, id)
);

CREATE INDEX source_upload_update ON source_upload (update_time);
CREATE INDEX source_upload_source ON source_upload (source_id);

COMMENT ON TABLE source_upload IS 'Uploads that are under way, or became a source.';
COMMENT ON COLUMN source_upload.id IS 'Chosen by the caller.';
COMMENT ON COLUMN source_upload.size_bytes IS 'The announced size; 0 while it is not known.';
COMMENT ON COLUMN source_upload.sha256 IS 'The announced SHA-256; empty while it is not known.';
COMMENT ON COLUMN source_upload.source_id IS 'What the upload became; its parts are of no use then.';
COMMENT ON COLUMN source_upload.duplicate IS 'Whether the source was there before.';

CREATE TABLE source_part (
    tenant      text   NOT NULL,
    upload_id   uuid   NOT NULL,
    start_byte  bigint NOT NULL,
    size_bytes  bigint NOT NULL CONSTRAINT source_part_size_positive CHECK (size_bytes > 0),
    key         text   NOT NULL,
    CONSTRAINT source_part_pkey PRIMARY KEY (tenant, upload_id, start_byte),
    CONSTRAINT source_part_upload_fkey FOREIGN KEY (tenant, upload_id) REFERENCES source_upload (tenant, id) ON DELETE CASCADE
);

COMMENT ON TABLE source_part IS 'The bytes of uploads, in files of the bucket that follow each other without gaps.';

CREATE TABLE source_copy (
    source_id   uuid        NOT NULL CONSTRAINT source_copy_source_fkey REFERENCES source (id) ON DELETE CASCADE,
    account     text        NOT NULL,
    uri         text        NOT NULL,
    expire_time timestamptz NOT NULL,
    CONSTRAINT source_copy_pkey PRIMARY KEY (source_id, account)
);

COMMENT ON TABLE source_copy IS 'Where provider accounts keep a copy of a source that was handed to them.';

CREATE TABLE source_probe (
    uri_sha256   bytea       NOT NULL CONSTRAINT source_probe_pkey PRIMARY KEY,
    size_bytes   bigint      NOT NULL,
    content_type text        NOT NULL,
    duration_us  bigint      NOT NULL,
    width        integer     NOT NULL,
    height       integer     NOT NULL,
    flaw         text        NOT NULL,
    expire_time  timestamptz NOT NULL
);

CREATE INDEX source_probe_expire ON source_probe (expire_time);

COMMENT ON TABLE source_probe IS 'What was found behind source URIs, for a few minutes; the URIs themselves may be signed and are not kept.';

ALTER TABLE task ADD COLUMN source_id uuid;

ALTER TABLE task ADD CONSTRAINT task_one_source CHECK (source_uri = '' OR source_id IS NULL) NOT VALID;

COMMENT ON COLUMN task.source_id IS 'The uploaded source; NULL where source_uri names one. It may outlive the source.';

-- +goose Down

ALTER TABLE task DROP COLUMN source_id;

DROP TABLE source_probe, source_copy, source_part, source_upload, source;
