-- +goose Up
-- How far the canary of a split has come, as it writes it itself.
CREATE TABLE canaries (
    model   TEXT   NOT NULL PRIMARY KEY,
    state   TEXT   NOT NULL, -- JSON
    time_us BIGINT NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE canaries;
