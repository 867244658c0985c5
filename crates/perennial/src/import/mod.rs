//! Files in: orders, events, profiles and products as CSV, NDJSON or Parquet, and product feeds as XML, plain or gzipped.
//!
//! A file is read once, from front to back, in constant memory. Each row becomes an event whose id is drawn from what the
//! row says, so importing the same file again, or the same rows in another one, changes nothing. A row that cannot be
//! used costs only itself: it goes to a file of its own with the reason.

mod columns;
mod events;
mod fields;
mod ids;
mod lines;
mod orders;
mod people;
mod products;
mod reject;
mod resume;
mod returns;
mod run;
mod source;
mod value;
mod xml;

pub use fields::{Kind, Mapping};
pub use people::identify_object;
pub use resume::Resume;
pub use run::{Item, Outcome, Plan, Summary, run};
pub use source::Meter;
pub use value::Dates;

#[cfg(test)]
mod tests;
