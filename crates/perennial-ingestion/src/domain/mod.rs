//! What an event means and whose it is: pure rules. Knows no transport, no database and no clock of its own.

pub mod access;
pub mod agreement;
pub mod banner;
pub mod call;
pub mod cart;
pub mod catalogue;
pub mod clock;
pub mod commerce;
pub mod consent;
pub mod event;
pub mod export;
pub mod flat;
pub mod graph;
pub mod identity;
pub mod intake;
pub mod mention;
pub mod normalise;
pub mod orders;
pub mod parting;
pub mod person;
pub mod plan;
pub mod problem;
pub mod settings;
pub mod sold;

#[cfg(test)]
pub mod tests;
