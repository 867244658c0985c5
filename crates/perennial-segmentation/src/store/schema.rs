//! The schema. Append only: a migration that was released is never edited.

use perennial_feed::{FEED_MIGRATIONS, FOLD_MIGRATIONS, OUTBOX_MIGRATIONS};
use perennial_store::Migration;

const OWN: [Migration; 1] = [Migration {
    name: "segmentation_0001",
    sql: "
CREATE TABLE rulebook (
    workspace TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    refold_floor BIGINT NOT NULL,
    complete BIGINT NOT NULL,
    next_number BIGINT NOT NULL,
    refold_after {uuid}
);
CREATE TABLE segment (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    description TEXT NOT NULL,
    rule TEXT NOT NULL,
    allow_unknown_events BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    etag BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);
CREATE TABLE segment_version (
    workspace TEXT NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    rule TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (workspace, number, version)
);
CREATE TABLE membership (
    workspace TEXT NOT NULL,
    number BIGINT NOT NULL,
    profile {uuid} NOT NULL,
    since BIGINT NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    historical BOOLEAN NOT NULL,
    PRIMARY KEY (workspace, number, profile)
);
CREATE TABLE membership_change (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    entered BOOLEAN NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    historical BOOLEAN NOT NULL,
    PRIMARY KEY (workspace, profile, number, at)
);
CREATE TABLE stage (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    stage TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (workspace, profile)
);
CREATE INDEX stage_members ON stage (workspace, stage);
CREATE TABLE stage_change (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    at BIGINT NOT NULL,
    stage TEXT NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    historical BOOLEAN NOT NULL,
    PRIMARY KEY (workspace, profile, at)
);
CREATE TABLE merged (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    into_profile {uuid} NOT NULL,
    PRIMARY KEY (workspace, profile)
);
CREATE TABLE event_name (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (workspace, name)
);
CREATE TABLE answered_request (
    workspace TEXT NOT NULL,
    request_id {uuid} NOT NULL,
    fingerprint {blob} NOT NULL,
    answer {blob} NOT NULL,
    answered_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, request_id)
);
",
}];

/// Every migration of this service's database, in order.
pub fn migrations() -> Vec<Migration> {
    FEED_MIGRATIONS.into_iter().chain(FOLD_MIGRATIONS).chain(OUTBOX_MIGRATIONS).chain(OWN).collect()
}
