-- The tree over all evidence (firmware/audit), its checkpoints, and journals that were let begin anew.
-- +goose Up
-- Of the leaf. NULL of what is older than this column, until it stands in the tree, and of what was erased.
ALTER TABLE events ADD COLUMN salt BYTEA;

ALTER TABLE kiosks ADD COLUMN log BIGINT NOT NULL DEFAULT 1;      -- which of its journals central takes
ALTER TABLE kiosks ADD COLUMN log_from BIGINT NOT NULL DEFAULT 0; -- the entry before its first; -1: the kiosk has not told yet
ALTER TABLE kiosks ADD COLUMN log_hash BYTEA;                     -- of the chain there; NULL: zero
CREATE TABLE entries_of_logs (
	kiosk TEXT NOT NULL,
	log   BIGINT NOT NULL,               -- of the kiosk's journals, from 1
	seq   BIGINT NOT NULL,
	body  BYTEA,                         -- NULL once it was erased
	salt  BYTEA,                         -- the same
	hash  BYTEA NOT NULL,                -- of the chain after this entry
	PRIMARY KEY (kiosk, log, seq)
);
INSERT INTO entries_of_logs (kiosk, log, seq, body, salt, hash) SELECT kiosk, 1, seq, body, salt, hash FROM entries;
DROP TABLE entries;
ALTER TABLE entries_of_logs RENAME TO entries;

-- Append-only. place counts from 0 without a gap.
CREATE TABLE tree_leaves (
	place  BIGINT PRIMARY KEY,
	source TEXT NOT NULL,
	number BIGINT NOT NULL,
	leaf   BYTEA NOT NULL,
	UNIQUE (source, number)
);
-- What stands above the leaves, by tlog's StoredHashIndex; what is on level 0 is made of the leaves.
CREATE TABLE tree_hashes (
	place BIGINT PRIMARY KEY,
	hash  BYTEA NOT NULL
);
CREATE TABLE tree_checkpoints (
	epoch     BIGINT NOT NULL,
	size      BIGINT NOT NULL,
	signed_at BIGINT NOT NULL,
	note      TEXT NOT NULL,             -- signed by the tree's key
	witnesses TEXT NOT NULL DEFAULT '',  -- their cosignatures, a line each
	PRIMARY KEY (epoch, size)
);

-- +goose Down
DROP TABLE tree_checkpoints;
DROP TABLE tree_hashes;
DROP TABLE tree_leaves;
CREATE TABLE entries_of_one (
	kiosk TEXT NOT NULL,
	seq   BIGINT NOT NULL,
	body  BYTEA NOT NULL,
	salt  BYTEA NOT NULL,
	hash  BYTEA NOT NULL,
	PRIMARY KEY (kiosk, seq)
);
INSERT INTO entries_of_one (kiosk, seq, body, salt, hash) SELECT kiosk, seq, body, salt, hash FROM entries;
DROP TABLE entries;
ALTER TABLE entries_of_one RENAME TO entries;
ALTER TABLE kiosks DROP COLUMN log_hash;
ALTER TABLE kiosks DROP COLUMN log_from;
ALTER TABLE kiosks DROP COLUMN log;
ALTER TABLE events DROP COLUMN salt;
