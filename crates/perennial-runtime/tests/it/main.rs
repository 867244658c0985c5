//! The process as its callers see it: in process and over loopback, from start to drain.
#![expect(clippy::unwrap_used, reason = "tests")]

mod clock;
mod guard;
mod harness;
mod http;
mod life;
mod reflection;
mod telemetry;
mod transports;
