-- What a trust needs beside the unlock: enrolment, organisations, messages that are kept until they are sent, freezes,
-- limits, epochs.
-- +goose Up
ALTER TABLE events ADD COLUMN by_whom TEXT NOT NULL DEFAULT '';        -- of the staff who did it; empty if nobody did

ALTER TABLE kiosks ADD COLUMN site TEXT NOT NULL DEFAULT '';
ALTER TABLE kiosks ADD COLUMN latitude BIGINT;                         -- millionths of a degree, WGS 84; NULL if not known
ALTER TABLE kiosks ADD COLUMN longitude BIGINT;
ALTER TABLE kiosks ADD COLUMN key_sha256 BYTEA;                        -- of the SubjectPublicKeyInfo
ALTER TABLE kiosks ADD COLUMN next_certificate BYTEA;                  -- SHA-256 of the DER; renewed, not used yet
ALTER TABLE kiosks ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;    -- of the newest certificate; 0 if not known
ALTER TABLE kiosks ADD COLUMN quarantined_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE kiosks ADD COLUMN sent_epoch BIGINT NOT NULL DEFAULT 0;    -- in which its journal was last whole at central
ALTER TABLE kiosks ADD COLUMN backed_up BIGINT NOT NULL DEFAULT 0;     -- its last journal entry that a backup has
CREATE TABLE enrolments (
	code_mac   BYTEA PRIMARY KEY,
	kiosk      TEXT NOT NULL,
	kind       TEXT NOT NULL,
	site       TEXT NOT NULL,
	latitude   BIGINT,
	longitude  BIGINT,
	made_at    BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	key_sha256 BYTEA,                    -- of who used it; NULL while nobody did
	certificate BYTEA                    -- what that one was given; DER
);

CREATE TABLE organisations (
	id   TEXT PRIMARY KEY,               -- ODS code, as policy names it
	name TEXT NOT NULL
);
CREATE TABLE positions (
	holder       TEXT NOT NULL REFERENCES holders (id),
	organisation TEXT NOT NULL REFERENCES organisations (id),
	role         TEXT NOT NULL,          -- job role, such as "R8000"
	workgroup    TEXT NOT NULL,          -- empty if there is none
	PRIMARY KEY (holder, organisation, role, workgroup)
);
ALTER TABLE holders ADD COLUMN organisation TEXT NOT NULL DEFAULT '';  -- whose policy holds; empty: the default's
ALTER TABLE holders ADD COLUMN language TEXT NOT NULL DEFAULT 'en';    -- of messages: en, cy
ALTER TABLE holders ADD COLUMN email_changed_at BIGINT NOT NULL DEFAULT 0;  -- 0: never since the holder was added
ALTER TABLE holders ADD COLUMN mobile_changed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE holders ADD COLUMN quarantined_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE holders ADD COLUMN user_name TEXT;                         -- SCIM userName, lower case
ALTER TABLE holders ADD COLUMN external_id TEXT;                       -- SCIM externalId
ALTER TABLE holders ADD COLUMN given_name TEXT NOT NULL DEFAULT '';
ALTER TABLE holders ADD COLUMN family_name TEXT NOT NULL DEFAULT '';
ALTER TABLE holders ADD COLUMN department TEXT NOT NULL DEFAULT '';
ALTER TABLE holders ADD COLUMN employee_number TEXT NOT NULL DEFAULT '';
ALTER TABLE holders ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX holders_user_name ON holders (user_name);
CREATE UNIQUE INDEX holders_external_id ON holders (external_id);
CREATE INDEX cards_holder ON cards (holder);

ALTER TABLE cards ADD COLUMN frozen_at BIGINT NOT NULL DEFAULT 0;      -- 0: it is not
ALTER TABLE cards ADD COLUMN approved_until BIGINT NOT NULL DEFAULT 0; -- a step-up was approved by the RA until then
ALTER TABLE cards ADD COLUMN released_epoch BIGINT NOT NULL DEFAULT 0; -- in which the RA let it be served before all kiosks were back
ALTER TABLE cases ADD COLUMN code_failed BIGINT NOT NULL DEFAULT 0;    -- the message with the code came back
ALTER TABLE cases ADD COLUMN proved_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX cases_kiosk ON cases (kiosk, proved_at);
CREATE INDEX cases_card ON cases (card, proved_at);
ALTER TABLE sends ADD COLUMN address BYTEA;                            -- MAC of where it went
CREATE INDEX sends_address ON sends (address, sent_at);

-- What must be typed to freeze a card: "this was not me".
CREATE TABLE freeze_words (
	word_mac   BYTEA PRIMARY KEY,
	case_id    TEXT NOT NULL,
	card       TEXT NOT NULL,
	expires_at BIGINT NOT NULL
);
CREATE INDEX freeze_words_expires ON freeze_words (expires_at);
-- What counts against a kiosk, a holder or a network.
CREATE TABLE strikes (
	subject TEXT NOT NULL,               -- "kiosk/NAME", "holder/ID", "lockout/ID", "network/IP", "words/IP", "address/IP"
	at      BIGINT NOT NULL,
	why     TEXT NOT NULL
);
CREATE INDEX strikes_subject ON strikes (subject, at);
CREATE INDEX strikes_at ON strikes (at);

