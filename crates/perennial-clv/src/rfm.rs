//! Recency, frequency and monetary scores, and percentiles, against published edges.
//!
//! The tie rule: equal values share a score. The k-th of n − 1 edges is the smallest value v such that at least k/n of
//! the population lie at or below v; a score is 1 plus the number of edges strictly below the value. Where most of
//! the population share one value, some scores stay unused, and that is right: nothing distinguishes those customers.

use crate::error::InvalidValue;
use serde::{Deserialize, Serialize};

/// Exact quantiles of a population, by which any value can be scored later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Edges(Vec<f64>);

impl TryFrom<Vec<f64>> for Edges {
    type Error = InvalidValue;

    fn try_from(edges: Vec<f64>) -> Result<Self, InvalidValue> {
        if edges.iter().any(|it| !it.is_finite()) || edges.windows(2).any(|it| it[0] > it[1]) {
            let remedy = "publish the edges that Edges::quantiles gave";
            return Err(InvalidValue::new(
                "edges",
                "must be finite and ascend",
                format!("{edges:?}"),
                remedy,
            ));
        }
        Ok(Self(edges))
    }
}

impl From<Edges> for Vec<f64> {
    fn from(it: Edges) -> Self {
        it.0
    }
}

impl Edges {
    /// The edges that cut a population into `groups` (5: quintiles, 10: deciles, 100: percentiles). Values that are
    /// not finite are left out; without any, or with fewer than two groups, there are no edges and every score is 1.
    #[must_use]
    pub fn quantiles(values: impl IntoIterator<Item = f64>, groups: usize) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|it| it.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        if n == 0 {
            return Self(Vec::new());
        }
        Self((1..groups).map(|k| sorted[(k * n).div_ceil(groups) - 1]).collect())
    }

    /// The score of a value: 1 for the lowest group up to the number of groups; 1 for what is not a number.
    #[must_use]
    pub fn score(&self, value: f64) -> u32 {
        let below = self.0.partition_point(|it| *it < value);
        u32::try_from(below).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The edges, ascending.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        &self.0
    }
}

/// What RFM looks at in one customer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Days since the last order.
    pub recency: f64,
    /// Orders.
    pub frequency: f64,
    /// Mean net value of an order.
    pub monetary: f64,
}

/// The three scores of one customer, 5 the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scores {
    /// 5 for the most recent.
    pub recency: u32,
    /// 5 for the most frequent.
    pub frequency: u32,
    /// 5 for the highest value.
    pub monetary: u32,
}

/// The published edges of the three measures, each sorted on its own into quintiles (125 cells).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rfm {
    /// Edges of minus the recency, so that a higher score is more recent.
    freshness: Edges,
    frequency: Edges,
    monetary: Edges,
}

impl Rfm {
    /// Quintile edges of a population.
    #[must_use]
    pub fn learn(customers: &[Measures]) -> Self {
        let edges = |f: fn(&Measures) -> f64| Edges::quantiles(customers.iter().map(f), 5);
        Self {
            freshness: edges(|it| -it.recency),
            frequency: edges(|it| it.frequency),
            monetary: edges(|it| it.monetary),
        }
    }

    /// The scores of one customer.
    #[must_use]
    pub fn score(&self, it: &Measures) -> Scores {
        Scores {
            recency: self.freshness.score(-it.recency),
            frequency: self.frequency.score(it.frequency),
            monetary: self.monetary.score(it.monetary),
        }
    }
}
