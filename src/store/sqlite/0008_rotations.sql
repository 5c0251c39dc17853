-- When a rotated key would have ended by itself: its successor is to live as long as it was made for.
-- Null: it was not rotated. 9223372036854775807: never.
ALTER TABLE api_keys ADD COLUMN would_expire_at INTEGER;
