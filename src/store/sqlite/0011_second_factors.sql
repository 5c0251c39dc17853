-- What an account's codes are made of beside its password, sealed under a master key that is not here.
CREATE TABLE second_factors (
    account_id TEXT PRIMARY KEY NOT NULL REFERENCES accounts (id),
    sealed BLOB NOT NULL,
    -- which master key opens it
    master TEXT NOT NULL,
    offered_at INTEGER NOT NULL,
    -- null until its owner has shown a code
    confirmed_at INTEGER,
    -- the step of 30 seconds of the last code that was taken; -1: none was
    last_step INTEGER NOT NULL
) STRICT;

CREATE INDEX second_factors_offered ON second_factors (offered_at) WHERE confirmed_at IS NULL;

-- Codes that stand in for a second factor that was lost: each good once.
CREATE TABLE recovery_codes (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- SHA-256 of the code
    digest BLOB NOT NULL,
    PRIMARY KEY (account_id, digest)
) STRICT;

-- 1: it was opened with a second factor
ALTER TABLE sessions ADD COLUMN second_factor INTEGER NOT NULL DEFAULT 0;
