//! Which model serves: chosen on hold-outs inside the data it may see, never by the score it is later judged by.

use super::metrics::Metrics;
use crate::baseline::repeat_last_window;
use crate::error::InvalidValue;
use crate::history::History;
use crate::kind::Kind;
use crate::rows::Rows;
use crate::transactions::fit;
use serde::{Deserialize, Serialize};

/// Deviances closer than this, relatively, count as equal, and the ranking decides.
const TIE: f64 = 1e-3;

/// The cuts and the length of the hold-outs, in days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The last day of each calibration.
    pub cuts: Vec<i32>,
    /// Days forecast after each cut.
    pub horizon: i32,
    /// Days in the models' unit of time: 7 for weeks.
    pub days_per_unit: f64,
    /// The largest share of orders that may be forecast into the wrong tenth of customers.
    pub most_misplaced: f64,
}

/// How one model did over all cuts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The model, or none for the baseline that repeats the last window.
    pub kind: Option<Kind>,
    /// What it scored at each cut; empty where it could not be fitted.
    pub cuts: Vec<Metrics>,
    /// Mean deviance over the cuts, weighted by customers; none where a cut is missing.
    pub deviance: Option<f64>,
    /// Mean Gini over the cuts.
    pub gini: f64,
    /// Mean share of orders in the wrong tenth.
    pub misplaced: f64,
    /// Why it may not be published, if so.
    pub refused: Option<Reason>,
}

/// Why a model is not published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// It could not be fitted at one of the cuts.
    Unfitted {
        /// What went wrong.
        error: String,
    },
    /// Its deviance is above that of repeating the last window.
    LosesToBaseline,
    /// Too large a share of orders came from the wrong tenth of customers.
    Uncalibrated,
}

/// Who competed, and who won.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The model to publish; none if no candidate may be.
    pub chosen: Option<Kind>,
    /// All candidates, the best first.
    pub candidates: Vec<Candidate>,
    /// The baseline all must beat.
    pub baseline: Candidate,
}

impl Plan {
    /// Three cuts (fewer where history is short) that end in the data: the hold-out is `horizon` days or a third of
    /// the span from `first` to `last`, the shorter; cuts lie half a hold-out apart, the first calibration is never
    /// shorter than a third of the span.
    ///
    /// # Errors
    /// If there are fewer than six days, or the unit is not positive.
    pub fn recent(first: i32, last: i32, horizon: i32, days_per_unit: f64) -> Result<Self, InvalidValue> {
        let span = last.saturating_sub(first);
        InvalidValue::positive("days_per_unit", days_per_unit)?;
        if span < 6 || horizon < 1 {
            let remedy = "wait for more data, or publish without selection";
            return Err(InvalidValue::new(
                "span",
                "must be at least six days, the horizon one",
                span,
                remedy,
            ));
        }
        let horizon = horizon.min(span / 3);
        let cuts = (0..3)
            .map(|k| last - horizon - k * (horizon / 2).max(1))
            .filter(|cut| *cut >= first + span / 3)
            .collect();
        Ok(Self { cuts, horizon, days_per_unit, most_misplaced: 0.35 })
    }
}

/// Fits every kind at every cut and ranks them by mean Poisson deviance on what followed, ties by Gini.
///
/// A model that loses to repeating the last window, is miscalibrated by tenths, or cannot be fitted is refused.
/// Orders after the last hold-out are not looked at.
#[must_use]
pub fn select(histories: &[History], kinds: &[Kind], plan: &Plan) -> Selection {
    let baseline = rate(None, plan.cuts.iter().map(|&cut| Ok(baseline_at(histories, cut, plan))));
    let mut candidates: Vec<Candidate> = kinds
        .iter()
        .map(|&kind| {
            let mut it = rate(Some(kind), plan.cuts.iter().map(|&cut| model_at(histories, kind, cut, plan)));
            if it.refused.is_none() {
                it.refused = judge(&it, &baseline, plan);
            }
            it
        })
        .collect();
    candidates.sort_by(|left, right| {
        let deviance = |it: &Candidate| it.deviance.unwrap_or(f64::INFINITY);
        left.refused.is_some().cmp(&right.refused.is_some()).then(deviance(left).total_cmp(&deviance(right)))
    });
    // Among those as good as the best, the one that ranks best.
    let best = candidates.first().filter(|it| it.refused.is_none()).and_then(|it| it.deviance);
    let chosen = best.and_then(|best| {
        candidates
            .iter()
            .filter(|it| it.refused.is_none() && it.deviance.is_some_and(|it| it <= best * (1.0 + TIE)))
            .max_by(|left, right| left.gini.total_cmp(&right.gini))
            .and_then(|it| it.kind)
    });
    Selection { chosen, candidates, baseline }
}

