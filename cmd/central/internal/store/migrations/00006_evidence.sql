-- What auditors and reports ask for, and erasure.
-- +goose Up
ALTER TABLE entries ADD COLUMN signature BYTEA;                      -- the kiosk's, of the head of its chain after this entry
ALTER TABLE entries ADD COLUMN before BYTEA;                         -- of a later journal's first: the chain's hash before it
-- What the body says, to be found by. Empty and 0 of what is older than these columns until it was read, and after erasure.
ALTER TABLE entries ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN at BIGINT NOT NULL DEFAULT 0;         -- by the kiosk's clock
ALTER TABLE entries ADD COLUMN case_id TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN reason TEXT NOT NULL DEFAULT '';
CREATE INDEX entries_unread ON entries (kiosk, log, seq) WHERE kind = '' AND body IS NOT NULL;
CREATE INDEX entries_case ON entries (case_id) WHERE case_id <> '';
CREATE INDEX entries_at ON entries (at) WHERE at > 0;
CREATE INDEX events_case ON events (case_id) WHERE case_id <> '';
CREATE INDEX events_card ON events (card) WHERE card <> '';
CREATE INDEX events_at ON events (at);
CREATE INDEX cases_begun ON cases (begun_at);
CREATE INDEX cases_of_card ON cases (card);

-- The keys with which kiosks signed heads.
CREATE TABLE kiosk_keys (
	kiosk TEXT NOT NULL,
	spki  BYTEA NOT NULL,                -- DER
	PRIMARY KEY (kiosk, spki)
);
-- How large the tree was when it was looked at last on a day: what stands before that is not younger, whatever a kiosk's clock says.
CREATE TABLE tree_days (
	day  TEXT PRIMARY KEY,               -- UTC, such as 2026-11-22
	size BIGINT NOT NULL
);
-- Up to which place of the tree bodies and salts were erased.
CREATE TABLE tree_erased (
	one   BIGINT PRIMARY KEY,            -- 1
	place BIGINT NOT NULL
);

-- +goose Down
DROP TABLE tree_erased;
DROP TABLE tree_days;
DROP TABLE kiosk_keys;
DROP INDEX cases_of_card;
DROP INDEX cases_begun;
DROP INDEX events_at;
DROP INDEX events_card;
DROP INDEX events_case;
DROP INDEX entries_at;
DROP INDEX entries_case;
DROP INDEX entries_unread;
ALTER TABLE entries DROP COLUMN reason;
ALTER TABLE entries DROP COLUMN case_id;
ALTER TABLE entries DROP COLUMN at;
ALTER TABLE entries DROP COLUMN kind;
ALTER TABLE entries DROP COLUMN before;
ALTER TABLE entries DROP COLUMN signature;
