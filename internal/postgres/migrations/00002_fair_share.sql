-- +goose Up

CREATE TABLE tenant (
    tenant        text    NOT NULL CONSTRAINT tenant_pkey PRIMARY KEY,
    weight        integer NOT NULL DEFAULT 1 CONSTRAINT tenant_weight_range CHECK (weight BETWEEN 1 AND 1000),
    max_queued    integer CONSTRAINT tenant_max_queued_positive CHECK (max_queued > 0),
    max_in_flight integer CONSTRAINT tenant_max_in_flight_positive CHECK (max_in_flight > 0),
    max_per_day   integer CONSTRAINT tenant_max_per_day_positive CHECK (max_per_day > 0)
);

COMMENT ON TABLE tenant IS
    'The share and the quotas of tenants. The row with an empty name is that of tenants without one; none at all means weight 1 and no quota.';
COMMENT ON COLUMN tenant.weight IS 'How much of a provider the tenant gets while others wait, relative to them.';
COMMENT ON COLUMN tenant.max_queued IS 'How many tasks may be QUEUED; more are refused at submit. NULL means any number, as in the next two.';
COMMENT ON COLUMN tenant.max_in_flight IS 'How many attempts may be open over all providers; more wait.';
COMMENT ON COLUMN tenant.max_per_day IS 'How many tasks may be submitted in a day of UTC; more are refused.';

CREATE TABLE tenant_day (
    tenant      text    NOT NULL,
    day         date    NOT NULL,
    submissions integer NOT NULL,
    CONSTRAINT tenant_day_pkey PRIMARY KEY (tenant, day)
);

COMMENT ON TABLE tenant_day IS 'How many tasks a tenant with a daily quota submitted in a day of UTC.';

ALTER TABLE task ADD COLUMN line_time timestamptz NOT NULL DEFAULT now();

COMMENT ON COLUMN task.line_time IS
    'The place in the line of the tenant: when the task was queued, a minute earlier for each step of priority, so that waiting outweighs priority in time.';

-- The line of each tenant at each provider; also finds who waits at all, and counts what a tenant has queued.
CREATE INDEX task_line ON task (tenant, provider, line_time, id) WHERE state = 'QUEUED';
DROP INDEX task_queue;

ALTER TABLE attempt ADD COLUMN settle_time timestamptz;

COMMENT ON COLUMN attempt.settle_time IS 'When the provider gave its verdict; NULL while it works.';

CREATE INDEX attempt_open ON attempt (account) WHERE state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING');
CREATE INDEX attempt_lost ON attempt (account, answer_time) WHERE state = 'LOST';
CREATE INDEX attempt_settled ON attempt (account, settle_time) WHERE state = 'SUCCEEDED';
DROP INDEX attempt_in_flight;

ALTER TABLE provider_account
    ADD COLUMN max_submissions integer CONSTRAINT provider_account_max_submissions_positive CHECK (max_submissions > 0),
    ADD COLUMN rate_window     interval CONSTRAINT provider_account_rate_window_positive CHECK (rate_window > interval '0'),
    ADD COLUMN max_in_flight   integer CONSTRAINT provider_account_max_in_flight_positive CHECK (max_in_flight > 0),
    ADD COLUMN hold_reason     text,
    ADD CONSTRAINT provider_account_window_whole CHECK ((max_submissions IS NULL) = (rate_window IS NULL));

COMMENT ON COLUMN provider_account.max_submissions IS
    'The limits that an operator set, which hold in place of the configured ones from the next admission on. NULL means the configured ones.';
COMMENT ON COLUMN provider_account.hold_reason IS 'Why an operator paused the account, until one resumes it; NULL means that none did.';

CREATE TABLE provider_query (
    account   text        NOT NULL CONSTRAINT provider_query_pkey PRIMARY KEY,
    next_time timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE provider_query IS
    'When the next question to a provider account may be asked. Replicas reserve their questions here, so that its limit holds for all together.';

ALTER TABLE api_token ADD COLUMN operator boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN api_token.operator IS 'Whether the token may also call OperatorService.';

-- +goose Down

ALTER TABLE api_token DROP COLUMN operator;
DROP TABLE provider_query;
ALTER TABLE provider_account
    DROP COLUMN max_submissions, DROP COLUMN rate_window, DROP COLUMN max_in_flight, DROP COLUMN hold_reason;
CREATE INDEX attempt_in_flight ON attempt (account, answer_time) WHERE state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING', 'LOST');
DROP INDEX attempt_open, attempt_lost, attempt_settled;
ALTER TABLE attempt DROP COLUMN settle_time;
CREATE INDEX task_queue ON task (provider, priority DESC, id) WHERE state = 'QUEUED';
DROP INDEX task_line;
ALTER TABLE task DROP COLUMN line_time;
DROP TABLE tenant_day, tenant;
