//! Published edges: what is high and what is low, fixed at one instant from the exact sorted values of everybody.

use serde::{Deserialize, Serialize};

/// How many percentile edges are kept at most; with fewer distinct values every one is, and percentiles are exact.
const MOST: usize = 1_000;

/// The edges of one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edges {
    /// 12-month CLV in minor units, ascending, each with the share of customers at or below it.
    pub clv: Vec<(i64, f64)>,
    /// The highest value of each fifth but the last: instants of the last order, in microseconds.
    pub recency: Vec<i64>,
    /// The same of the number of orders.
    pub frequency: Vec<i64>,
    /// The same of the mean net value of an order, in minor units.
    pub monetary: Vec<i64>,
}

/// Scores from 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfm {
    /// By the instant of the last order.
    pub recency: u8,
    /// By the number of orders.
    pub frequency: u8,
    /// By the mean net value of an order.
    pub monetary: u8,
}

impl Edges {
    /// The share of customers whose value is at or below this one.
    #[must_use]
    pub fn percentile(&self, clv: i64) -> Option<f64> {
        if self.clv.is_empty() {
            return None;
        }
        let at_or_below = self.clv.partition_point(|it| it.0 <= clv);
        Some(at_or_below.checked_sub(1).map_or(0.0, |it| self.clv[it].1))
    }

    /// The tenth of customers, 1 to 10, in which a value lies: one more than the tenths whose highest value lies below. The
    /// highest value of the k-th tenth is the first edge with a share of k/10 or more, which every set of edges holds.
    #[must_use]
    pub fn decile(&self, clv: i64) -> Option<u8> {
        if self.clv.is_empty() {
            return None;
        }
        let below = (1..10_u8).filter(|tenth| {
            // Shares are quotients of whole numbers: a tenth of the customers may come out a rounding below.
            let edge = self.clv.iter().find(|it| it.1 >= f64::from(*tenth) / 10.0 - 1e-12);
            edge.is_some_and(|it| it.0 < clv)
        });
        Some(1 + u8::try_from(below.count()).unwrap_or(9))
    }

    /// The RFM scores of a customer.
    #[must_use]
    pub fn rfm(&self, last_order: i64, orders: i64, mean_value: i64) -> Option<Rfm> {
        if self.recency.is_empty() {
            return None;
        }
        Some(Rfm {
            recency: fifth(&self.recency, last_order),
            frequency: fifth(&self.frequency, orders),
            monetary: fifth(&self.monetary, mean_value),
        })
    }
}

/// One more than the edges that lie below: equal values have equal scores, wherever the edge falls among them.
fn fifth(edges: &[i64], value: i64) -> u8 {
    1 + u8::try_from(edges.iter().filter(|it| value > **it).count()).unwrap_or(4)
}

/// The highest value of each fifth but the last.
#[must_use]
pub fn fifths(mut values: Vec<i64>) -> Vec<i64> {
    values.sort_unstable();
    let n = values.len();
    (1..5).filter_map(|k| values.get((n * k).div_ceil(5).checked_sub(1)?).copied()).collect()
}

/// Values with the share at or below each: all distinct ones, or a thousand at even ranks.
#[must_use]
pub fn shares(mut values: Vec<i64>) -> Vec<(i64, f64)> {
    values.sort_unstable();
    let n = values.len();
    let mut distinct = values.clone();
    distinct.dedup();
    if distinct.len() > MOST {
        distinct = (1..=MOST).filter_map(|k| values.get((n * k).div_ceil(MOST) - 1).copied()).collect();
        distinct.dedup();
    }
    let share = |value: i64| values.partition_point(|it| *it <= value) as f64 / n as f64;
    distinct.into_iter().map(|it| (it, share(it))).collect()
}
