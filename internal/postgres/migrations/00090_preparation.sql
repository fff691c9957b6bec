-- +goose Up

CREATE TABLE preparation (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT preparation_pkey PRIMARY KEY,
    tenant      text        NOT NULL,
    account     text        NOT NULL,
    subject     text        NOT NULL,
    joined      bigint      NOT NULL DEFAULT 1,
    tries       integer     NOT NULL DEFAULT 0,
    message     text        NOT NULL DEFAULT '',
    busy        boolean     NOT NULL DEFAULT false,
    due_time    timestamptz NOT NULL DEFAULT now(),
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT preparation_subject_key UNIQUE (tenant, account, subject)
);

CREATE INDEX preparation_due ON preparation (due_time);

COMMENT ON TABLE preparation IS
    'Sources that are looked at or handed to a provider account in the background, since that took too long for the submission: one row for each source, whatever number of tasks wait for it.';
COMMENT ON COLUMN preparation.subject IS 'The id of an uploaded source, or the SHA-256 of a URI, which may be signed and is kept with its tasks alone.';
COMMENT ON COLUMN preparation.joined IS 'How often somebody came to wait for it. It ends only where nobody came since its waiters were told.';
COMMENT ON COLUMN preparation.tries IS 'How often it failed.';
COMMENT ON COLUMN preparation.message IS 'Why it failed the last time, in words for callers.';
COMMENT ON COLUMN preparation.busy IS 'Whether a replica works on it.';
COMMENT ON COLUMN preparation.due_time IS 'When it is to be taken up. A replica that works on it puts that off again and again while it lives.';

CREATE TABLE preparation_task (
    task_id        uuid   NOT NULL CONSTRAINT preparation_task_pkey PRIMARY KEY
        CONSTRAINT preparation_task_task_fkey REFERENCES task (id) ON DELETE CASCADE,
    revision       bigint NOT NULL,
    preparation_id bigint NOT NULL
        CONSTRAINT preparation_task_preparation_fkey REFERENCES preparation (id) ON DELETE CASCADE
);

CREATE INDEX preparation_task_preparation ON preparation_task (preparation_id);

COMMENT ON TABLE preparation_task IS
    'The tasks that wait for a preparation, kept from admission by a not_before_time of infinity.';
COMMENT ON COLUMN preparation_task.revision IS 'The revision at which the task began to wait. It waits no more once it has another one.';

-- +goose Down

UPDATE task SET not_before_time = NULL WHERE not_before_time = 'infinity';

DROP TABLE preparation_task, preparation;
