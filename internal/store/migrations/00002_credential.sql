-- +goose Up
-- The id of the credential by which the vendor knows whose the object is.
ALTER TABLE objects ADD COLUMN credential TEXT NOT NULL DEFAULT '';
CREATE INDEX objects_by_owner ON objects (owner, kind, created_us);

-- +goose Down
DROP INDEX objects_by_owner;
ALTER TABLE objects DROP COLUMN credential;