fn judge(it: &Candidate, baseline: &Candidate, plan: &Plan) -> Option<Reason> {
    let (Some(ours), Some(theirs)) = (it.deviance, baseline.deviance) else { return None };
    if ours > theirs {
        return Some(Reason::LosesToBaseline);
    }
    (it.misplaced > plan.most_misplaced).then_some(Reason::Uncalibrated)
}

fn rate(kind: Option<Kind>, cuts: impl Iterator<Item = Result<Option<Metrics>, String>>) -> Candidate {
    let (mut scored, mut refused, mut missing) = (Vec::new(), None, false);
    for it in cuts {
        match it {
            Ok(Some(metrics)) => scored.push(metrics),
            Ok(None) => missing = true,
            Err(error) => {
                refused = Some(Reason::Unfitted { error });
                missing = true;
            }
        }
    }
    let customers: f64 = scored.iter().map(|it| it.customers as f64).sum();
    let mean = |f: fn(&Metrics) -> f64| {
        scored.iter().map(|it| it.customers as f64 * f(it)).sum::<f64>() / customers.max(1.0)
    };
    let deviance = (!missing && !scored.is_empty()).then(|| mean(|it| it.deviance));
    if deviance.is_none() && refused.is_none() {
        refused = Some(Reason::Unfitted { error: "there is no hold-out to judge by".to_owned() });
    }
    Candidate {
        kind,
        deviance,
        gini: mean(|it| it.gini),
        misplaced: mean(|it| it.misplaced),
        refused,
        cuts: scored,
    }
}

/// Customers known at a cut, and what they ordered after it.
fn actuals(histories: &[History], cut: i32, plan: &Plan) -> Vec<f64> {
    known(histories, cut)
        .map(|it| f64::from(it.purchases_between(cut, cut.saturating_add(plan.horizon))))
        .collect()
}

fn known(histories: &[History], cut: i32) -> impl Iterator<Item = &History> {
    histories.iter().filter(move |it| it.first_day().is_some_and(|it| it <= cut))
}

fn baseline_at(histories: &[History], cut: i32, plan: &Plan) -> Option<Metrics> {
    let first = known(histories, cut).filter_map(History::first_day).min()?;
    let window = plan.horizon.min(cut.saturating_sub(first)).max(1);
    let forecast: Vec<f64> =
        known(histories, cut).map(|it| repeat_last_window(it, cut, window, plan.horizon)).collect();
    Metrics::new(&forecast, &actuals(histories, cut, plan))
}

fn model_at(histories: &[History], kind: Kind, cut: i32, plan: &Plan) -> Result<Option<Metrics>, String> {
    let summaries: Vec<_> =
        known(histories, cut).filter_map(|it| it.summary(cut, plan.days_per_unit)).collect();
    let fit = fit(kind, &Rows::new(summaries.iter().copied())).map_err(|error| error.to_string())?;
    if !fit.report.is_sound() {
        return Err(format!("{kind}: the search stopped before the gradient vanished"));
    }
    let horizon = f64::from(plan.horizon) / plan.days_per_unit;
    let forecast: Vec<f64> = summaries.iter().map(|it| fit.model.expected(it, horizon)).collect();
    Ok(Metrics::new(&forecast, &actuals(histories, cut, plan)))
}
