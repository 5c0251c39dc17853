-- Codes by which somebody may register. A status 'pending' of an account waits for an operator.
CREATE TABLE invitations (
    -- SHA-256 of the code, in hexadecimal
    digest TEXT PRIMARY KEY NOT NULL,
    -- of who registers by it: in their order, with commas between
    roles TEXT NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
