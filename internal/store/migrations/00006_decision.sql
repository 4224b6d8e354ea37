-- +goose Up
-- How the model was chosen, of requests for which it was: as JSON, with the
-- candidates, their scores and why some were left out.
CREATE TABLE decisions (
    request  TEXT NOT NULL PRIMARY KEY,
    task     TEXT NOT NULL,
    decision TEXT NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE decisions;
