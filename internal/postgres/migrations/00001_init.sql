-- +goose Up

CREATE TABLE task (
    id              uuid        NOT NULL CONSTRAINT task_pkey PRIMARY KEY,
    tenant          text        NOT NULL CONSTRAINT task_tenant_not_empty CHECK (tenant <> ''),
    request_id      text        NOT NULL,
    prompt          text        NOT NULL,
    source_uri      text        NOT NULL,
    watermark       text        NOT NULL,
    strength        text        NOT NULL,
    model           text        NOT NULL,
    first_frame_uri text        NOT NULL,
    asked_provider  text        NOT NULL,
    fallbacks       text[]      NOT NULL,
    route           text[]      NOT NULL,
    provider        text        NOT NULL,
    priority        integer     NOT NULL,
    labels          jsonb       NOT NULL,
    deadline        interval    NOT NULL,
    max_attempts    integer     NOT NULL CONSTRAINT task_max_attempts_positive CHECK (max_attempts > 0),
    state           text        NOT NULL CONSTRAINT task_state_known
        CHECK (state IN ('QUEUED', 'SUBMITTING', 'RUNNING', 'SAVING', 'SUCCEEDED', 'FAILED', 'CANCELED')),
    revision        bigint      NOT NULL CONSTRAINT task_revision_positive CHECK (revision > 0),
    allowance       integer     NOT NULL,
    result_attempt  uuid,
    not_before_time timestamptz,
    failure_reason  text,
    failure_message text,
    failure_payment text,
    create_time     timestamptz NOT NULL DEFAULT now(),
    update_time     timestamptz NOT NULL DEFAULT now(),
    deadline_time   timestamptz NOT NULL,
    CONSTRAINT task_provider_on_route CHECK (provider = ANY (route)),
    CONSTRAINT task_request_id_key UNIQUE (tenant, request_id),
    CONSTRAINT task_failure_when_failed CHECK ((state = 'FAILED') = (failure_reason IS NOT NULL)),
    CONSTRAINT task_failure_whole
        CHECK (num_nulls(failure_reason, failure_message, failure_payment) IN (0, 3)),
    CONSTRAINT task_result_when_saving
        CHECK (state NOT IN ('SAVING', 'SUCCEEDED') OR result_attempt IS NOT NULL)
);

CREATE INDEX task_list ON task (tenant, id DESC);
CREATE INDEX task_queue ON task (provider, priority DESC, id) WHERE state = 'QUEUED';
CREATE INDEX task_movable ON task (provider, priority DESC, id) WHERE state = 'QUEUED' AND route[cardinality(route)] <> provider;
CREATE INDEX task_deadline ON task (deadline_time) WHERE state IN ('QUEUED', 'SUBMITTING', 'RUNNING');

COMMENT ON TABLE task IS 'One modification job that a caller asked for, and the state it is in.';
COMMENT ON COLUMN task.id IS 'A UUID of version 7: ids sort by time of submission.';
COMMENT ON COLUMN task.asked_provider IS 'The provider that the caller named; empty where the service chose the route.';
COMMENT ON COLUMN task.fallbacks IS 'The providers to move on to that the caller named.';
COMMENT ON COLUMN task.route IS 'The providers to try, in this order.';
COMMENT ON COLUMN task.provider IS 'The provider that works on the task or is to; one of route.';
COMMENT ON COLUMN task.revision IS 'The number of the newest row in task_event.';
COMMENT ON COLUMN task.allowance IS 'How many attempts may be paid for; begins as max_attempts and grows with retries.';
COMMENT ON COLUMN task.result_attempt IS 'The attempt whose result is being saved or was.';
COMMENT ON COLUMN task.not_before_time IS 'Admission leaves a QUEUED task alone until then.';

CREATE TABLE attempt (
    id               uuid        NOT NULL CONSTRAINT attempt_pkey PRIMARY KEY,
    task_id          uuid        NOT NULL CONSTRAINT attempt_task_fkey REFERENCES task (id) ON DELETE CASCADE,
    number           integer     NOT NULL,
    provider         text        NOT NULL,
    account          text        NOT NULL,
    provider_task_id text        NOT NULL DEFAULT '',
    hinted_task_id   text        NOT NULL DEFAULT '',
    state            text        NOT NULL CONSTRAINT attempt_state_known
        CHECK (state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'REFUSED', 'LOST')),
    sent             boolean     NOT NULL DEFAULT false,
    saved            boolean     NOT NULL DEFAULT false,
    message          text        NOT NULL DEFAULT '',
    create_time      timestamptz NOT NULL DEFAULT now(),
    answer_time      timestamptz,
    next_check_time  timestamptz,
    CONSTRAINT attempt_number_key UNIQUE (task_id, number),
    CONSTRAINT attempt_sent_before_outcome
        CHECK (sent OR state IN ('SUBMITTING', 'REFUSED')),
    CONSTRAINT attempt_answered_when_settled CHECK ((state = 'SUBMITTING') = (answer_time IS NULL))
);

