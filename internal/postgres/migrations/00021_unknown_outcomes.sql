-- +goose Up

ALTER TABLE provider_account ADD COLUMN unknowns integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN provider_account.unknowns IS
    'How many submissions in a row ended with unknown outcome since one was accepted. A few make the account pause.';

-- +goose Down

ALTER TABLE provider_account DROP COLUMN unknowns;
