-- How engineers open a kiosk's own page: one-time codes and service cards (firmware/service).
-- +goose Up
CREATE TABLE service_chains (
	id      TEXT PRIMARY KEY,            -- 32 lower-case hex digits, random
	kiosk   TEXT NOT NULL,
	serial  BIGINT NOT NULL,             -- of the first document that had it
	seed    BYTEA NOT NULL,              -- sealed
	top     TEXT NOT NULL,               -- its end, no secret
	made_at BIGINT NOT NULL,
	held_at BIGINT NOT NULL DEFAULT 0,   -- when the kiosk told last that it has it; 0: never
	due     BIGINT NOT NULL,             -- number that is due, as the kiosk told last
	given   BIGINT NOT NULL DEFAULT 0    -- lowest number that was given out; 0: none was
);
CREATE INDEX service_chains_kiosk ON service_chains (kiosk, serial);
CREATE TABLE service_cards (
	key_sha256 BYTEA PRIMARY KEY,        -- of the SubjectPublicKeyInfo
	name       TEXT NOT NULL,            -- as staff call it
	added_at   BIGINT NOT NULL
);
-- What documents are numbered by.
CREATE TABLE service_serials (
	name   TEXT PRIMARY KEY,             -- "last", the last that was given; "cards", that of the last change of cards
	number BIGINT NOT NULL
);

-- +goose Down
DROP TABLE service_serials;
DROP TABLE service_cards;
DROP TABLE service_chains;
