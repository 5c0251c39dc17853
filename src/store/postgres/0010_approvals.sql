-- 1: the account waited for approval when it was locked or disabled, and is to wait again afterwards
ALTER TABLE accounts ADD COLUMN unapproved BIGINT NOT NULL DEFAULT 0;
