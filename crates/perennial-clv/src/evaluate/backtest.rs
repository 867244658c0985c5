//! A forecast made at a day in the past, against what came: every model, the baselines, and the one our own selection
//! picks without looking beyond that day.

use super::calibration::uniform_distance;
use super::foretold::{Foretold, foretell, foretell_boosted};
use super::metrics::Metrics;
use super::plan::Plan;
use super::purchases::Purchases;
use super::selection::{Selection, select_with};
use super::tracking::{Level, Total};
use crate::baseline::CellMeans;
use crate::error::InvalidValue;
use crate::kind::Kind;
use crate::model::Model;
use crate::rfm::{Measures, Rfm};
use crate::rows::Rows;
use crate::simulate::Chance;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};

/// Blocks of customers whose totals are judged: at least so many customers each, and so many blocks at most.
const BLOCKS: (usize, usize) = (25, 20);

/// How often customers are dealt into blocks: with 20 blocks dealt once, the share of those that are covered is known to ± 9 %.
const DEALS: usize = 50;

/// What a backtest found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backtest {
    /// The last day a forecast saw.
    pub cutoff: i32,
    /// Days forecast.
    pub horizon: i32,
    /// The day of the first purchase.
    pub first_day: i32,
    /// Customers known at the cutoff.
    pub customers: usize,
    /// Repeat purchases until the cutoff.
    pub repeat_purchases: u64,
    /// Purchases held out.
    pub held_out: u64,
    /// The percentage of customers with a purchase in the hold-out.
    pub active_percent: f64,
    /// How the model was picked.
    pub selection: Selection,
    /// Everybody's result: the one picked first, then the other models, then the baselines.
    pub lines: Vec<Line>,
    /// Mean forecast and actual purchases by tenth of the picked model's forecasts; equal forecasts share what came.
    pub deciles: Vec<(f64, f64)>,
}

/// One method's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The model's kind or the baseline's name.
    pub name: String,
    /// Whether our own selection picked it.
    pub is_selected: bool,
    /// The fitted model, of boosted trees that below them; none for a baseline.
    pub model: Option<Model>,
    /// How its means did; none where it could not be fitted.
    pub metrics: Option<Metrics>,
    /// How its distributions did; none for a baseline.
    pub measured: Option<Measured>,
    /// Why it could not be fitted.
    pub error: Option<String>,
}

/// How predictive distributions did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The mean logarithm of the chance of what came.
    pub score: f64,
    /// The mean absolute error of the predictive median.
    pub median_mae: f64,
    /// The Kolmogorov–Smirnov distance of the randomised probability integral transforms from uniform.
    pub pit_distance: f64,
    /// The share of customers inside their plain 80 % interval.
    pub coverage: f64,
    /// Blocks of customers whose total was judged.
    pub blocks: usize,
    /// The share of them inside the 80 % interval of their total.
    pub total_coverage: f64,
}

/// Why there is no backtest.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BacktestError {
    /// Nobody was a customer by then.
    #[error("cutoff: nobody had bought by then; choose a later day")]
    Nobody,
    /// What is to be held out is not there.
    #[error(
        "horizon: the purchases end {missing} days before the hold-out does; choose an earlier cutoff or a shorter horizon"
    )]
    TooShort {
        /// Days that are missing.
        missing: i32,
    },
    /// A value is outside its domain.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// It was told to stop.
    #[error("the backtest was stopped")]
    Stopped,
}

/// Runs a backtest: fits on what came until the end of day `cutoff`, forecasts `horizon` days, and compares.
///
/// # Errors
/// If nobody had bought by then, the purchases end well before the hold-out does, or a number is out of its range.
pub fn backtest<P: Purchases>(
    customers: &[P],
    (cutoff, horizon): (i32, i32),
    kinds: &[Kind],
    days_per_unit: f64,
) -> Result<Backtest, BacktestError> {
    backtest_with(customers, (cutoff, horizon), kinds, days_per_unit, |_, _| false)
}

