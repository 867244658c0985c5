//! The schema: append only.

use perennial_store::Migration;

/// All of it, in order.
pub const MIGRATIONS: [Migration; 1] = [Migration {
    name: "notification_0001",
    sql: "
CREATE TABLE template (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);
CREATE TABLE message (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    decision {uuid},
    profile {uuid} NOT NULL,
    campaign TEXT NOT NULL,
    step TEXT NOT NULL,
    occurrence TEXT NOT NULL,
    address_hash TEXT,
    channel TEXT NOT NULL,
    purpose TEXT NOT NULL,
    template TEXT NOT NULL,
    data TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    claimed_at BIGINT NOT NULL,
    handed_at BIGINT,
    settled_at BIGINT,
    opened_at BIGINT,
    clicked_at BIGINT,
    PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX message_once_a_profile ON message (workspace, campaign, step, profile, occurrence);
CREATE UNIQUE INDEX message_once_an_address ON message (workspace, campaign, step, address_hash, occurrence);
CREATE INDEX message_due ON message (next_at, id) WHERE state = 'claimed';
CREATE INDEX message_handing ON message (handed_at) WHERE state = 'handing';
CREATE INDEX message_newest ON message (workspace, claimed_at, id);
CREATE INDEX message_profile ON message (workspace, profile, claimed_at);
CREATE TABLE suppression (
    workspace TEXT NOT NULL,
    channel TEXT NOT NULL,
    address_hash TEXT NOT NULL,
    everything BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (workspace, channel, address_hash)
);
CREATE TABLE consent (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    channel TEXT NOT NULL,
    purpose TEXT NOT NULL,
    granted BOOLEAN NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (workspace, profile, channel, purpose)
);
CREATE TABLE sending_pause (
    workspace TEXT PRIMARY KEY,
    paused BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
",
}];
