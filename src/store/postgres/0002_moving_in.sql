-- How the password is hashed, without its salt: equal texts cost equal time. Null: not known.
ALTER TABLE accounts ADD COLUMN password_scheme TEXT COLLATE "C";

-- Which schemes there are is asked all the time, and is few rows of this.
CREATE INDEX accounts_by_password_scheme ON accounts (password_scheme)
    WHERE password_scheme IS NOT NULL;

-- A JSON object of scalars and lists of scalars
ALTER TABLE accounts ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