/// As [`backtest`]; `stop` hears of the progress as (steps done, steps in all) and ends it by answering `true`.
///
/// # Errors
/// As [`backtest`], and if it was stopped.
pub fn backtest_with<P: Purchases>(
    customers: &[P],
    (cutoff, horizon): (i32, i32),
    kinds: &[Kind],
    days_per_unit: f64,
    mut stop: impl FnMut(usize, usize) -> bool,
) -> Result<Backtest, BacktestError> {
    let first_day = customers.iter().filter_map(Purchases::first_day).min().unwrap_or(i32::MAX);
    let plan = Plan::rolling(first_day.min(cutoff), cutoff, horizon, days_per_unit)?;
    let known: Vec<(&P, Summary)> =
        customers.iter().filter_map(|it| Some((it, it.summary(cutoff, days_per_unit)?))).collect();
    if known.is_empty() {
        return Err(BacktestError::Nobody);
    }
    let until = cutoff.saturating_add(horizon);
    let missing = missing_days(customers, cutoff, until);
    if f64::from(missing) > 0.1 * f64::from(horizon) + 7.0 {
        return Err(BacktestError::TooShort { missing });
    }
    let boosts = kinds.contains(&Kind::Boosted);
    let alone = |it: &Kind| !matches!(it, Kind::Stack | Kind::Boosted);
    let singles: Vec<Kind> = kinds.iter().copied().filter(alone).collect();
    let steps = plan.origins.len() * singles.len() + singles.len() + 1 + usize::from(boosts);
    // What came later stays out of sight: customers are cut off before anything is learnt.
    let past: Vec<Until<'_, P>> = known.iter().map(|it| Until { it: it.0, last: cutoff }).collect();
    let selection =
        select_with(&past, kinds, &plan, None, |done, _| stop(done, steps)).ok_or(BacktestError::Stopped)?;
    let rows = Rows::new(known.iter().map(|it| it.1));
    let actual: Vec<f64> = known.iter().map(|it| f64::from(it.0.between(cutoff, until))).collect();
    let units = f64::from(horizon) / days_per_unit;

    let mut candidates = singles.clone();
    if !selection.weights.is_empty() {
        candidates.push(Kind::Stack);
    }
    if selection.boosting.is_some() {
        candidates.push(Kind::Boosted);
    }
    // With nothing to hold out inside the past, the first model serves, as it would without a rival.
    let selected = selection.chosen.or_else(|| singles.first().copied());
    let mut lines = Vec::new();
    let mut deciles = Vec::new();
    for (k, kind) in candidates.into_iter().enumerate() {
        if stop(plan.origins.len() * singles.len() + k, steps) {
            return Err(BacktestError::Stopped);
        }
        let is_selected = selected == Some(kind);
        let line = |model, metrics, measured, error| Line {
            name: kind.to_string(),
            is_selected,
            model,
            metrics,
            measured,
            error,
        };
        lines.push(match selection.fit(kind, &rows, None) {
            Ok(fit) => {
                let foretold = match &selection.boosting {
                    Some(trees) if kind == Kind::Boosted => {
                        let people: Vec<&P> = known.iter().map(|it| it.0).collect();
                        let it = trees.over(fit.model, &people, (cutoff, horizon), days_per_unit);
                        foretell_boosted(&it, &people, &actual, cutoff)
                    }
                    _ => foretell(&fit.model, &known, &actual, units),
                };
                let means: Vec<f64> = foretold.iter().map(|it| it.mean).collect();
                if is_selected {
                    deciles = tenths(&means, &actual);
                }
                let measured = measure(&foretold, &actual, selection.level);
                line(Some(fit.model), Metrics::new(&means, &actual), Some(measured), None)
            }
            Err(error) => line(None, None, None, Some(error.to_string())),
        });
    }
    lines.sort_by_key(|it| !it.is_selected);
    for (name, forecast) in baselines(&known, cutoff, horizon, days_per_unit) {
        lines.push(Line {
            name: name.to_owned(),
            is_selected: false,
            model: None,
            metrics: Metrics::new(&forecast, &actual),
            measured: None,
            error: None,
        });
    }
    let active = actual.iter().filter(|it| **it > 0.0).count();
    Ok(Backtest {
        cutoff,
        horizon,
        first_day,
        customers: known.len(),
        repeat_purchases: known.iter().map(|it| u64::from(it.1.x())).sum(),
        held_out: actual.iter().sum::<f64>() as u64,
        active_percent: 100.0 * active as f64 / known.len() as f64,
        selection,
        lines,
        deciles,
    })
}

/// How many days before `until` the last purchase of anybody lies.
fn missing_days<P: Purchases>(customers: &[P], cutoff: i32, until: i32) -> i32 {
    let (mut low, mut high) = (cutoff, until);
    // The last day with a purchase, by halving: nothing comes after it.
    while low < high {
        let middle = low + (high - low) / 2;
        let later = customers.iter().any(|it| it.between(middle, until) > 0);
        if later { low = middle + 1 } else { high = middle }
    }
    until - low
}

/// A customer of whom nothing after a day can be seen.
struct Until<'a, P> {
    it: &'a P,
    last: i32,
}

impl<P: Purchases> Purchases for Until<'_, P> {
    fn first_day(&self) -> Option<i32> {
        self.it.first_day().filter(|it| *it <= self.last)
    }

    fn summary(&self, cutoff: i32, days_per_unit: f64) -> Option<Summary> {
        if cutoff <= self.last { self.it.summary(cutoff, days_per_unit) } else { None }
    }

    fn between(&self, after: i32, until: i32) -> u32 {
        if after < self.last { self.it.between(after, until.min(self.last)) } else { 0 }
    }

    fn mean_value(&self, cutoff: i32) -> f64 {
        self.it.mean_value(cutoff.min(self.last))
    }
}

