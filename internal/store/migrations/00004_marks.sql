-- +goose Up
-- What is told of few requests. n is the attempt: it was made beside a slow one
-- (hedge), or goes on with an answer that broke (resume); 0 is the request as a
-- whole: degraded, at this level.
CREATE TABLE marks (
    request TEXT NOT NULL,
    n       INT  NOT NULL,
    mark    TEXT NOT NULL,
    level   INT  NOT NULL,
    PRIMARY KEY (request, n, mark)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE marks;
