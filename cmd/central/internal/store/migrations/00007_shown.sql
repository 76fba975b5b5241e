-- The highest head of its journal that a kiosk has shown when it began a case. Entries up to there may not be delivered yet.
-- +goose Up
ALTER TABLE kiosks ADD COLUMN shown_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE kiosks ADD COLUMN shown_hash BYTEA;                    -- of the chain there; NULL: zero
ALTER TABLE kiosks ADD COLUMN shown_at BIGINT NOT NULL DEFAULT 0;  -- when first

-- +goose Down
ALTER TABLE kiosks DROP COLUMN shown_at;
ALTER TABLE kiosks DROP COLUMN shown_hash;
ALTER TABLE kiosks DROP COLUMN shown_seq;
