//! The published truths, on the data they were published for.

mod covariates;
mod data;
mod discrete;
mod fits;
mod holdout;
mod points;
mod tables;
mod values;
