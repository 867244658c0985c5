//! The rules of campaigns: pure, without async, I/O, wire or tables.
//!
//! A profile is one [`State`]; each record of a feed and each timer is one [`Step`] over it, which changes the state
//! and leaves rows and messages behind.

pub mod arbiter;
pub mod book;
pub mod contents;
pub mod dates;
pub mod definition;
pub mod draw;
pub mod duration;
pub mod effect;
pub mod events;
pub mod existing;
pub mod expr;
pub mod journey;
pub mod merge;
pub mod offer;
pub mod outcome;
mod parting;
pub mod policy;
pub mod quiet;
pub mod returned;
pub mod state;
pub mod stats;
pub mod step;
#[cfg(test)]
mod tests;
pub mod worth;

pub use book::{Book, Lifecycle};
pub use effect::{Effects, Row, Send};
pub use policy::Policy;
pub use step::Step;
