//! Notification through its own API and pages, on SQLite always and on PostgreSQL when one is given.
#![expect(clippy::unwrap_used, reason = "tests")]

mod delivery;
mod harness;
mod pages;
mod peers;
mod sink;
mod smtp;
mod templates;
