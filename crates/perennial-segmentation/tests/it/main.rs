//! The service through its own API, on each database there is.
#![expect(clippy::unwrap_used, reason = "tests")]

mod definitions;
mod live;
mod world;
