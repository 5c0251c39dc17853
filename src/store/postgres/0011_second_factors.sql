-- What an account's codes are made of beside its password, sealed under a master key that is not here.
CREATE TABLE second_factors (
    account_id TEXT COLLATE "C" PRIMARY KEY NOT NULL REFERENCES accounts (id) DEFERRABLE,
    sealed BYTEA NOT NULL,
    -- which master key opens it
    master TEXT NOT NULL,
    offered_at BIGINT NOT NULL,
    -- null until its owner has shown a code
    confirmed_at BIGINT,
    -- the step of 30 seconds of the last code that was taken; -1: none was
    last_step BIGINT NOT NULL
);

CREATE INDEX second_factors_offered ON second_factors (offered_at) WHERE confirmed_at IS NULL;

-- Codes that stand in for a second factor that was lost: each good once.
CREATE TABLE recovery_codes (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) DEFERRABLE,
    -- SHA-256 of the code
    digest BYTEA NOT NULL,
    PRIMARY KEY (account_id, digest)
);

-- 1: it was opened with a second factor
ALTER TABLE sessions ADD COLUMN second_factor BIGINT NOT NULL DEFAULT 0;
