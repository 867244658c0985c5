//! The tables of a feed and its reader. They stand in the database of the service that owns them.

use perennial_store::Migration;

/// Tables for a service that appends to a feed of its own.
pub const FEED_MIGRATIONS: [Migration; 1] = [Migration {
    name: "feed_0001",
    sql: "
CREATE TABLE feed_epoch (epoch TEXT NOT NULL, partitions BIGINT NOT NULL);
CREATE TABLE feed_head (
    partition BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    time BIGINT NOT NULL,
    progress_seq BIGINT NOT NULL,
    progress_instant BIGINT NOT NULL
);
CREATE TABLE feed_record (
    partition BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    kind TEXT NOT NULL,
    min_reader BIGINT NOT NULL,
    time BIGINT NOT NULL,
    origin_seq BIGINT NOT NULL,
    origin_instant BIGINT NOT NULL,
    historical BOOLEAN NOT NULL,
    correction BOOLEAN NOT NULL,
    payload {blob} NOT NULL,
    PRIMARY KEY (partition, seq)
);
",
}];

/// Tables for a service that folds other feeds into a state for each profile.
pub const FOLD_MIGRATIONS: [Migration; 3] = [FOLD, ERASED, PARTING];

const FOLD: Migration = Migration {
    name: "fold_0001",
    sql: "
CREATE TABLE checkpoint (
    consumer TEXT NOT NULL,
    feed TEXT NOT NULL,
    partition BIGINT NOT NULL,
    epoch TEXT NOT NULL,
    seq BIGINT NOT NULL,
    previous BIGINT NOT NULL,
    PRIMARY KEY (consumer, feed, partition)
);
CREATE TABLE profile_state (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    lane BIGINT NOT NULL,
    partition BIGINT NOT NULL,
    state TEXT NOT NULL,
    timers TEXT NOT NULL,
    due BIGINT,
    PRIMARY KEY (workspace, profile)
);
CREATE INDEX profile_state_due ON profile_state (lane, due) WHERE due IS NOT NULL;
CREATE TABLE transfer (
    workspace TEXT NOT NULL,
    merge_id {uuid} NOT NULL,
    profile {uuid} NOT NULL,
    state TEXT,
    timers TEXT NOT NULL,
    PRIMARY KEY (workspace, merge_id)
);
CREATE TABLE parked (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    partition BIGINT NOT NULL,
    error TEXT NOT NULL,
    parked_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, profile)
);
CREATE TABLE errand (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    lane BIGINT NOT NULL,
    at BIGINT NOT NULL,
    after {uuid},
    PRIMARY KEY (workspace, name, lane)
);
CREATE TABLE parked_record (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    ordinal {uuid} NOT NULL,
    feed TEXT NOT NULL,
    rank BIGINT NOT NULL,
    record {blob} NOT NULL,
    PRIMARY KEY (workspace, profile, ordinal)
);
",
};

/// Profiles that were erased, so that nothing of them is taken in again.
const ERASED: Migration = Migration {
    name: "fold_0002_erased",
    sql: "
CREATE TABLE erased_profile (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    erasure {uuid} NOT NULL,
    PRIMARY KEY (workspace, profile)
);
",
};

/// Sides of undone merges that are still to be recomputed.
const PARTING: Migration = Migration {
    name: "fold_0003_parting",
    sql: "
CREATE TABLE parting (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    merge_id {uuid} NOT NULL,
    partition BIGINT NOT NULL,
    unmerge {blob} NOT NULL,
    PRIMARY KEY (workspace, profile, merge_id)
);
CREATE INDEX parting_partition ON parting (partition);
",
};

/// The table of a service that sends commands to others.
pub const OUTBOX_MIGRATIONS: [Migration; 2] = [OUTBOX, WHOSE];

const OUTBOX: Migration = Migration {
    name: "outbox_0001",
    sql: "
CREATE TABLE outbox (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    target TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    payload {blob} NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX outbox_due ON outbox (target, not_before);
",
};

/// Whom a command is about, so that it can be taken back.
const WHOSE: Migration = Migration {
    name: "outbox_0002_profile",
    sql: "
ALTER TABLE outbox ADD COLUMN profile {uuid};
",
};
