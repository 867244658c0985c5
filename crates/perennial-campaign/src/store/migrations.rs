//! The schema, append-only.

use perennial_feed::{FEED_MIGRATIONS, FOLD_MIGRATIONS, OUTBOX_MIGRATIONS};
use perennial_store::Migration;

/// All steps, in order.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    FEED_MIGRATIONS.into_iter().chain(FOLD_MIGRATIONS).chain(OUTBOX_MIGRATIONS).chain(OWN).collect()
}

const OWN: [Migration; 3] = [FIRST, SECOND, THIRD];

const FIRST: Migration = Migration {
    name: "campaign_0001",
    sql: "
CREATE TABLE campaign (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);
CREATE TABLE campaign_version (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (workspace, name, version)
);
CREATE TABLE campaign_revision (one BIGINT PRIMARY KEY, revision BIGINT NOT NULL);
INSERT INTO campaign_revision (one, revision) VALUES (1, 0);
CREATE TABLE workspace_pause (
    workspace TEXT PRIMARY KEY,
    paused BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE TABLE decision (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    profile {uuid} NOT NULL,
    at BIGINT NOT NULL,
    ord BIGINT NOT NULL,
    campaign TEXT NOT NULL,
    version BIGINT NOT NULL,
    occurrence TEXT NOT NULL,
    step TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reasons TEXT NOT NULL,
    runner_up TEXT NOT NULL,
    priority {double} NOT NULL,
    runner_up_priority {double} NOT NULL,
    delivery TEXT NOT NULL,
    delivery_reason TEXT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX decision_profile ON decision (workspace, profile, at, ord);
CREATE INDEX decision_campaign ON decision (workspace, campaign, outcome, at, id);
CREATE INDEX decision_at ON decision (workspace, at, id);
CREATE TABLE exposure (
    workspace TEXT NOT NULL,
    campaign TEXT NOT NULL,
    profile {uuid} NOT NULL,
    held_out BOOLEAN NOT NULL,
    share {double} NOT NULL,
    entered BIGINT NOT NULL,
    matures BIGINT NOT NULL,
    pre_profit BIGINT NOT NULL,
    predicted BIGINT NOT NULL,
    converted BOOLEAN NOT NULL,
    revenue BIGINT NOT NULL,
    profit BIGINT NOT NULL,
    incentive BIGINT NOT NULL,
    PRIMARY KEY (workspace, campaign, profile)
);
CREATE INDEX exposure_profile ON exposure (workspace, profile);
",
};

const SECOND: Migration = Migration {
    name: "campaign_0002",
    sql: "
ALTER TABLE campaign_version ADD COLUMN offers TEXT NOT NULL DEFAULT '{}';
ALTER TABLE exposure ADD COLUMN expected BIGINT NOT NULL DEFAULT 0;
CREATE TABLE campaign_lift (
    workspace TEXT NOT NULL,
    campaign TEXT NOT NULL,
    at BIGINT NOT NULL,
    share {double} NOT NULL,
    error {double} NOT NULL,
    PRIMARY KEY (workspace, campaign, at)
);
",
};

/// For whom a decision was made before its profile became another one: absent while it is still itself.
const THIRD: Migration = Migration {
    name: "campaign_0003",
    sql: "
ALTER TABLE decision ADD COLUMN made_for {uuid};
CREATE INDEX decision_made_for ON decision (workspace, made_for) WHERE made_for IS NOT NULL;
",
};
