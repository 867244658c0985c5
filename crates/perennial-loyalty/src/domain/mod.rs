//! Offers, coupons and the ledger: what may be given, and what every unit of it is accounted to. No I/O.

pub mod coupon;
pub mod ledger;
pub mod observe;
pub mod offer;

#[cfg(test)]
mod tests;
