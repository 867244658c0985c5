//! How well models foretell what they have not seen: several cutoffs in the past, each followed by days held out.

use perennial_clv::{Fit, Kind, Model, Rows, fit_from};
use serde::{Deserialize, Serialize};

use super::ledger::{DAYS_PER_WEEK, Ledger, count_between, summary};

/// The baseline every model has to beat.
pub const BASELINE: &str = "repeat-last-window";
/// Cutoffs, at most.
const MOST_CUTS: i32 = 3;
/// Days held out: a fifth of the history, within these.
const HORIZON: (i32, i32) = (14, 182);
/// Customers a cutoff needs before it.
const LEAST_CUSTOMERS: usize = 50;
/// How far the sum of predictions may be off, either way, before a model counts as not calibrated.
const MOST_OFF: f64 = 2.0;

/// What was held out, and how everybody did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldOut {
    /// The cutoffs, latest first.
    pub cutoffs: Vec<i32>,
    /// Days held out after each.
    pub horizon: i32,
    /// All that competed, best first; the baseline among them.
    pub contenders: Vec<Contender>,
    /// Mean predicted and actual purchases by decile of the chosen model's predictions, over all cutoffs.
    pub deciles: Vec<(f64, f64)>,
}

/// One that competed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// The model's kind or the baseline's name.
    pub kind: String,
    /// Mean Poisson deviance.
    pub deviance: f64,
    /// Predicted over actual, less one.
    pub bias: f64,
    /// Mean absolute error.
    pub mae: f64,
}

/// Cutoffs before `cutoff` and the days held out after each; nothing if the history is too short to hold anything out.
#[must_use]
pub fn cuts(ledger: &Ledger, cutoff: i32) -> (Vec<i32>, i32) {
    let Some(first) = ledger.first_day() else { return (Vec::new(), 0) };
    let horizon = ((cutoff - first + 1) / 5).clamp(HORIZON.0, HORIZON.1);
    let enough = |cut: i32| {
        let known = ledger.customers().filter(|it| it.first().is_some_and(|it| it.day <= cut)).count();
        cut - first >= 2 * horizon && known >= LEAST_CUSTOMERS
    };
    let cuts = (1..=MOST_CUTS).map(|k| cutoff - k * horizon).filter(|it| enough(*it)).collect();
    (cuts, horizon)
}

/// Fits from a start, and from scratch where that ends nowhere.
pub fn search(kind: Kind, rows: &Rows, start: Option<&Model>) -> Result<Fit, perennial_clv::FitError> {
    let start = start.filter(|it| it.kind() == kind);
    if start.is_some()
        && let Ok(found) = fit_from(kind, rows, start)
        && found.report.status == perennial_clv::Status::Optimum
    {
        return Ok(found);
    }
    fit_from(kind, rows, None)
}

/// Lets models compete. Nothing after a cutoff is used for what is foretold of it; each search starts where the one at
/// the cutoff before it ended, the first one at `start`.
#[must_use]
pub fn compete(ledger: &Ledger, cutoff: i32, kinds: &[Kind], start: Option<&Model>) -> Option<HoldOut> {
    let (cutoffs, horizon) = cuts(ledger, cutoff);
    if cutoffs.is_empty() {
        return None;
    }
    let mut starts: Vec<Option<Model>> = kinds.iter().map(|_| start.copied()).collect();
    let mut foretold: Vec<(Kind, Vec<f64>)> = kinds.iter().map(|it| (*it, Vec::new())).collect();
    let (mut repeated, mut seen) = (Vec::new(), Vec::new());
    for cut in cutoffs.iter().rev() {
        let known: Vec<_> =
            ledger.customers().filter_map(|days| Some((days, summary(days, *cut)?))).collect();
        seen.extend(known.iter().map(|(days, _)| f64::from(count_between(days, *cut, cut + horizon))));
        let last = known.iter().map(|(days, _)| f64::from(count_between(days, cut - horizon, *cut)));
        let last: Vec<f64> = last.collect();
        // A tenth of the mean: a rate of exactly nothing would be refuted by a single order.
        let mean = last.iter().sum::<f64>() / last.len() as f64;
        repeated.extend(last.iter().map(|it| 0.9 * it + 0.1 * mean));
        let rows = Rows::new(known.iter().map(|it| it.1));
        for ((kind, predictions), start) in foretold.iter_mut().zip(&mut starts) {
            let found = search(*kind, &rows, start.as_ref()).ok().filter(|it| it.report.is_sound());
            if let Some(found) = &found {
                let weeks = f64::from(horizon) / DAYS_PER_WEEK;
                predictions.extend(known.iter().map(|it| found.model.expected(&it.1, weeks)));
            }
            *start = found.map(|it| it.model);
        }
    }
    let whole = |it: &(Kind, Vec<f64>)| it.1.len() == seen.len();
    foretold.retain(whole);
    let mut contenders: Vec<Contender> =
        foretold.iter().map(|(kind, it)| contender(&kind.to_string(), it, &seen)).collect();
    contenders.push(contender(BASELINE, &repeated, &seen));
    contenders.sort_by(|a, b| a.deviance.total_cmp(&b.deviance));
    let best = contenders.iter().find_map(|it| foretold.iter().find(|(kind, _)| kind.to_string() == it.kind));
    let deciles = best.map(|(_, it)| deciles(it, &seen)).unwrap_or_default();
    Some(HoldOut { cutoffs, horizon, contenders, deciles })
}

impl HoldOut {
    /// Models by how well they did, best first.
    pub fn ranking(&self) -> impl Iterator<Item = Kind> {
        self.contenders.iter().filter_map(|it| it.kind.parse().ok())
    }

    /// Why a kind may not be published; nothing if it may.
    #[must_use]
    pub fn objection(&self, kind: Kind) -> Option<String> {
        let name = kind.to_string();
        let Some(it) = self.contenders.iter().find(|it| it.kind == name) else {
            return Some(format!("{name} could not be fitted at every cutoff of the hold-out"));
        };
        let baseline = self.contenders.iter().find(|it| it.kind == BASELINE)?;
        if it.deviance >= baseline.deviance {
            return Some(format!(
                "{name} foretells worse than {BASELINE}: deviance {:.4} against {:.4}",
                it.deviance, baseline.deviance
            ));
        }
        let off = 1.0 + it.bias;
        if !(1.0 / MOST_OFF..=MOST_OFF).contains(&off) {
            return Some(format!("{name} foretold {off:.2} times the orders that came in the hold-out"));
        }
        None
    }
}

fn contender(kind: &str, predicted: &[f64], seen: &[f64]) -> Contender {
    let n = seen.len() as f64;
    let pairs = || predicted.iter().zip(seen);
    let deviance = pairs().map(|(mean, actual)| {
        let mean = mean.max(1e-9);
        let missed = if *actual > 0.0 { actual * (actual / mean).ln() } else { 0.0 };
        2.0 * (missed - (actual - mean))
    });
    let actual: f64 = seen.iter().sum();
    Contender {
        kind: kind.to_owned(),
        deviance: deviance.sum::<f64>() / n,
        bias: if actual > 0.0 { predicted.iter().sum::<f64>() / actual - 1.0 } else { f64::MAX },
        mae: pairs().map(|(mean, actual)| (mean - actual).abs()).sum::<f64>() / n,
    }
}

fn deciles(predicted: &[f64], seen: &[f64]) -> Vec<(f64, f64)> {
    let mut pairs: Vec<(f64, f64)> = predicted.iter().copied().zip(seen.iter().copied()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
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
