//! The feed's promises under abuse, on SQLite always and on PostgreSQL when one is given.
#![expect(clippy::unwrap_used, reason = "tests")]

mod erasure;
mod ledger;
mod order;
mod parking;
mod patience;
mod tail;
mod torture;
mod world;
