//! Delivery: templates, channels, the send ledger, suppression.

pub mod channel;
pub mod domain;
