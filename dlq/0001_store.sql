-- The store's first shape. The number of this file is PRAGMA user_version after it.
--
-- Times are Unix milliseconds. Nothing is indexed by a random or hashed value: keys ascend, so
-- that a commit touches few pages. Unsigned 64-bit numbers are kept as the signed one of the same
-- bits. BLOBs come last in their rows: what lists need is read without them.

-- 'uid': the store's random id, the stream of its outbox.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- The last id handed out of 'dead_letters', 'outbox' and 'queue'. They start at Unix milliseconds
-- and never repeat, not even after a row is gone or the store is made anew.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE dead_letters (
    id               INTEGER PRIMARY KEY,
    export           TEXT,               -- NULL: a line that is not an event
    state            INTEGER NOT NULL,   -- 0 dead, 1 replaying, 2 replayed
    reason           TEXT NOT NULL,
    source           TEXT NOT NULL,
    delivery_id      TEXT NOT NULL,
    stream           BLOB NOT NULL,      -- 16 bytes
    offset           INTEGER NOT NULL,
    part             INTEGER NOT NULL,   -- which of several events of one line
    accepted_at      INTEGER NOT NULL,
    audit_id         TEXT,               -- the envelope; NULL where there is no event
    timestamp        TEXT,
    event_kind       TEXT,
    severity         TEXT,
    agent_id         TEXT,
    attempts         INTEGER NOT NULL,
    first_attempt_at INTEGER,
    last_attempt_at  INTEGER,
    last_status      INTEGER,
    last_error       TEXT NOT NULL,
    replays          INTEGER NOT NULL,   -- times replayed in vain
    depth            INTEGER NOT NULL,   -- 1: itself tells of a dead letter
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    response         TEXT,
    text             BLOB NOT NULL
);

-- For lists of one export, for replaying it, and for what makes room first.
CREATE INDEX dead_letters_by_export ON dead_letters (export, state);

-- What would otherwise be COUNT and SUM at start. Malformed lines: export '', and their source;
-- dead letters of an export: source ''.
CREATE TABLE dead_letter_totals (
    export         TEXT NOT NULL,
    source         TEXT NOT NULL,
    letters        INTEGER NOT NULL,     -- dead or replaying
    bytes          INTEGER NOT NULL,     -- of their texts
    replayed       INTEGER NOT NULL,
    replayed_bytes INTEGER NOT NULL,
    PRIMARY KEY (export, source)
) WITHOUT ROWID;

-- Chunks of 1 to 256 events, numbered seq, seq + 1, …; a waiting retry has a chunk of its own.
CREATE TABLE queue (
    export  TEXT NOT NULL,
    seq     INTEGER NOT NULL,            -- number of the first event
    events  INTEGER NOT NULL,
    due_at  INTEGER,
    settled BLOB,                        -- a bit for each settled event; NULL: none is
    chunk   BLOB NOT NULL,
    PRIMARY KEY (export, seq)
) WITHOUT ROWID;

-- File sources that have started once: for `read_from: end`.
CREATE TABLE file_sources (
    source     TEXT PRIMARY KEY,
    started_at INTEGER NOT NULL
) WITHOUT ROWID;

-- AUTOINCREMENT: a late checkpoint of a forgotten file must never meet another one's row.
CREATE TABLE files (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    source     TEXT NOT NULL,
    uid        BLOB NOT NULL,            -- 16 bytes, the stream of its events
    path       BLOB NOT NULL,
    device     INTEGER NOT NULL,
    inode      INTEGER NOT NULL,
    head_len   INTEGER NOT NULL,
    head_hash  BLOB NOT NULL,            -- 32 bytes
    watermark  INTEGER NOT NULL,
    size       INTEGER NOT NULL,         -- of the file when this was saved
    done       INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    settled    BLOB NOT NULL             -- ranges above the watermark
);

CREATE INDEX files_by_source ON files (source);

-- Own events, written in the transaction of what caused them, until they are settled.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY,
    about      TEXT,                     -- the export that never gets it
    created_at INTEGER NOT NULL,
    text       TEXT NOT NULL
);

-- webhook.dlq events that wait to be told as one when their minute is over.
CREATE TABLE folds (
    export   TEXT NOT NULL,              -- '': a line that is not an event
    reason   TEXT NOT NULL,
    minute   INTEGER NOT NULL,           -- Unix minutes
    count    INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    last_id  INTEGER NOT NULL,
    PRIMARY KEY (export, reason)
) WITHOUT ROWID;
