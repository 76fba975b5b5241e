-- One schema for SQLite and PostgreSQL: BYTEA, BIGINT milliseconds since the Unix epoch, no engine's own types.
-- +goose Up
CREATE TABLE kiosks (
	name        TEXT PRIMARY KEY,
	kind        TEXT NOT NULL,           -- kiosk, desk
	certificate BYTEA NOT NULL,          -- SHA-256 of the DER
	state       TEXT NOT NULL,           -- active, disabled
	added_at    BIGINT NOT NULL
);
CREATE TABLE holders (
	id          TEXT PRIMARY KEY,
	name        TEXT NOT NULL,
	active      BIGINT NOT NULL,
	email       BYTEA,                   -- sealed; NULL if there is none
	mobile      BYTEA,                   -- sealed; NULL if there is none
	wrong_codes BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE cards (
	serial      TEXT PRIMARY KEY,
	profile     TEXT NOT NULL,
	holder      TEXT NOT NULL REFERENCES holders (id),
	certificate BYTEA,                   -- DER; NULL if the card cannot prove itself
	revoked     BIGINT NOT NULL,
	settled     BIGINT NOT NULL DEFAULT 0,
	puk_blocked BIGINT NOT NULL DEFAULT 0,
	wrong_codes BIGINT NOT NULL DEFAULT 0
);
-- What was imported for cards; the secrets of the other generations are derived.
CREATE TABLE secrets (
	card        TEXT NOT NULL REFERENCES cards (serial),
	generation  BIGINT NOT NULL,
	sealed      BYTEA NOT NULL,
	PRIMARY KEY (card, generation)
);
CREATE TABLE cases (
	id              TEXT PRIMARY KEY,
	card            TEXT NOT NULL REFERENCES cards (serial),
	holder          TEXT NOT NULL REFERENCES holders (id),
	kiosk           TEXT NOT NULL REFERENCES kiosks (name),
	state           TEXT NOT NULL,
	reason          TEXT NOT NULL,
	begun_at        BIGINT NOT NULL,
	expires_at      BIGINT NOT NULL,
	nonce           BYTEA,
	hpke            BYTEA,
	code_mac        BYTEA,
	code_channel    TEXT NOT NULL,
	code_masked     TEXT NOT NULL,
	code_sent_at    BIGINT NOT NULL,
	code_expires_at BIGINT NOT NULL,
	attempts        BIGINT NOT NULL,
	sends           BIGINT NOT NULL,
	puk_tries_left  BIGINT NOT NULL,
	puk_read_at     BIGINT NOT NULL      -- 0 if the card does not tell
);
-- A card has one open case at a kiosk.
CREATE UNIQUE INDEX cases_open ON cases (card, kiosk) WHERE state NOT IN ('settled', 'closed');
CREATE TABLE sends (
	case_id TEXT NOT NULL REFERENCES cases (id),
	sent_at BIGINT NOT NULL,
	card    TEXT NOT NULL,
	holder  TEXT NOT NULL,
	kiosk   TEXT NOT NULL,
	PRIMARY KEY (case_id, sent_at)
);
CREATE INDEX sends_card ON sends (card, sent_at);
CREATE INDEX sends_holder ON sends (holder, sent_at);
CREATE INDEX sends_kiosk ON sends (kiosk, sent_at);
CREATE TABLE grants (
	case_id    TEXT PRIMARY KEY REFERENCES cases (id),
	card       TEXT NOT NULL REFERENCES cards (serial),
	number     BIGINT NOT NULL,
	kiosk      TEXT NOT NULL,
	base       BIGINT NOT NULL,
	first      BIGINT NOT NULL,
	tries      BIGINT NOT NULL,
	booked     BIGINT NOT NULL,
	issued_at  BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	outcome_at BIGINT,                   -- NULL until the kiosk has reported
	passcode   TEXT,
	opened     BIGINT,
	rotated    TEXT,
	spent      BIGINT,                   -- wrong PUKs that the card counted; -1 if not known
	puk_blocked BIGINT,
	UNIQUE (card, number)
);
CREATE INDEX grants_kiosk ON grants (kiosk);
-- What was answered to a request, so that it can be answered again.
CREATE TABLE answers (
	kiosk    TEXT NOT NULL,
	route    TEXT NOT NULL,
	key      TEXT NOT NULL,
	body_mac BYTEA NOT NULL,
	case_id  TEXT NOT NULL,              -- empty where there is none
	at       BIGINT NOT NULL,
	status   BIGINT NOT NULL,            -- HTTP; 0 while the effect is under way
	body     BYTEA,                      -- NULL once it died with its case
	dies_at  BIGINT NOT NULL,
	PRIMARY KEY (kiosk, route, key)
);
CREATE INDEX answers_case ON answers (case_id);
CREATE INDEX answers_dies ON answers (dies_at);
-- Append-only. Numbered by kiosk, so that kiosks do not wait for one another; all events of a case are of one.
CREATE TABLE events (
	kiosk   TEXT NOT NULL,               -- empty where there is none
	seq     BIGINT NOT NULL,
	at      BIGINT NOT NULL,
	kind    TEXT NOT NULL,
	case_id TEXT NOT NULL,
	card    TEXT NOT NULL,
	note    TEXT NOT NULL,
	PRIMARY KEY (kiosk, seq)
);
-- Append-only: the journals of the kiosks.
CREATE TABLE entries (
	kiosk TEXT NOT NULL,
	seq   BIGINT NOT NULL,
	body  BYTEA NOT NULL,
	salt  BYTEA NOT NULL,
	hash  BYTEA NOT NULL,                -- of the chain after this entry
	PRIMARY KEY (kiosk, seq)
);

-- +goose Down
DROP TABLE entries;
DROP TABLE events;
DROP TABLE answers;
DROP TABLE grants;
DROP TABLE sends;
DROP TABLE cases;
DROP TABLE secrets;
DROP TABLE cards;
DROP TABLE holders;
DROP TABLE kiosks;
