-- +goose Up

-- The foreign key and the column of task take a lock of it. A statement that waits for such a lock blocks all that come after it, so it
-- gives up instead of waiting for a long transaction. The column takes the stronger lock, so it comes first: a transaction that has locked
-- a task and is about to change it would otherwise block this one and be blocked by it.
SET LOCAL lock_timeout = '5s';

ALTER TABLE task ADD COLUMN IF NOT EXISTS webhook_uri text NOT NULL DEFAULT '';

COMMENT ON COLUMN task.webhook_uri IS 'The URI that receives the events of the task; empty means none.';

CREATE TABLE IF NOT EXISTS webhook_endpoint (
    id                   uuid        NOT NULL CONSTRAINT webhook_endpoint_pkey PRIMARY KEY,
    tenant               text        NOT NULL,
    url                  text        NOT NULL,
    description          text        NOT NULL,
    states               text[]      NOT NULL,
    labels               jsonb       NOT NULL,
    rate_limit           integer     NOT NULL,
    secret               bytea       NOT NULL,
    previous_secret      bytea,
    previous_expire_time timestamptz,
    disabled             text,
    disable_time         timestamptz,
    failures             integer     NOT NULL DEFAULT 0,
    failing_time         timestamptz,
    paused_until         timestamptz,
    slot_time            timestamptz,
    create_time          timestamptz NOT NULL DEFAULT now(),
    update_time          timestamptz NOT NULL DEFAULT now(),
    delete_time          timestamptz,
    CONSTRAINT webhook_endpoint_disabled CHECK (disabled IN ('REQUESTED', 'GONE', 'FAILING') AND disable_time IS NOT NULL
        OR disabled IS NULL AND disable_time IS NULL),
    CONSTRAINT webhook_endpoint_previous CHECK ((previous_secret IS NULL) = (previous_expire_time IS NULL)),
    CONSTRAINT webhook_endpoint_failing CHECK ((failures = 0) = (failing_time IS NULL))
);

CREATE INDEX IF NOT EXISTS webhook_endpoint_tenant ON webhook_endpoint (tenant, id) WHERE delete_time IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS webhook_endpoint_tasks ON webhook_endpoint (tenant) WHERE url = '' AND delete_time IS NULL;

COMMENT ON TABLE webhook_endpoint IS 'The URLs of tenants to which the events of tasks are posted.';
COMMENT ON COLUMN webhook_endpoint.url IS 'Empty for the endpoint of the tasks that have a webhook_uri of their own.';
COMMENT ON COLUMN webhook_endpoint.states IS 'The states of a task whose events are sent.';
COMMENT ON COLUMN webhook_endpoint.labels IS 'The labels that a task must have, all of them.';
COMMENT ON COLUMN webhook_endpoint.rate_limit IS 'Requests per second over all replicas; 0 means no limit.';
COMMENT ON COLUMN webhook_endpoint.secret IS 'The key of signatures, encrypted.';
COMMENT ON COLUMN webhook_endpoint.previous_secret IS 'The key before, which signs too until previous_expire_time.';
COMMENT ON COLUMN webhook_endpoint.disabled IS 'Why nothing is sent: a caller asked for it, the endpoint is gone, or it failed for days. NULL while it is enabled.';
COMMENT ON COLUMN webhook_endpoint.failures IS 'How many requests have failed in a row; failing_time is when the first of them failed.';
COMMENT ON COLUMN webhook_endpoint.paused_until IS 'Until when nothing is sent: requests fail, or the endpoint asked for it.';
COMMENT ON COLUMN webhook_endpoint.slot_time IS 'When the rate limit permits the next request.';
COMMENT ON COLUMN webhook_endpoint.delete_time IS 'When a caller deleted it. Retention removes its deliveries, and then the row.';

CREATE TABLE IF NOT EXISTS webhook_delivery (
    task_id           uuid        NOT NULL CONSTRAINT webhook_delivery_task_fkey REFERENCES task (id) ON DELETE CASCADE,
    revision          bigint      NOT NULL,
    endpoint_id       uuid        NOT NULL,
    task_state        text        NOT NULL,
    state             text        NOT NULL DEFAULT 'PENDING',
    attempts          integer     NOT NULL DEFAULT 0,
    next_attempt_time timestamptz DEFAULT now(),
    lease_time        timestamptz,
    event_time        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_delivery_pkey PRIMARY KEY (task_id, revision, endpoint_id),
    CONSTRAINT webhook_delivery_state CHECK (state IN ('PENDING', 'SUCCEEDED', 'FAILED')),
    CONSTRAINT webhook_delivery_next CHECK ((state = 'PENDING') = (next_attempt_time IS NOT NULL)),
    CONSTRAINT webhook_delivery_lease CHECK (lease_time IS NULL OR state = 'PENDING')
);

CREATE INDEX IF NOT EXISTS webhook_delivery_due ON webhook_delivery (endpoint_id, next_attempt_time) WHERE state = 'PENDING';
CREATE INDEX IF NOT EXISTS webhook_delivery_endpoint ON webhook_delivery (endpoint_id, state, event_time, task_id, revision);

COMMENT ON TABLE webhook_delivery IS 'The outbox of webhooks: one event for one endpoint, written by the transaction that changes the task.';
COMMENT ON COLUMN webhook_delivery.endpoint_id IS 'Without a foreign key, whose check would lock the row of an endpoint in every change of its tasks.';
COMMENT ON COLUMN webhook_delivery.task_state IS 'The state of the task after the event, which gives the event its type.';
COMMENT ON COLUMN webhook_delivery.attempts IS 'Since the event happened or was last sent again by request.';
COMMENT ON COLUMN webhook_delivery.next_attempt_time IS 'When it is sent. While a replica sends it, when its lease expires.';
COMMENT ON COLUMN webhook_delivery.lease_time IS 'When a replica claimed it; NULL while none sends it.';

CREATE TABLE IF NOT EXISTS webhook_attempt (
    task_id     uuid        NOT NULL,
    revision    bigint      NOT NULL,
    endpoint_id uuid        NOT NULL,
    start_time  timestamptz NOT NULL,
    duration_ms bigint      NOT NULL,
    status      integer     NOT NULL,
    error       text        NOT NULL,
    answer      text        NOT NULL,
    CONSTRAINT webhook_attempt_pkey PRIMARY KEY (task_id, revision, endpoint_id, start_time),
    CONSTRAINT webhook_attempt_delivery_fkey FOREIGN KEY (task_id, revision, endpoint_id)
        REFERENCES webhook_delivery (task_id, revision, endpoint_id) ON DELETE CASCADE
);

COMMENT ON TABLE webhook_attempt IS 'The requests to webhook endpoints.';
COMMENT ON COLUMN webhook_attempt.status IS 'The HTTP status of the answer; 0 without one.';
COMMENT ON COLUMN webhook_attempt.error IS 'Why it failed, one sentence; empty if it succeeded.';
COMMENT ON COLUMN webhook_attempt.answer IS 'The start of the body of the answer.';

-- +goose Down

ALTER TABLE task DROP COLUMN IF EXISTS webhook_uri;
DROP TABLE IF EXISTS webhook_attempt;
DROP TABLE IF EXISTS webhook_delivery;
DROP TABLE IF EXISTS webhook_endpoint;
