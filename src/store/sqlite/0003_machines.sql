-- Programs that call in their own name. A name is free again when its service is deleted.
CREATE TABLE service_accounts (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    -- folded to lower case
    name_key TEXT NOT NULL UNIQUE,
    -- in their order, with commas between
    roles TEXT NOT NULL,
    -- 'active' or 'disabled'
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    -- SHA-256 of the whole key
    hash BLOB NOT NULL,
    account_id TEXT REFERENCES accounts (id),
    service_id TEXT REFERENCES service_accounts (id),
    name TEXT NOT NULL,
    -- JSON: scopes, routes, networks, limits
    binding TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER,
    CHECK ((account_id IS NULL) <> (service_id IS NULL))
) STRICT;

CREATE INDEX api_keys_of_account ON api_keys (account_id);
CREATE INDEX api_keys_of_service ON api_keys (service_id);
