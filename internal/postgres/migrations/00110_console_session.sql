-- +goose Up

CREATE TABLE IF NOT EXISTS console_session (
    id          uuid        NOT NULL CONSTRAINT console_session_pkey PRIMARY KEY,
    hash        bytea       NOT NULL CONSTRAINT console_session_hash_key UNIQUE,
    tenant      text        NOT NULL,
    operator    boolean     NOT NULL,
    actor_kind  text        NOT NULL,
    actor_name  text        NOT NULL,
    token_id    uuid,
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz NOT NULL,
    end_time    timestamptz,
    CONSTRAINT console_session_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT console_session_of_someone CHECK (tenant <> '' OR operator),
    CONSTRAINT console_session_actor_kind CHECK (actor_kind IN ('TOKEN', 'JWT', 'COMMAND')),
    CONSTRAINT console_session_token CHECK ((actor_kind = 'TOKEN') = (token_id IS NOT NULL)),
    CONSTRAINT console_session_bounded CHECK (expire_time <= create_time + interval '8 hours')
);

CREATE INDEX IF NOT EXISTS console_session_time ON console_session (create_time, id);
CREATE INDEX IF NOT EXISTS console_session_actor ON console_session (actor_name, actor_kind);
CREATE INDEX IF NOT EXISTS console_session_expiry ON console_session (expire_time);

COMMENT ON TABLE console_session IS 'Who is signed in to the console. Rows that have expired are removed when somebody signs in.';
COMMENT ON COLUMN console_session.hash IS 'The SHA-256 of the secret that the cookie of the browser holds.';
COMMENT ON COLUMN console_session.actor_kind IS 'How the person signed in: COMMAND is a link that refract console-link printed.';
COMMENT ON COLUMN console_session.token_id IS 'The API token that the session was made from, and ends with. Without a foreign key: a session of a token that is gone has ended.';
COMMENT ON COLUMN console_session.end_time IS 'When it was ended before its time; NULL while it was not.';

CREATE TABLE IF NOT EXISTS console_login_link (
    hash        bytea       NOT NULL CONSTRAINT console_login_link_pkey PRIMARY KEY,
    tenant      text        NOT NULL,
    operator    boolean     NOT NULL,
    actor_name  text        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz NOT NULL,
    CONSTRAINT console_login_link_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT console_login_link_of_someone CHECK (tenant <> '' OR operator),
    CONSTRAINT console_login_link_bounded CHECK (expire_time <= create_time + interval '10 minutes')
);

COMMENT ON TABLE console_login_link IS 'Links that sign in to the console once. The row is removed when the link is used.';
COMMENT ON COLUMN console_login_link.hash IS 'The SHA-256 of the code in the link.';
COMMENT ON COLUMN console_login_link.actor_name IS 'Who made the link, as the audit log has it.';

-- +goose Down

DROP TABLE IF EXISTS console_login_link;
DROP TABLE IF EXISTS console_session;