-- The outbox: a message is kept, sealed, until it was handed over.
CREATE TABLE messages (
	id         TEXT PRIMARY KEY,         -- 32 lower-case hex digits
	kind       TEXT NOT NULL,
	case_id    TEXT NOT NULL,            -- empty if there is none
	card       TEXT NOT NULL,            -- empty if it is about none
	holder     TEXT NOT NULL,
	channel    TEXT NOT NULL,            -- email, mobile
	language   TEXT NOT NULL,            -- en, cy
	recipient  BYTEA,                    -- sealed; NULL once it is over
	content    BYTEA,                    -- sealed; NULL once it is over
	state      TEXT NOT NULL,            -- waiting, sending, sent, failed
	made_at    BIGINT NOT NULL,
	due_at     BIGINT NOT NULL,          -- not before then is it tried (again)
	dies_at    BIGINT NOT NULL,          -- it is worth nothing after that
	tries      BIGINT NOT NULL DEFAULT 0,
	reference  TEXT NOT NULL DEFAULT '', -- of whoever took it
	failure    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX messages_due ON messages (state, due_at);
CREATE INDEX messages_case ON messages (case_id);
CREATE INDEX messages_reference ON messages (reference);

-- An epoch begins with each restore; the first is 1.
CREATE TABLE epochs (
	number    BIGINT PRIMARY KEY,
	opened_at BIGINT NOT NULL,
	backup_at BIGINT NOT NULL,           -- when the backup was made from which it was restored; 0 of the first
	recovered_at BIGINT NOT NULL DEFAULT 0 -- when all kiosks had sent again what the backup lacks; 0: some are missing
);
ALTER TABLE grants ADD COLUMN epoch BIGINT NOT NULL DEFAULT 1;         -- in which it was recorded
ALTER TABLE grants ADD COLUMN recovered BIGINT NOT NULL DEFAULT 0;     -- it was learnt from a kiosk's journal
CREATE INDEX grants_open ON grants (expires_at) WHERE outcome_at IS NULL;
-- What the journals of kiosks say of grants that a restored central has forgotten.
CREATE TABLE evidence (
	case_id     TEXT PRIMARY KEY,
	card        TEXT NOT NULL,           -- that may have to be imported again
	kiosk       TEXT NOT NULL,
	at          BIGINT NOT NULL,         -- by the kiosk's clock
	base        BIGINT NOT NULL,
	first       BIGINT NOT NULL,
	outcome_at  BIGINT,                  -- NULL: the journal has none
	passcode    TEXT,
	opened      BIGINT,
	rotated     TEXT,
	spent       BIGINT,
	puk_blocked BIGINT,
	taken       BIGINT NOT NULL DEFAULT 0 -- it stands in the card's record
);
CREATE INDEX evidence_card ON evidence (card, taken);

-- Of the processes that share a database one forwards the ledger, and each kiosk's events up to a number are out.
CREATE TABLE leases (
	name   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  BIGINT NOT NULL
);
CREATE TABLE forwarded (
	kiosk TEXT PRIMARY KEY,
	seq   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE evidence;
DROP INDEX grants_open;
ALTER TABLE grants DROP COLUMN recovered;
ALTER TABLE grants DROP COLUMN epoch;
DROP TABLE forwarded;
DROP TABLE leases;
DROP TABLE epochs;
DROP TABLE messages;
DROP TABLE strikes;
DROP TABLE freeze_words;
DROP INDEX sends_address;
ALTER TABLE sends DROP COLUMN address;
DROP INDEX cases_card;
DROP INDEX cases_kiosk;
ALTER TABLE cases DROP COLUMN proved_at;
ALTER TABLE cases DROP COLUMN code_failed;
ALTER TABLE cards DROP COLUMN released_epoch;
ALTER TABLE cards DROP COLUMN approved_until;
ALTER TABLE cards DROP COLUMN frozen_at;
DROP INDEX cards_holder;
DROP INDEX holders_external_id;
DROP INDEX holders_user_name;
ALTER TABLE holders DROP COLUMN changed_at;
ALTER TABLE holders DROP COLUMN employee_number;
ALTER TABLE holders DROP COLUMN department;
ALTER TABLE holders DROP COLUMN family_name;
ALTER TABLE holders DROP COLUMN given_name;
ALTER TABLE holders DROP COLUMN external_id;
ALTER TABLE holders DROP COLUMN user_name;
ALTER TABLE holders DROP COLUMN quarantined_at;
ALTER TABLE holders DROP COLUMN mobile_changed_at;
ALTER TABLE holders DROP COLUMN email_changed_at;
ALTER TABLE holders DROP COLUMN language;
ALTER TABLE holders DROP COLUMN organisation;
DROP TABLE positions;
DROP TABLE organisations;
DROP TABLE enrolments;
ALTER TABLE kiosks DROP COLUMN backed_up;
ALTER TABLE kiosks DROP COLUMN sent_epoch;
ALTER TABLE kiosks DROP COLUMN quarantined_at;
ALTER TABLE kiosks DROP COLUMN expires_at;
ALTER TABLE kiosks DROP COLUMN next_certificate;
ALTER TABLE kiosks DROP COLUMN key_sha256;
ALTER TABLE kiosks DROP COLUMN longitude;
ALTER TABLE kiosks DROP COLUMN latitude;
ALTER TABLE kiosks DROP COLUMN site;
ALTER TABLE events DROP COLUMN by_whom;
