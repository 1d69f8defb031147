-- Written by SQLite and PostgreSQL alike. Amounts are decimal strings of units: they outgrow BIGINT. Parts are millionths.

-- The chain, and the newest block that the other tables hold. One row.
CREATE TABLE chain (
    genesis TEXT NOT NULL PRIMARY KEY,
    first BIGINT NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    millis BIGINT NOT NULL
);

-- Requests: those that are open as they were made, the others as they ended, or as an audit has left them.
CREATE TABLE requests (
    id BIGINT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    requester TEXT NOT NULL,
    evaluator TEXT NOT NULL,
    created BIGINT NOT NULL,
    created_millis BIGINT,
    closed BIGINT,
    closed_millis BIGINT,
    summary TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX requests_by_state ON requests (state, id);
CREATE INDEX requests_by_requester ON requests (requester, id);
CREATE INDEX requests_by_evaluator ON requests (evaluator, id);
CREATE INDEX requests_by_end ON requests (closed, id);

-- Work in closed requests. Place: answers in the order of the draw, then members of the last committee.
CREATE TABLE duties (
    request BIGINT NOT NULL,
    place BIGINT NOT NULL,
    role TEXT NOT NULL,
    operator TEXT NOT NULL,
    model TEXT NOT NULL,
    PRIMARY KEY (request, place)
);
CREATE INDEX duties_by_operator ON duties (operator, request);
CREATE INDEX duties_by_model ON duties (model, request);

-- What happened to operators beside their duties: slashes, compensation, audits.
CREATE TABLE happenings (
    block BIGINT NOT NULL,
    place BIGINT NOT NULL,
    millis BIGINT NOT NULL,
    kind TEXT NOT NULL,
    operator TEXT,
    request BIGINT,
    detail TEXT NOT NULL,
    PRIMARY KEY (block, place)
);
CREATE INDEX happenings_by_operator ON happenings (operator, block, place);
CREATE INDEX happenings_by_request ON happenings (request, block, place);

-- An operator's day (UTC), as days since 1970.
CREATE TABLE operator_days (
    operator TEXT NOT NULL,
    day BIGINT NOT NULL,
    answers BIGINT NOT NULL,
    scored BIGINT NOT NULL,
    quality BIGINT NOT NULL,
    scores BIGINT NOT NULL,
    agreed BIGINT NOT NULL,
    agreement BIGINT NOT NULL,
    missed BIGINT NOT NULL,
    earned TEXT NOT NULL,
    slashed TEXT NOT NULL,
    PRIMARY KEY (operator, day)
);

-- A generator's answers as an evaluator scored them.
CREATE TABLE model_totals (
    evaluator TEXT NOT NULL,
    model TEXT NOT NULL,
    drawn BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    scored BIGINT NOT NULL,
    quality BIGINT NOT NULL,
    latency BIGINT NOT NULL,
    paid TEXT NOT NULL,
    PRIMARY KEY (evaluator, model)
);

-- Answers of two generators to one question, judged by one committee: the sums of what the chain kept of the requests that the one won
-- and the other; of an equal quality, half each. `one` is the smaller id. `squares` is the sum of the squares of what it kept.
CREATE TABLE duels (
    evaluator TEXT NOT NULL,
    one TEXT NOT NULL,
    other TEXT NOT NULL,
    number BIGINT NOT NULL,
    won DOUBLE PRECISION NOT NULL,
    lost DOUBLE PRECISION NOT NULL,
    squares DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (evaluator, one, other)
);

-- Names of models, as the registry has them.
CREATE TABLE models (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL
);
