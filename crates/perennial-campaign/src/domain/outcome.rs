//! What a profile did within the attribution windows of a campaign, whichever arm it is in.

use perennial_types::{OrderState, micros};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One profile's stay in one campaign's comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// The arm it counts in.
    #[serde(rename = "h", default, skip_serializing_if = "std::ops::Not::not")]
    pub held_out: bool,
    /// The share held out when it was drawn.
    #[serde(rename = "s", default)]
    pub share: f64,
    /// First entry, microseconds.
    #[serde(rename = "f")]
    pub first: i64,
    /// When the first window closes, microseconds.
    #[serde(rename = "e")]
    pub matures: i64,
    /// Profit before entry.
    #[serde(rename = "p", default)]
    pub pre_profit: i64,
    /// Predicted CLV at entry.
    #[serde(rename = "c", default)]
    pub predicted: i64,
    /// Profit expected in 90 days at entry.
    #[serde(rename = "x", default)]
    pub expected: i64,
    /// Windows `[from, until)` in order, without overlaps.
    #[serde(rename = "w", default)]
    pub windows: Vec<(i64, i64)>,
    /// Goal events other than orders within the windows.
    #[serde(rename = "g", default, skip_serializing_if = "is_zero")]
    pub events: u64,
    /// The goal is something else than an order.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub other_goal: bool,
    /// What was last written.
    #[serde(rename = "t", default)]
    pub totals: Totals,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(it: &u64) -> bool {
    *it == 0
}

/// What came of it, money in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Converted.
    #[serde(rename = "c")]
    pub converted: bool,
    /// Revenue after refunds.
    #[serde(rename = "r")]
    pub revenue: i64,
    /// Profit after refunds and discounts.
    #[serde(rename = "p")]
    pub profit: i64,
    /// Discounts used.
    #[serde(rename = "d")]
    pub incentive: i64,
}

impl Exposure {
    /// Opens a window from `from`, joining it with those it touches.
    pub fn open(&mut self, from: i64, until: i64) {
        self.windows.push((from, until));
        self.windows.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(self.windows.len());
        for (from, until) in self.windows.drain(..) {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => joined.push((from, until)),
            }
        }
        self.windows = joined;
    }

    /// Whether an instant counts.
    #[must_use]
    pub fn covers(&self, at: i64) -> bool {
        self.windows.iter().any(|(from, until)| *from <= at && at < *until)
    }

    /// Counts anew over all orders: a refund takes back what it gave.
    #[must_use]
    pub fn count(&self, orders: &BTreeMap<String, OrderState>) -> Totals {
        let counted = orders.values().filter(|it| it.counts());
        let within = counted.filter(|it| it.placed_at().is_some_and(|at| self.covers(micros(at))));
        let mut totals = within.fold(Totals::default(), |sum, it| Totals {
            converted: true,
            revenue: sum.revenue.saturating_add(it.net_revenue()),
            profit: sum.profit.saturating_add(it.net_profit()),
            incentive: sum.incentive.saturating_add(it.discount()),
        });
        if self.other_goal {
            totals.converted = self.events > 0;
        }
        totals
    }
}
