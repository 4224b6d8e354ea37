-- +goose Up
-- What clients said of answers: the last word on each.
CREATE TABLE feedback (
    request TEXT   NOT NULL PRIMARY KEY,
    score   REAL   NOT NULL, -- -1 to 1
    labels  TEXT   NOT NULL, -- one a line
    comment TEXT   NOT NULL,
    time_us BIGINT NOT NULL
) WITHOUT ROWID;

-- What the gateway's own traffic tells of how well targets answer tasks: counts
-- that fade, as they were at time_us. task '' are all of them.
CREATE TABLE evidence (
    target  TEXT   NOT NULL,
    task    TEXT   NOT NULL,
    alpha   REAL   NOT NULL,
    beta    REAL   NOT NULL,
    sound   REAL   NOT NULL,
    flawed  REAL   NOT NULL,
    time_us BIGINT NOT NULL,
    PRIMARY KEY (target, task)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE evidence;
DROP TABLE feedback;
