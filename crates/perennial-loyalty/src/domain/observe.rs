//! Redemptions seen on orders. The order is a fact: whatever the rules say, what it cost is recorded; where a rule was
//! broken it is an exception with its cost.

use perennial_types::{ProfileId, Timestamp};

use super::coupon::{Coupon, Refusal, State, account};
use super::ledger::{Books, Entry};

/// A redemption that should not have been, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The coupon's code.
    pub code: String,
    /// The order.
    pub order: String,
    /// Which rule it broke.
    pub reason: Refusal,
    /// What it cost, minor units.
    pub cost: i64,
    /// The cost was booked apart from the coupon, as the coupon was not this order's to use.
    pub apart: bool,
}

/// Takes in that `order` of `profile`, placed at `at`, used `coupon` and got `discount` off.
pub fn observe(
    books: &mut Books,
    coupon: &mut Coupon,
    profile: ProfileId,
    order: &str,
    discount: i64,
    at: Timestamp,
) -> Option<Exception> {
    if coupon.state == State::Redeemed && coupon.order.as_deref() == Some(order) {
        return None;
    }
    let discount = discount.max(0);
    let exception = |reason, cost, apart| {
        Some(Exception { code: coupon.code.clone(), order: order.to_owned(), reason, cost, apart })
    };
    // What counts is when the order was placed, not when we heard of it.
    let late = at >= coupon.expires_at;
    let apart = match coupon.state {
        State::Redeemed => exception(Refusal::Redeemed, discount, true),
        State::Released => exception(Refusal::Withdrawn, discount, true),
        State::Expired | State::Issued | State::Reserved if late => {
            exception(Refusal::Expired, discount, true)
        }
        _ => None,
    };
    if let Some(apart) = apart {
        let postings =
            vec![(account("excess", &coupon.offer), -discount), (account("spent", &coupon.offer), discount)];
        post(books, coupon, "exception", at, postings);
        return Some(apart);
    }
    let mut broken = if coupon.profile != profile {
        Some(Refusal::OtherCustomer)
    } else if at < coupon.valid_from {
        Some(Refusal::NotYetValid)
    } else if coupon.state == State::Reserved && coupon.order.as_deref() != Some(order) {
        Some(Refusal::Reserved)
    } else {
        None
    };
    if !coupon.used {
        let postings = vec![(account("uses", &coupon.offer), -1), (account("used", &coupon.offer), 1)];
        let entry =
            Entry { coupon: coupon.code.clone(), sequence: coupon.sequence, kind: "redeem", at, postings };
        match books.post(entry) {
            Ok(()) => {
                coupon.sequence += 1;
                coupon.used = true;
            }
            Err(_) => broken = broken.or(Some(Refusal::LimitReached)),
        }
    }
    coupon.settle(books, order, discount, at);
    if coupon.excess > 0 {
        broken = broken.or(Some(Refusal::BudgetSpent));
    }
    let cost = if broken == Some(Refusal::BudgetSpent) { coupon.excess } else { discount };
    broken.map(|reason| Exception {
        code: coupon.code.clone(),
        order: order.to_owned(),
        reason,
        cost,
        apart: false,
    })
}

/// The order of an exception that was booked apart was refunded or cancelled: takes its cost back.
pub fn take_back(books: &mut Books, coupon: &mut Coupon, cost: i64, at: Timestamp) {
    let postings = vec![(account("spent", &coupon.offer), -cost), (account("excess", &coupon.offer), cost)];
    post(books, coupon, "release", at, postings);
}

fn post(
    books: &mut Books,
    coupon: &mut Coupon,
    kind: &'static str,
    at: Timestamp,
    postings: Vec<(String, i64)>,
) {
    let entry = Entry { coupon: coupon.code.clone(), sequence: coupon.sequence, kind, at, postings };
    coupon.sequence += 1;
    books.post(entry).expect("neither account of exceptions has a floor");
}
