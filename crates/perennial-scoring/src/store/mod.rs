//! The service's own tables. Every function takes the workspace first.

mod days;
mod fits;
mod models;
mod scores;
mod traits;
mod workspaces;

pub use days::{DayKey, ledger, write_days};
pub use fits::{Run, RunState, Task, begin, cancel, failure_after, finish, forget, run, step};
pub use models::{
    Asked, by_request, force, latest, list, model, newest_version, published, published_at,
    published_version, refused_after, register,
};
pub use scores::{Reach, ScoreRow, clv_values, profiles_after, rfm_table, rfm_values, totals, write_scores};
pub use traits::write_traits;
pub use workspaces::{advance, currency, due, postpone, waiting, write_currencies};

use perennial_feed::{End, Personal};
use perennial_store::Migration;

/// Tables with rows about people.
pub const PERSONAL: [Personal; 3] = [
    Personal { table: &days::DAYS, end: End::Delete },
    Personal { table: &scores::SCORES, end: End::Delete },
    Personal { table: &traits::FIRST, end: End::Delete },
];

/// The service's own tables.
pub const MIGRATIONS: [Migration; 4] = [
    Migration { name: "scoring_0001", sql: FIRST },
    Migration { name: "scoring_0002", sql: FITS },
    Migration { name: "scoring_0003", sql: BACKTESTS },
    Migration { name: "scoring_0004", sql: FIRST_ORDERS },
];

const FIRST: &str = "
CREATE TABLE workspace (
    workspace TEXT PRIMARY KEY,
    currency TEXT NOT NULL,
    next_fit BIGINT NOT NULL
);
CREATE TABLE purchase_day (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    day BIGINT NOT NULL,
    orders BIGINT NOT NULL,
    revenue_minor BIGINT NOT NULL,
    profit_minor BIGINT NOT NULL,
    PRIMARY KEY (workspace, profile, day)
);
CREATE TABLE customer_score (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    orders BIGINT NOT NULL,
    purchase_days BIGINT NOT NULL,
    revenue_minor BIGINT NOT NULL,
    profit_minor BIGINT NOT NULL,
    known_minor BIGINT NOT NULL,
    last_order BIGINT NOT NULL,
    clv_minor BIGINT,
    recency BIGINT NOT NULL,
    frequency BIGINT NOT NULL,
    monetary BIGINT NOT NULL,
    scored_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, profile)
);
CREATE TABLE model (
    workspace TEXT NOT NULL,
    version BIGINT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    published_at BIGINT,
    first_day BIGINT NOT NULL,
    cutoff_day BIGINT NOT NULL,
    ln_likelihood {double},
    finding TEXT NOT NULL,
    request_id {uuid},
    request TEXT NOT NULL,
    PRIMARY KEY (workspace, version)
);
CREATE INDEX model_published ON model (workspace, version) WHERE status = 'published';
CREATE UNIQUE INDEX model_request ON model (workspace, request_id) WHERE request_id IS NOT NULL;
CREATE TABLE edge (
    workspace TEXT NOT NULL,
    version BIGINT NOT NULL,
    measure TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    value BIGINT NOT NULL,
    share {double} NOT NULL,
    PRIMARY KEY (workspace, version, measure, ordinal)
);
";

const FITS: &str = "
CREATE TABLE fit_run (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    steps_done BIGINT NOT NULL,
    steps_total BIGINT NOT NULL,
    phase TEXT NOT NULL,
    version BIGINT,
    error TEXT NOT NULL,
    cancel BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
);
";

const BACKTESTS: &str = "
ALTER TABLE fit_run ADD COLUMN task TEXT NOT NULL DEFAULT 'fit';
ALTER TABLE fit_run ADD COLUMN result {blob};
";

const FIRST_ORDERS: &str = "
CREATE TABLE first_order (
    workspace TEXT NOT NULL,
    profile {uuid} NOT NULL,
    channel TEXT,
    category TEXT,
    country TEXT,
    coupon BIGINT NOT NULL,
    units BIGINT NOT NULL,
    value_minor BIGINT NOT NULL,
    PRIMARY KEY (workspace, profile)
);
";
