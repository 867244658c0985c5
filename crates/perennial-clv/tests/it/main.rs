//! The published truths, on the data they were published for.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod corpora;
mod covariates;
mod data;
mod discrete;
mod fits;
mod holdout;
mod hostile;
mod points;
mod properties;
mod simulation;
mod stack;
mod tables;
mod values;
