-- +goose Up

ALTER TABLE output
    ADD COLUMN duration_ms bigint  NOT NULL DEFAULT 0,
    ADD COLUMN width       integer NOT NULL DEFAULT 0,
    ADD COLUMN height      integer NOT NULL DEFAULT 0,
    ADD COLUMN video_codec text    NOT NULL DEFAULT '';

COMMENT ON COLUMN output.duration_ms IS
    'What the container of the file says, as in the next columns; 0 and empty where it does not, or in rows older than these columns.';

-- +goose Down

ALTER TABLE output
    DROP COLUMN duration_ms,
    DROP COLUMN width,
    DROP COLUMN height,
    DROP COLUMN video_codec;
