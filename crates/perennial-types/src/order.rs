//! The order as an entity: one pure fold of order facts that serves every service.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::{Currency, Timestamp, micros};

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The product's id, else its SKU.
    pub product_id: String,
    /// The category, if the event named one.
    pub category: Option<String>,
    /// How many units.
    pub quantity: i64,
    /// Price of one unit, in minor units of the order's currency.
    pub price: i64,
    /// Cost of one unit, if the event or the catalogue knows it.
    pub cost: Option<i64>,
}

/// An order as its Order Completed or Order Updated tells it, money in minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The shop's id of the order.
    pub order_id: String,
    /// Currency of every amount here, already the workspace's reporting currency.
    pub currency: Currency,
    /// After discounts, without shipping and tax.
    pub revenue: i64,
    /// Discounts already taken off `revenue`.
    pub discount: i64,
    /// Profit: revenue less cost, or revenue times the workspace's default margin where cost is unknown.
    pub profit: i64,
    /// The share of `revenue` whose cost is known, in per mille.
    pub cost_known_per_mille: i64,
    /// The coupon code used, if any.
    pub coupon: Option<String>,
    /// The lines, possibly none.
    pub lines: Vec<OrderLine>,
}

/// Money going back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRefunded {
    /// The order it is about.
    pub order_id: String,
    /// What went back, in minor units; absent: all that is left.
    pub amount: Option<i64>,
}

/// A fact about an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderChange {
    /// Order Completed: creates the order, or updates it (browser and server report the same one).
    Placed(OrderPlaced),
    /// Order Refunded, wholly or in part.
    Refunded(OrderRefunded),
    /// Order Cancelled, by order id: nothing of it remains.
    Cancelled(String),
}

impl OrderChange {
    /// The shop's id of the order it is about.
    #[must_use]
    pub fn order_id(&self) -> &str {
        match self {
            Self::Placed(it) => &it.order_id,
            Self::Refunded(it) => &it.order_id,
            Self::Cancelled(id) => id,
        }
    }
}

/// Where an order stands after all that was told about it. Facts may come twice and in any order: the result depends
/// only on the set of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// Event time of the first Order Completed, in microseconds; absent while only refunds or cancellations are known.
    #[serde(rename = "at")]
    placed_at: Option<i64>,
    /// Event time and fact of the latest telling, which is the one that counts.
    #[serde(rename = "l")]
    latest: Option<(i64, String)>,
    #[serde(rename = "r")]
    revenue: i64,
    #[serde(rename = "d")]
    discount: i64,
    #[serde(rename = "p")]
    profit: i64,
    #[serde(rename = "k")]
    cost_known_per_mille: i64,
    /// Partial refunds by the id of their fact.
    #[serde(rename = "b", default, skip_serializing_if = "BTreeMap::is_empty")]
    refunds: BTreeMap<String, i64>,
    /// Facts that took all of it back: full refunds and cancellations.
    #[serde(rename = "x", default, skip_serializing_if = "BTreeSet::is_empty")]
    undone_by: BTreeSet<String>,
}

impl OrderState {
    /// Takes in one fact, `fact_id` being its own id (the same id twice counts once) and `at` its event time.
    pub fn apply(&mut self, fact_id: &str, at: Timestamp, change: &OrderChange) {
        let at = micros(at);
        match change {
            OrderChange::Placed(order) => {
                self.placed_at = Some(self.placed_at.map_or(at, |first| first.min(at)));
                self.tell(&Self {
                    latest: Some((at, fact_id.to_owned())),
                    revenue: order.revenue,
                    discount: order.discount,
                    profit: order.profit,
                    cost_known_per_mille: order.cost_known_per_mille,
                    ..Self::default()
                });
            }
            OrderChange::Refunded(OrderRefunded { amount: Some(amount), .. }) => {
                self.refunds.insert(fact_id.to_owned(), *amount);
            }
            OrderChange::Refunded(_) | OrderChange::Cancelled(_) => {
                self.undone_by.insert(fact_id.to_owned());
            }
        }
    }

    /// Takes over the amounts of another telling if it counts rather than this one: the later one; of two at one instant
    /// the greater, so that their order of arrival is no matter.
    fn tell(&mut self, other: &Self) {
        if other.latest.is_some() && other.rank() > self.rank() {
            self.latest.clone_from(&other.latest);
            self.revenue = other.revenue;
            self.discount = other.discount;
            self.profit = other.profit;
            self.cost_known_per_mille = other.cost_known_per_mille;
        }
    }

    fn rank(&self) -> (Option<i64>, [i64; 4], Option<&str>) {
        let amounts = [self.revenue, self.profit, self.discount, self.cost_known_per_mille];
        (self.latest.as_ref().map(|it| it.0), amounts, self.latest.as_ref().map(|it| it.1.as_str()))
    }

