-- Times are milliseconds since 1970-01-01T00:00:00Z. A binary of one version earlier must be able to
-- run on this schema: later migrations add, and take away only what no running version reads.

CREATE TABLE accounts (
    id TEXT PRIMARY KEY NOT NULL,
    -- 'active', 'locked', 'disabled' or 'deleted'; what follows is null when deleted
    status TEXT NOT NULL,
    email TEXT,
    username TEXT,
    name TEXT,
    -- PHC string format
    password TEXT,
    -- in their order, with commas between
    roles TEXT NOT NULL,
    email_verified_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    password_changed_at INTEGER,
    last_login_at INTEGER
) STRICT;

-- One namespace for everything that somebody logs in with, folded to lower case.
CREATE TABLE login_names (
    name TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id)
) STRICT;

CREATE INDEX login_names_of_account ON login_names (account_id);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- of the refresh token that is good now
    counter INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    -- unless refreshed before; never after ends_at
    expires_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    ended_at INTEGER,
    device TEXT NOT NULL,
    client TEXT
) STRICT;

CREATE INDEX sessions_of_account ON sessions (account_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Append-only: every node and process reads what is new in it.
CREATE TABLE revocations (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    session_id TEXT,
    -- tokens without session of this subject, issued until then
    subject TEXT,
    issued_until INTEGER,
    -- from then on no token is left that it could concern
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    detail TEXT NOT NULL,
    account_id TEXT NOT NULL,
    session_id TEXT,
    actor TEXT NOT NULL,
    client TEXT
) STRICT;

CREATE INDEX audit_of_account ON audit (account_id, id);

-- Keys that the gateway makes for itself; the highest id of a ring signs, all verify.
CREATE TABLE ring_keys (
    ring TEXT NOT NULL,
    id INTEGER NOT NULL,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (ring, id)
) STRICT;
