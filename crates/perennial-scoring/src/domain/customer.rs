//! One customer: orders as entities, and everything that follows from them. Whatever the order in which facts arrive,
//! and however often, the same facts give the same customer.

use std::collections::BTreeMap;

use perennial_types::{Currency, OrderChange, OrderState, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::calendar::Calendar;
use super::portrait::{Portrait, Traits};

/// All that is kept of a customer. Field names are short: this is stored for everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Customer {
    #[serde(rename = "o", skip_serializing_if = "BTreeMap::is_empty")]
    orders: BTreeMap<String, OrderState>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    /// What was known at the first order that was ever placed, whatever became of it.
    #[serde(rename = "f", skip_serializing_if = "Option::is_none")]
    portrait: Option<Portrait>,
    /// A print of the score that was told last, rounded: what did not change is not told again.
    #[serde(rename = "s", skip_serializing_if = "is_nought")]
    pub told: u64,
    /// The latest order came after the lapse instant fixed at the order before it, by the model then in force.
    #[serde(rename = "r", skip_serializing_if = "std::ops::Not::not")]
    pub reactivated: bool,
}

fn is_nought(it: &u64) -> bool {
    *it == 0
}

/// What a fact changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it was known.
    Nothing,
    /// Amounts only.
    Amounts,
    /// When, or how often, the customer bought.
    Purchases,
}

/// The purchases of one day, in minor units after refunds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PurchaseDay {
    /// Days since 1970-01-01 in the business's time zone.
    pub day: i32,
    /// Orders that count.
    pub orders: u32,
    /// Their net revenue.
    pub revenue: i64,
    /// Their net profit.
    pub profit: i64,
}

/// What a customer's orders add up to, in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Orders not wholly cancelled or refunded.
    pub orders: u32,
    /// Revenue after refunds.
    pub revenue: i64,
    /// Profit after refunds.
    pub profit: i64,
    /// What went back.
    pub refunds: i64,
    /// The part of revenue whose cost is known.
    pub known: i64,
    /// The first order.
    pub first: Option<Timestamp>,
    /// The latest order.
    pub last: Option<Timestamp>,
    /// Purchase days, ascending.
    pub days: Vec<PurchaseDay>,
    /// What was known at the first order.
    pub traits: Option<Traits>,
}

impl Customer {
    /// Takes in what an order tells of the customer, before the order itself: the earliest telling stays. A state from before
    /// portraits were kept has orders and none: a later order is no first one.
    pub fn meet(&mut self, portrait: Portrait) {
        let placed = || self.orders.values().filter_map(OrderState::placed_at).min();
        if self.portrait.is_none() && placed().is_some_and(|it| !portrait.is_by(it)) {
            return;
        }
        self.take(portrait);
    }

    fn take(&mut self, portrait: Portrait) {
        if self.portrait.as_ref().is_none_or(|it| portrait.is_before(it)) {
            self.portrait = Some(portrait);
        }
    }

    /// What was known at the first order.
    #[must_use]
    pub fn traits(&self) -> Option<&Traits> {
        self.portrait.as_ref().map(|it| &it.traits)
    }

    /// Takes in a fact about an order.
    pub fn apply(&mut self, fact: Uuid, at: Timestamp, change: &OrderChange) -> Change {
        if let OrderChange::Placed(order) = change
            && self.currency.is_none()
        {
            self.currency = Some(order.currency);
        }
        let order = self.orders.entry(change.order_id().to_owned()).or_default();
        let before = order.clone();
        // The hyphens say nothing; without them the ids sort as they do elsewhere.
        order.apply(&fact.simple().to_string(), at, change);
        compare(&before, order)
    }

    /// Takes over the orders of a profile found to be the same person.
    pub fn merge(&mut self, other: Self) -> Change {
        let mut changed = Change::Nothing;
        for (id, theirs) in other.orders {
            let ours = self.orders.entry(id).or_default();
            let before = ours.clone();
            ours.merge(theirs);
            changed = match (changed, compare(&before, ours)) {
                (Change::Purchases, _) | (_, Change::Purchases) => Change::Purchases,
                (Change::Amounts, _) | (_, Change::Amounts) => Change::Amounts,
                _ => Change::Nothing,
            };
        }
        self.currency = self.currency.or(other.currency);
        if let Some(theirs) = other.portrait {
            self.take(theirs);
        }
        changed
    }

    /// The customer with the orders placed until an instant, as they stand today.
    #[must_use]
    pub fn until(mut self, at: Timestamp) -> Self {
        self.orders.retain(|_, it| it.placed_at().is_some_and(|placed| placed <= at));
        self.portrait = self.portrait.filter(|it| it.is_by(at));
        self
    }

    /// The currency of every amount.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }

    /// Whether any order is known, even one that does not count.
    #[must_use]
    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// Instants of the orders that count, ascending.
    #[must_use]
    pub fn instants(&self) -> Vec<Timestamp> {
        let mut instants: Vec<_> =
            self.orders.values().filter(|it| it.counts()).filter_map(OrderState::placed_at).collect();
        instants.sort_unstable();
        instants
    }

    /// What the orders add up to.
    #[must_use]
    pub fn figures(&self, calendar: &Calendar) -> Figures {
        let mut it = Figures { traits: self.traits().cloned(), ..Figures::default() };
        for order in self.orders.values() {
            it.refunds = it.refunds.saturating_add(order.refunds());
            let Some(at) = order.placed_at().filter(|_| order.counts()) else { continue };
            let (revenue, profit) = (order.net_revenue(), order.net_profit());
            it.orders += 1;
            it.revenue = it.revenue.saturating_add(revenue);
            it.profit = it.profit.saturating_add(profit);
            it.known = it.known.saturating_add(order.revenue_with_known_cost());
            it.first = Some(it.first.map_or(at, |first| first.min(at)));
            it.last = Some(it.last.map_or(at, |last| last.max(at)));
            it.days.push(PurchaseDay { day: calendar.day(at), orders: 1, revenue, profit });
        }
        it.days = by_day(it.days);
        it
    }
}

fn compare(before: &OrderState, after: &OrderState) -> Change {
    if before == after {
        Change::Nothing
    } else if (before.counts(), before.placed_at()) == (after.counts(), after.placed_at()) {
        Change::Amounts
    } else {
        Change::Purchases
    }
}

/// Merges orders of one day.
fn by_day(mut orders: Vec<PurchaseDay>) -> Vec<PurchaseDay> {
    orders.sort_unstable_by_key(|it| it.day);
    let mut days: Vec<PurchaseDay> = Vec::with_capacity(orders.len());
    for it in orders {
        match days.last_mut().filter(|last| last.day == it.day) {
            Some(last) => {
                last.orders += it.orders;
                last.revenue = last.revenue.saturating_add(it.revenue);
                last.profit = last.profit.saturating_add(it.profit);
            }
            None => days.push(it),
        }
    }
    days
}

/// What has to be written and what taken back to get from some purchase days to others.
#[must_use]
pub fn difference(before: &[PurchaseDay], after: &[PurchaseDay]) -> (Vec<PurchaseDay>, Vec<i32>) {
    let known: BTreeMap<i32, &PurchaseDay> = before.iter().map(|it| (it.day, it)).collect();
    let now: BTreeMap<i32, &PurchaseDay> = after.iter().map(|it| (it.day, it)).collect();
    let written = after.iter().filter(|it| known.get(&it.day) != Some(it)).copied().collect();
    let gone = known.keys().filter(|it| !now.contains_key(it)).copied().collect();
    (written, gone)
}
