//! The campaign service through its own API and feeds, on SQLite always and on PostgreSQL when one is given.
#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod flow;
mod peers;
mod playbooks;
mod wires;
mod world;
