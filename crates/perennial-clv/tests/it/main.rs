//! The published truths, on the data they were published for.

mod data;
mod fits;
mod points;
mod tables;
mod values;
