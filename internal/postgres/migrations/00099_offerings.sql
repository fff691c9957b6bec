-- +goose NO TRANSACTION
-- +goose Up

-- A statement that waits for such a lock blocks all that come after it, so it gives up instead of waiting for a long transaction.
-- Each table has a transaction of its own: one that holds the lock of a table and waits for another's could deadlock with the service.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE attempt
        ADD COLUMN IF NOT EXISTS remote_model    text NOT NULL DEFAULT '',
        ADD COLUMN IF NOT EXISTS provider_handle text NOT NULL DEFAULT '';
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN attempt.remote_model IS 'What the provider calls the model of the attempt, set when sending begins.';
COMMENT ON COLUMN attempt.provider_handle IS
    'What the adapter needs besides provider_task_id to ask about the attempt, in its own form; empty for most providers.';

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE provider_account ADD COLUMN IF NOT EXISTS callback_signer text NOT NULL DEFAULT '';
END
$$;
-- +goose StatementEnd

COMMENT ON COLUMN provider_account.callback_signer IS
    'The account at the provider that signs callbacks, as the first proven callback of an attempt with a known provider task named it. Empty where signatures name none.';

CREATE TABLE IF NOT EXISTS offering_closure (
    provider   text        NOT NULL,
    model      text        NOT NULL,
    reason     text        NOT NULL,
    operator   boolean     NOT NULL,
    closures   integer     NOT NULL DEFAULT 1,
    close_time timestamptz NOT NULL DEFAULT now(),
    probe_time timestamptz,
    open       boolean     NOT NULL DEFAULT false,
    CONSTRAINT offering_closure_pkey PRIMARY KEY (provider, model),
    CONSTRAINT offering_closure_probe CHECK (operator = (probe_time IS NULL))
);

COMMENT ON TABLE offering_closure IS 'The offerings to which admission sends nothing: a provider has withdrawn the model, or an operator closed it.';
COMMENT ON COLUMN offering_closure.operator IS 'Whether an operator closed it, until an operator opens it.';
COMMENT ON COLUMN offering_closure.closures IS 'How often in a row the provider said that it does not have the model.';
COMMENT ON COLUMN offering_closure.open IS 'Whether it is open again. The row is removed when the tasks that it held are released.';
COMMENT ON COLUMN offering_closure.probe_time IS 'When one task may find out whether the provider has the model again.';

-- +goose Down

DROP TABLE IF EXISTS offering_closure;

ALTER TABLE provider_account DROP COLUMN IF EXISTS callback_signer;

ALTER TABLE attempt DROP COLUMN IF EXISTS remote_model, DROP COLUMN IF EXISTS provider_handle;
