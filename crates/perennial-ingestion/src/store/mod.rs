//! Columns: what stands in the database, and the only place that knows it.

pub mod catalogue;
pub mod counters;
pub mod erasures;
pub mod events;
pub mod exports;
pub mod keys;
pub mod merges;
pub mod migrations;
pub mod plans;
pub mod prices;
pub mod products;
pub mod profiles;
pub mod records;
pub mod rejected;
pub mod seen;
pub mod settings;
pub mod unmerges;
