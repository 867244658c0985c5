//! Files out: orders, events, profiles, products and scores as CSV, NDJSON or Parquet, plain or gzipped.
//!
//! Rows are written as they come, in constant memory, into a file beside the one that is named, which takes its place when
//! all is in it. The columns are those that the importers know by name; what is told besides begins with `perennial_` and
//! is passed over by them.

mod cell;
pub mod events;
mod file;
pub mod formula;
pub mod orders;
pub mod people;
pub mod products;
mod sheet;
mod sink;

pub use cell::{Cell, Column, Kind, column};
pub use file::{Out, Target};
pub use sheet::Sheet;
pub use sink::{Format, Sink};

#[cfg(test)]
mod tests;
