-- Programs that call in their own name. A name is free again when its service is deleted.
CREATE TABLE service_accounts (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- folded to lower case
    name_key TEXT COLLATE "C" NOT NULL UNIQUE,
    -- in their order, with commas between
    roles TEXT NOT NULL,
    -- 'active' or 'disabled'
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    -- SHA-256 of the whole key
    hash BYTEA NOT NULL,
    account_id TEXT COLLATE "C" REFERENCES accounts (id) DEFERRABLE,
    service_id TEXT COLLATE "C" REFERENCES service_accounts (id) DEFERRABLE,
    name TEXT COLLATE "C" NOT NULL,
    -- JSON: scopes, routes, networks, limits
    binding TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    CHECK ((account_id IS NULL) <> (service_id IS NULL))
);

CREATE INDEX api_keys_of_account ON api_keys (account_id);
CREATE INDEX api_keys_of_service ON api_keys (service_id);
