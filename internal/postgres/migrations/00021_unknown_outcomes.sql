-- +goose Up

ALTER TABLE provider_account ADD COLUMN unknowns integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN provider_account.unknowns IS
    'How many submissions in a row ended with unknown outcome since one was accepted. A few make the account pause.';

CREATE UNIQUE INDEX attempt_provider_task ON attempt (provider, provider_task_id) WHERE provider_task_id <> '';

COMMENT ON INDEX attempt_provider_task IS 'One task at a provider belongs to one attempt, whoever claims otherwise.';

-- +goose Down

DROP INDEX attempt_provider_task;

ALTER TABLE provider_account DROP COLUMN unknowns;
