-- Codes by which the login host hands a session on to a further host: each good once, for a minute.
CREATE TABLE login_codes (
    -- SHA-256 of the code
    digest BYTEA PRIMARY KEY NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    -- the one that it is good for
    host TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of what the browser that asked keeps for that host
    ticket BYTEA NOT NULL,
    -- 1: the browser is to keep the cookie when it is closed
    remembered BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
