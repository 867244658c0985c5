//! Forecasts without a model, next to which every model must be shown.

use crate::evaluate::Purchases;
use crate::history::History;
use crate::rfm::{Measures, Rfm, Scores};
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// As many purchases as in the last `window` days up to `cutoff`, scaled to `horizon` days. The first purchase of all
/// does not count: it is an acquisition.
#[must_use]
pub fn repeat_last_window(it: &History, cutoff: i32, window: i32, horizon: i32) -> f64 {
    let Some(first) = it.first_day().filter(|it| *it < cutoff) else { return 0.0 };
    let from = cutoff.saturating_sub(window.max(1)).max(first);
    f64::from(it.purchases_between(from, cutoff)) * f64::from(horizon.max(0)) / f64::from(window.max(1))
}

/// As [`repeat_last_window`] for many customers, mixed with a tenth of their mean: a rate of exactly nothing would be
/// refuted by a single order. This is what models have to beat.
#[must_use]
pub fn repeat_rate<'a, P: Purchases + 'a>(
    customers: impl IntoIterator<Item = &'a P>,
    cutoff: i32,
    window: i32,
    horizon: i32,
) -> Vec<f64> {
    let rate = |it: &P| {
        let Some(first) = it.first_day().filter(|it| *it < cutoff) else { return 0.0 };
        let from = cutoff.saturating_sub(window.max(1)).max(first);
        f64::from(it.between(from, cutoff)) * f64::from(horizon.max(0)) / f64::from(window.max(1))
    };
    let own: Vec<f64> = customers.into_iter().map(rate).collect();
    let mean = own.iter().sum::<f64>() / (own.len() as f64).max(1.0);
    own.iter().map(|it| 0.9 * it + 0.1 * mean).collect()
}

/// The lifetime rate x/T over a horizon; 0 for a customer of age 0.
#[must_use]
pub fn lifetime_rate(it: &Summary, horizon: f64) -> f64 {
    if it.age() > 0.0 && horizon > 0.0 { f64::from(it.x()) / it.age() * horizon } else { 0.0 }
}

/// The mean of what customers of each RFM cell did, learnt inside the calibration period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellMeans {
    rfm: Rfm,
    /// (recency, frequency, monetary), mean; a list, since a key of JSON is a text.
    means: Vec<(Scores, f64)>,
    overall: f64,
}

impl CellMeans {
    /// From customers' measures at an earlier instant and what they did after it.
    #[must_use]
    pub fn learn(customers: &[(Measures, f64)]) -> Self {
        let measures: Vec<Measures> = customers.iter().map(|it| it.0).collect();
        let rfm = Rfm::learn(&measures);
        let mut cells: BTreeMap<Scores, (f64, f64)> = BTreeMap::new();
        for (measures, outcome) in customers {
            let cell = cells.entry(rfm.score(measures)).or_default();
            *cell = (cell.0 + outcome, cell.1 + 1.0);
        }
        let total: (f64, f64) = cells.values().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        Self {
            rfm,
            means: cells.into_iter().map(|(cell, (sum, n))| (cell, sum / n)).collect(),
            overall: total.0 / total.1.max(1.0),
        }
    }

    /// The mean of the customer's cell among today's population, whose edges are `now`; the overall mean for a cell
    /// nobody was in.
    #[must_use]
    pub fn predict(&self, now: &Rfm, it: &Measures) -> f64 {
        let scores = now.score(it);
        self.means.binary_search_by(|cell| cell.0.cmp(&scores)).map_or(self.overall, |i| self.means[i].1)
    }

    /// The edges learnt.
    #[must_use]
    pub fn rfm(&self) -> &Rfm {
        &self.rfm
    }
}