    /// Adds what another profile knew of the same order; used when profiles merge.
    pub fn merge(&mut self, other: Self) {
        self.placed_at = match (self.placed_at, other.placed_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.tell(&other);
        self.refunds.extend(other.refunds);
        self.undone_by.extend(other.undone_by);
    }

    /// The id of the fact that tells the order as it counts: its latest report.
    #[must_use]
    pub fn told_by(&self) -> Option<&str> {
        self.latest.as_ref().map(|(_, id)| id.as_str())
    }

    /// When it was placed, if its Order Completed is known.
    #[must_use]
    pub fn placed_at(&self) -> Option<Timestamp> {
        self.placed_at.map(crate::from_micros)
    }

    /// Whether it counts in `orders`: placed, and not wholly cancelled or refunded.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.placed_at.is_some() && self.undone_by.is_empty() && (self.revenue <= 0 || self.net_revenue() > 0)
    }

    fn refunded(&self) -> i64 {
        self.refunds.values().fold(0_i64, |sum, it| sum.saturating_add(*it))
    }

    /// Revenue after refunds, never below zero, in minor units; zero if undone.
    #[must_use]
    pub fn net_revenue(&self) -> i64 {
        if self.placed_at.is_none() || !self.undone_by.is_empty() {
            return 0;
        }
        self.revenue.saturating_sub(self.refunded()).max(self.revenue.min(0))
    }

    /// What went back, in minor units.
    #[must_use]
    pub fn refunds(&self) -> i64 {
        if self.placed_at.is_none() { 0 } else { self.revenue - self.net_revenue() }
    }

    /// Discounts given on it, in minor units.
    #[must_use]
    pub fn discount(&self) -> i64 {
        self.discount
    }

    /// Profit that remains after refunds, in proportion to the revenue that remains; minor units.
    #[must_use]
    pub fn net_profit(&self) -> i64 {
        match (self.revenue, self.net_revenue()) {
            _ if !self.counts() => 0,
            (revenue, net) if revenue <= 0 || revenue == net => self.profit,
            (revenue, net) => {
                i64::try_from(i128::from(self.profit) * i128::from(net) / i128::from(revenue)).unwrap_or(0)
            }
        }
    }

    /// The part of net revenue whose cost is known, in minor units.
    #[must_use]
    pub fn revenue_with_known_cost(&self) -> i64 {
        i64::try_from(i128::from(self.net_revenue()) * i128::from(self.cost_known_per_mille) / 1_000)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_micros;
    use proptest::prelude::*;

    fn placed(revenue: i64) -> OrderChange {
        OrderChange::Placed(OrderPlaced {
            order_id: "1".to_owned(),
            currency: Currency::EUR,
            revenue,
            discount: 0,
            profit: revenue * 2 / 5,
            cost_known_per_mille: 1_000,
            coupon: None,
            lines: vec![],
        })
    }

    fn refund(amount: Option<i64>) -> OrderChange {
        OrderChange::Refunded(OrderRefunded { order_id: "1".to_owned(), amount })
    }

    #[test]
    fn a_partial_refund_takes_its_share_of_profit_and_a_full_one_all() {
        let mut order = OrderState::default();
        order.apply("a", from_micros(1), &placed(10_000));
        order.apply("b", from_micros(2), &refund(Some(2_500)));
        order.apply("b", from_micros(2), &refund(Some(2_500)));
        assert_eq!((order.net_revenue(), order.net_profit(), order.counts()), (7_500, 3_000, true));
        order.apply("c", from_micros(3), &refund(None));
        assert_eq!((order.net_revenue(), order.net_profit(), order.counts()), (0, 0, false));
    }

    #[test]
    fn of_two_tellings_of_one_instant_the_greater_counts_whatever_their_facts_are_called() {
        let told = |first: &str, second: &str| {
            let mut order = OrderState::default();
            order.apply(first, from_micros(1), &placed(9_000));
            order.apply(second, from_micros(1), &placed(8_000));
            order.net_revenue()
        };
        assert_eq!((told("a", "b"), told("b", "a")), (9_000, 9_000));
    }

    proptest! {
        #[test]
        fn facts_in_any_order_and_twice_give_one_order(
            facts in prop::collection::vec((0_i64..5, 0_i64..3, 0_i64..20_000), 1..8),
            keys in prop::collection::vec(any::<u64>(), 16),
        ) {
            let facts: Vec<_> = facts.iter().enumerate().map(|(n, (at, kind, amount))| {
                let change = match kind { 0 => placed(*amount), 1 => refund(Some(*amount)), _ => refund(None) };
                (format!("f{n}"), from_micros(*at), change)
            }).collect();
            let mut straight = OrderState::default();
            for (id, at, change) in &facts { straight.apply(id, *at, change); }
            let mut shuffled: Vec<_> = facts.iter().chain(&facts).zip(&keys).collect();
            shuffled.sort_by_key(|(_, key)| **key);
            let mut other = OrderState::default();
            for ((id, at, change), _) in shuffled { other.apply(id, *at, change); }
            prop_assert_eq!(&straight, &other);
            let mut half = OrderState::default();
            let mut rest = OrderState::default();
            for (n, (id, at, change)) in facts.iter().enumerate() {
                if n % 2 == 0 { half.apply(id, *at, change) } else { rest.apply(id, *at, change) }
            }
            half.merge(rest);
            prop_assert_eq!(straight, half);
        }
    }
}
