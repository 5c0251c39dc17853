-- Keys that sign access tokens and that the gateways make for themselves, sealed under a master key
-- that is not here. The next one has the next number: of two nodes that make it, one does.
CREATE TABLE signing_keys (
    number BIGINT PRIMARY KEY NOT NULL,
    -- 'kid'
    id TEXT COLLATE "C" NOT NULL,
    algorithm TEXT NOT NULL,
    -- which master key opens it
    master TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    -- until then it is only published
    signs_from BIGINT NOT NULL
);

-- An operator's wish for a successor of the key of this number.
CREATE TABLE signing_key_orders (
    number BIGINT PRIMARY KEY NOT NULL,
    -- 'published', as long as the configuration says, or 'now'
    pace TEXT NOT NULL
);
