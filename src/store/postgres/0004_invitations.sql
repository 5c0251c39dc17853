-- Codes by which somebody may register. A status 'pending' of an account waits for an operator.
CREATE TABLE invitations (
    -- SHA-256 of the code, in hexadecimal
    digest TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    -- of who registers by it: in their order, with commas between
    roles TEXT NOT NULL,
    uses BIGINT NOT NULL,
    used BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
