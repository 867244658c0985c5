//! The service through its front door, on SQLite and, where `PERENNIAL_TEST_POSTGRES` holds a URL, on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cdnow;
mod finer;
mod fits;
mod live;
mod schedule;
mod scores;
mod shop;
mod speed;
