//! The schema: append only.

use perennial_store::Migration;

/// All of it, in order.
pub const MIGRATIONS: [Migration; 2] = [FIRST, SECOND];

const FIRST: Migration = Migration {
    name: "loyalty_0001",
    sql: "
CREATE TABLE offer (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    parsed TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);
CREATE TABLE coupon (
    workspace TEXT NOT NULL,
    code TEXT NOT NULL,
    issue_id {uuid} NOT NULL,
    offer TEXT NOT NULL,
    profile {uuid} NOT NULL,
    campaign TEXT NOT NULL,
    state TEXT NOT NULL,
    promised BIGINT NOT NULL,
    currency TEXT NOT NULL,
    budget TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    valid_from BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    order_id TEXT,
    reserved_until BIGINT,
    discount BIGINT,
    excess BIGINT NOT NULL,
    used BOOLEAN NOT NULL,
    sequence BIGINT NOT NULL,
    due BIGINT,
    PRIMARY KEY (workspace, code)
);
CREATE UNIQUE INDEX coupon_issue ON coupon (workspace, issue_id);
CREATE INDEX coupon_due ON coupon (due) WHERE due IS NOT NULL;
CREATE INDEX coupon_profile ON coupon (workspace, profile);
CREATE INDEX coupon_order ON coupon (workspace, order_id) WHERE order_id IS NOT NULL;
CREATE INDEX coupon_newest ON coupon (workspace, issued_at, code);
CREATE TABLE ledger_account (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    unit TEXT NOT NULL,
    balance BIGINT NOT NULL,
    floor BIGINT,
    PRIMARY KEY (workspace, name)
);
CREATE TABLE ledger_entry (
    workspace TEXT NOT NULL,
    coupon TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (workspace, coupon, sequence)
);
CREATE TABLE ledger_posting (
    workspace TEXT NOT NULL,
    coupon TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    account TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (workspace, coupon, sequence, account)
);
CREATE TABLE redemption_exception (
    workspace TEXT NOT NULL,
    code TEXT NOT NULL,
    order_id TEXT NOT NULL,
    offer TEXT NOT NULL,
    reason TEXT NOT NULL,
    cost BIGINT NOT NULL,
    apart BOOLEAN NOT NULL,
    order_at BIGINT NOT NULL,
    undone BOOLEAN NOT NULL,
    PRIMARY KEY (workspace, code, order_id)
);
CREATE INDEX redemption_exception_order ON redemption_exception (workspace, order_id);
CREATE TABLE merged_profile (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    into_profile {uuid} NOT NULL,
    PRIMARY KEY (workspace, profile)
);
CREATE INDEX merged_profile_into ON merged_profile (workspace, into_profile);
",
};

const SECOND: Migration = Migration {
    name: "loyalty_0002",
    sql: "
ALTER TABLE coupon ADD COLUMN allowance TEXT NOT NULL DEFAULT '';
",
};
