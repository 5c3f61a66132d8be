-- The disk overflow of each export's queue, and what an export must remember of its endpoints.
-- Totals of what is found here are counted in the same transaction, by the program: it knows the
-- bits of a row's settled events.

-- Retries that wait, one a row, in the order in which they are due.
CREATE TABLE waiting (
    export TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    number INTEGER NOT NULL,             -- of the counter 'queue', which a moved event keeps
    chunk  BLOB NOT NULL,                -- of this one event
    PRIMARY KEY (export, due_at, number)
) WITHOUT ROWID;

INSERT INTO waiting (export, due_at, number, chunk)
    SELECT export, due_at, seq, chunk FROM queue WHERE due_at IS NOT NULL AND events = 1;
DELETE FROM queue WHERE due_at IS NOT NULL AND events = 1;

-- From here on 'queue' is a FIFO of chunks of 1 to 256 events, numbered seq, seq + 1, …
ALTER TABLE queue DROP COLUMN due_at;

-- What would otherwise be COUNT and SUM at start.
CREATE TABLE queue_totals (
    export  TEXT PRIMARY KEY,
    events  INTEGER NOT NULL,            -- unsettled, in 'queue'
    waiting INTEGER NOT NULL,            -- in 'waiting'
    bytes   INTEGER NOT NULL             -- of the chunks of both
) WITHOUT ROWID;

-- Endpoints that are paused or down; one that is well has no row.
CREATE TABLE endpoints (
    export      TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    state       INTEGER NOT NULL,        -- 0 paused, 1 down
    reason      TEXT NOT NULL,
    last_status INTEGER,
    since       INTEGER NOT NULL,
    probes      INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,           -- of the settings that were refused
    PRIMARY KEY (export, endpoint)
) WITHOUT ROWID;

-- When requests ended that still count against a rate limit, in Unix microseconds.
CREATE TABLE limiters (
    export TEXT PRIMARY KEY,
    ended  BLOB NOT NULL
) WITHOUT ROWID;
