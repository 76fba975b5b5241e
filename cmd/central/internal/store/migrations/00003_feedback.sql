-- What holders had to say, and kiosks whose case was opened.
-- +goose Up
-- Nothing here leads back to a walk: no kiosk, no minute, no case. place is random and, in SQLite, where the row stands, so that not
-- even the order tells anything.
CREATE TABLE feedback (
	place   INTEGER PRIMARY KEY,
	id      TEXT NOT NULL UNIQUE,        -- 32 lower-case hex digits, random, the kiosk's
	day     TEXT NOT NULL,               -- UTC, such as 2026-11-22
	site    TEXT NOT NULL,               -- of the kiosk; empty if not known
	stars   BIGINT NOT NULL,             -- 1 to 5
	comment BYTEA,                       -- sealed; NULL if there is none
	contact BYTEA                        -- sealed; NULL if there is none
);
CREATE INDEX feedback_day ON feedback (day);

ALTER TABLE kiosks ADD COLUMN case_opened_at BIGINT NOT NULL DEFAULT 0;  -- by the kiosk's clock; 0: it never was
ALTER TABLE kiosks ADD COLUMN case_cleared_at BIGINT NOT NULL DEFAULT 0; -- by the kiosk's clock; 0: not since then
ALTER TABLE kiosks ADD COLUMN case_told_at BIGINT NOT NULL DEFAULT 0;    -- when central learnt last that it was opened

-- +goose Down
ALTER TABLE kiosks DROP COLUMN case_told_at;
ALTER TABLE kiosks DROP COLUMN case_cleared_at;
ALTER TABLE kiosks DROP COLUMN case_opened_at;
DROP TABLE feedback;
