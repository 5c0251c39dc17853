-- When a revocation was made, by the clock of the database: how late a node hears of it is measured
-- by the same clock. Null: by a binary of before.
ALTER TABLE revocations ADD COLUMN revoked_at BIGINT;
