-- Codes by which the login host hands a session on to a further host: each good once, for a minute.
CREATE TABLE login_codes (
    -- SHA-256 of the code
    digest BLOB PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL,
    -- the one that it is good for
    host TEXT NOT NULL,
    -- SHA-256 of what the browser that asked keeps for that host
    ticket BLOB NOT NULL,
    -- 1: the browser is to keep the cookie when it is closed
    remembered INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
