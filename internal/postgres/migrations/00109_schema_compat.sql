-- +goose Up

CREATE TABLE IF NOT EXISTS schema_compat (
    version bigint NOT NULL CONSTRAINT schema_compat_pkey PRIMARY KEY,
    oldest  bigint NOT NULL,
    CONSTRAINT schema_compat_oldest CHECK (oldest <= version)
);

COMMENT ON TABLE schema_compat IS 'Which releases work with the schema: each release that migrates it adds a row, before its migrations.';
COMMENT ON COLUMN schema_compat.version IS 'The schema version of the release.';
COMMENT ON COLUMN schema_compat.oldest IS 'The schema version of the oldest release that works on the schema of this one.';

-- +goose Down

DROP TABLE IF EXISTS schema_compat;
