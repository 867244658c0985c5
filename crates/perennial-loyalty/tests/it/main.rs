//! Loyalty through its own API, on SQLite always and on PostgreSQL when one is given.
#![expect(clippy::unwrap_used, reason = "tests")]

mod coupons;
mod feed;
mod harness;
