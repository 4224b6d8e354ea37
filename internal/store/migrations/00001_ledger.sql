-- +goose Up
CREATE TABLE requests (
    id          TEXT   NOT NULL PRIMARY KEY,
    time_us     BIGINT NOT NULL, -- Unix microseconds, when the request came
    key         TEXT   NOT NULL,
    team        TEXT   NOT NULL,
    session     TEXT   NOT NULL,
    model       TEXT   NOT NULL, -- asked for
    answered    TEXT   NOT NULL, -- model that answered
    target      TEXT   NOT NULL,
    op          TEXT   NOT NULL,
    stream      INT    NOT NULL,
    strategy    TEXT   NOT NULL,
    status      INT    NOT NULL,
    outcome     TEXT   NOT NULL,
    input       BIGINT NOT NULL,
    cached_read BIGINT NOT NULL,
    cache_write BIGINT NOT NULL,
    output      BIGINT NOT NULL,
    reasoning   BIGINT NOT NULL,
    cost_nano   BIGINT NOT NULL,
    estimated   INT    NOT NULL,
    attempts    INT    NOT NULL,
    duration_us BIGINT NOT NULL,
    first_us    BIGINT NOT NULL, -- first byte to the client, from time_us; 0: none
    -- The attempt of a request that had one, and it succeeded: most. It has
    -- no row of its own.
    credential  TEXT   NOT NULL,
    begun_us    BIGINT NOT NULL,
    content_us  BIGINT NOT NULL,
    ended_us    BIGINT NOT NULL
) WITHOUT ROWID; -- ids sort by time, so rows are appended and ranges of time are ranges of ids

-- The attempts of all other requests. Times are microseconds from the
-- request's time_us.
CREATE TABLE tries (
    request     TEXT   NOT NULL,
    n           INT    NOT NULL,
    model       TEXT   NOT NULL,
    target      TEXT   NOT NULL,
    credential  TEXT   NOT NULL,
    start_us    BIGINT NOT NULL,
    first_us    BIGINT NOT NULL,
    end_us      BIGINT NOT NULL,
    status      INT    NOT NULL,
    outcome     TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    input       BIGINT NOT NULL,
    cached_read BIGINT NOT NULL,
    cache_write BIGINT NOT NULL,
    output      BIGINT NOT NULL,
    reasoning   BIGINT NOT NULL,
    cost_nano   BIGINT NOT NULL,
    estimated   INT    NOT NULL,
    PRIMARY KEY (request, n)
) WITHOUT ROWID;

-- Every attempt.
CREATE VIEW attempts AS
    SELECT request, n, model, target, credential, start_us, first_us, end_us, status, outcome, detail,
        input, cached_read, cache_write, output, reasoning, cost_nano, estimated FROM tries
    UNION ALL
    SELECT id, 1, answered, target, credential, begun_us, content_us, ended_us, status, 'ok', '',
        input, cached_read, cache_write, output, reasoning, cost_nano, estimated FROM requests WHERE ended_us > 0;

-- What vendors keep for us: an id binds to the target that made it.
CREATE TABLE objects (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    target     TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    created_us BIGINT NOT NULL
);

-- +goose Down
DROP TABLE objects;
DROP VIEW attempts;
DROP TABLE tries;
DROP TABLE requests;