CREATE INDEX attempt_window ON attempt (account, answer_time);
CREATE INDEX attempt_unanswered ON attempt (account) WHERE answer_time IS NULL;
CREATE INDEX attempt_in_flight ON attempt (account, answer_time) WHERE state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING', 'LOST');
CREATE INDEX attempt_due ON attempt (account, next_check_time) WHERE next_check_time IS NOT NULL;

COMMENT ON TABLE attempt IS 'One try of a task at a provider: the unit that costs money.';
COMMENT ON COLUMN attempt.sent IS 'Set and committed before the request leaves; what was sent is never sent again.';
COMMENT ON COLUMN attempt.hinted_task_id IS 'The provider task id of an unproven callback, until the provider confirms it.';
COMMENT ON COLUMN attempt.answer_time IS
    'When the submission stopped being under way. An attempt counts against the rate window until one window after it.';
COMMENT ON COLUMN attempt.next_check_time IS 'When the provider is to be asked about the attempt; NULL when it is no longer followed.';

CREATE TABLE task_event (
    task_id         uuid        NOT NULL CONSTRAINT task_event_task_fkey REFERENCES task (id) ON DELETE CASCADE,
    revision        bigint      NOT NULL,
    state           text        NOT NULL,
    attempt         integer     NOT NULL,
    message         text        NOT NULL,
    failure_reason  text,
    failure_message text,
    failure_payment text,
    create_time     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT task_event_pkey PRIMARY KEY (task_id, revision)
);

COMMENT ON TABLE task_event IS 'The numbered changes of tasks: their history, and what watchers receive.';
COMMENT ON COLUMN task_event.attempt IS 'The number of the attempt that the change is about; 0 means none.';

CREATE TABLE output (
    attempt_id   uuid        NOT NULL CONSTRAINT output_attempt_fkey REFERENCES attempt (id) ON DELETE CASCADE,
    index        integer     NOT NULL,
    key          text        NOT NULL,
    content_type text        NOT NULL,
    size_bytes   bigint      NOT NULL CONSTRAINT output_size_positive CHECK (size_bytes > 0),
    sha256       bytea       NOT NULL CONSTRAINT output_sha256_length CHECK (length(sha256) = 32),
    create_time  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT output_pkey PRIMARY KEY (attempt_id, index)
);

COMMENT ON TABLE output IS 'The result files of attempts that are in the bucket.';
COMMENT ON COLUMN output.key IS 'Where the file is in the bucket.';

CREATE TABLE callback (
    id               bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT callback_pkey PRIMARY KEY,
    attempt_id       uuid        NOT NULL CONSTRAINT callback_attempt_fkey REFERENCES attempt (id) ON DELETE CASCADE,
    account          text        NOT NULL,
    provider_task_id text        NOT NULL,
    verdict          text        NOT NULL,
    body             bytea       NOT NULL,
    receive_time     timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX callback_attempt ON callback (attempt_id);

COMMENT ON TABLE callback IS 'The callback inbox: what providers posted, with what became of it.';
COMMENT ON COLUMN callback.account IS 'The provider account that called.';
COMMENT ON COLUMN callback.body IS 'The body as received, but for our URL token, which is redacted.';

CREATE TABLE provider_account (
    account           text        NOT NULL CONSTRAINT provider_account_pkey PRIMARY KEY,
    provider          text        NOT NULL,
    paused_until_time timestamptz,
    pause_reason      text        NOT NULL DEFAULT '',
    pauses            integer     NOT NULL DEFAULT 0,
    blocked           boolean     NOT NULL DEFAULT false
);

COMMENT ON TABLE provider_account IS 'One account at a provider. Admission holds its row, so one replica admits at a time.';
COMMENT ON COLUMN provider_account.blocked IS 'Whether the pause means that the account can''t submit at all.';
COMMENT ON COLUMN provider_account.pauses IS
    'How often in a row the account was paused. While it is not 0, one attempt at a time probes whether the account works again.';

CREATE TABLE api_token (
    id          uuid        NOT NULL CONSTRAINT api_token_pkey PRIMARY KEY,
    tenant      text        NOT NULL CONSTRAINT api_token_tenant_not_empty CHECK (tenant <> ''),
    hash        bytea       NOT NULL CONSTRAINT api_token_hash_key UNIQUE,
    create_time timestamptz NOT NULL DEFAULT now(),
    revoke_time timestamptz
);

CREATE INDEX api_token_tenant ON api_token (tenant) WHERE revoke_time IS NULL;

COMMENT ON TABLE api_token IS 'The API tokens of tenants. Only their SHA-256 is kept; the tokens are random, so no slow hash is needed.';

CREATE TABLE secret (
    name  text  NOT NULL CONSTRAINT secret_pkey PRIMARY KEY,
    value bytea NOT NULL
);

COMMENT ON TABLE secret IS 'Keys that the service made for itself, shared by all replicas.';

-- +goose Down

DROP TABLE secret, api_token, provider_account, callback, output, task_event, attempt, task;
