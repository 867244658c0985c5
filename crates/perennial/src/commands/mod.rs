//! What the commands do, each in its own file: ask the services, show the answer.

pub mod apply;
pub mod describe;
pub mod documents;
pub mod explain;
pub mod exports;
pub mod get;
pub mod imports;
pub mod keys;
pub mod merges;
pub mod parked;
pub mod pause;
pub mod person;
pub mod rejected;
pub mod report;
pub mod score;
pub mod status;
mod when;

pub use when::{instant, instant_of, local};
