-- +goose Up
-- Counts beside those that every request has: cache writes for an hour, audio,
-- images, searches. n is the attempt, 0 for the request as a whole.
CREATE TABLE kinds (
    request TEXT   NOT NULL,
    n       INT    NOT NULL,
    kind    TEXT   NOT NULL,
    amount  BIGINT NOT NULL,
    PRIMARY KEY (request, n, kind)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE kinds;
