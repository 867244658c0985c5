//! The rules of customer value: what orders add up to, what a model makes of it, and when a model may serve. Pure.

pub mod calendar;
pub mod customer;
pub mod drift;
pub mod edges;
pub mod fit;
pub mod ledger;
pub mod lens;
pub mod model;
pub mod portrait;
pub mod refine;
pub mod score;
pub mod summary;

#[cfg(test)]
mod tests;