fn measure(foretold: &[Foretold], actual: &[f64], level: Level) -> Measured {
    let n = foretold.len() as f64;
    let mean = |f: &dyn Fn(&Foretold) -> f64| foretold.iter().map(f).sum::<f64>() / n;
    let pit: Vec<f64> = foretold.iter().map(|it| it.pit).collect();
    let blocks = (foretold.len() / BLOCKS.0).clamp(1, BLOCKS.1);
    Measured {
        score: mean(&|it| it.chance.ln()),
        median_mae: foretold.iter().zip(actual).map(|(it, n)| (it.median - n).abs()).sum::<f64>() / n,
        pit_distance: uniform_distance(&pit),
        coverage: mean(&|it| f64::from(u8::from(it.covered))),
        blocks,
        total_coverage: total_coverage(foretold, actual, level, blocks),
    }
}

/// The share of blocks of customers whose total lies inside its 80 % interval, over several deals of customers.
fn total_coverage(foretold: &[Foretold], actual: &[f64], level: Level, blocks: usize) -> f64 {
    let mut order: Vec<usize> = (0..foretold.len()).collect();
    let mut chance = Chance::new(1);
    let mut inside = 0_usize;
    for _ in 0..DEALS {
        for last in (1..order.len()).rev() {
            order.swap(last, (chance.uniform() * (last + 1) as f64) as usize);
        }
        let mut totals = vec![(0.0, 0.0, 0.0); blocks];
        for (place, &customer) in order.iter().enumerate() {
            let (total, it) = (&mut totals[place % blocks], &foretold[customer]);
            *total = (total.0 + it.mean, total.1 + it.variance, total.2 + actual[customer]);
        }
        let covered = |(mean, variance, actual): &(f64, f64, f64)| {
            let (low, high) = Total::new(*mean, *variance, level).eighty_percent();
            (low..=high).contains(actual)
        };
        inside += totals.iter().filter(|it| covered(it)).count();
    }
    inside as f64 / (DEALS * blocks) as f64
}

fn tenths(forecast: &[f64], actual: &[f64]) -> Vec<(f64, f64)> {
    let mut pairs: Vec<(f64, f64)> = forecast.iter().copied().zip(actual.iter().copied()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Equal forecasts share what came.
    for run in pairs.chunk_by_mut(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let mean = run.iter().map(|it| it.1).sum::<f64>() / run.len() as f64;
        run.iter_mut().for_each(|it| it.1 = mean);
    }
    let n = pairs.len();
    (0..10)
        .map(|k| &pairs[n * k / 10..n * (k + 1) / 10])
        .filter(|it| !it.is_empty())
        .map(|it| {
            let mean = |f: fn(&(f64, f64)) -> f64| it.iter().map(f).sum::<f64>() / it.len() as f64;
            (mean(|it| it.0), mean(|it| it.1))
        })
        .collect()
}

/// The forecasts that need no model. What must be learnt is learnt inside the past, on its last half or the horizon,
/// whichever is shorter.
fn baselines<P: Purchases>(
    known: &[(&P, Summary)],
    cutoff: i32,
    horizon: i32,
    days_per_unit: f64,
) -> Vec<(&'static str, Vec<f64>)> {
    let first = known.iter().filter_map(|it| it.0.first_day()).min().unwrap_or(cutoff);
    let window = horizon.min((cutoff - first) / 2).max(1);
    let inner = cutoff - window;
    let scale = f64::from(horizon) / f64::from(window);
    let whole = horizon.min(cutoff - first).max(1);
    let last = known.iter().map(|(it, _)| {
        let from = (cutoff - whole).max(it.first_day().unwrap_or(cutoff));
        f64::from(it.between(from, cutoff)) * f64::from(horizon) / f64::from(whole)
    });
    let units = f64::from(horizon) / days_per_unit;
    let rate = known.iter().map(|(_, it)| crate::baseline::lifetime_rate(it, units));
    let measures = |it: &P, at: i32| {
        let summary = it.summary(at, 1.0)?;
        Some(Measures {
            recency: summary.silence(),
            frequency: 1.0 + f64::from(summary.x()),
            monetary: it.mean_value(at),
        })
    };
    let learn: Vec<(Measures, f64)> = known
        .iter()
        .filter_map(|(it, _)| Some((measures(it, inner)?, scale * f64::from(it.between(inner, cutoff)))))
        .collect();
    let now: Vec<Measures> = known.iter().filter_map(|it| measures(it.0, cutoff)).collect();
    let (cells, edges) = (CellMeans::learn(&learn), Rfm::learn(&now));
    let cells = now.iter().map(|it| cells.predict(&edges, it));
    vec![
        ("repeat-last-window", last.collect()),
        ("lifetime-rate", rate.collect()),
        ("rfm-cell-mean", cells.collect()),
    ]
}
