//! Offers, coupons, and the double-entry ledger behind them.

pub mod domain;
