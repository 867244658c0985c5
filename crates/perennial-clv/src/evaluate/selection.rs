//! Which model serves: chosen on hold-outs inside the data it may see, never by the score it is later judged by.

use super::contest;
use super::metrics::Metrics;
use super::plan::{Origin, Plan};
use super::purchases::Purchases;
use super::settle::settle;
use super::tracking::Level;
use crate::boosting::Boosting;
use crate::error::{FitError, InvalidValue};
use crate::fit::Fit;
use crate::kind::Kind;
use crate::model::Model;
use crate::rows::Rows;
use crate::stack::Stack;
use crate::transactions::fit_soundly;
use serde::{Deserialize, Serialize};

/// The kinds that compete unless others are named. The first one serves unless another is clearly better.
pub const COMPETITORS: [Kind; 5] = [Kind::ParetoNbd, Kind::MbgNbd, Kind::BgNbd, Kind::MbgCnbd(2), Kind::Nbd];

/// The same, and boosted trees over them.
pub const COMPETITORS_BOOSTED: [Kind; 6] =
    [Kind::ParetoNbd, Kind::MbgNbd, Kind::BgNbd, Kind::MbgCnbd(2), Kind::Nbd, Kind::Boosted];

/// The baseline every model has to beat.
pub const BASELINE: &str = "repeat-last-window";

/// How one model, or the baseline, did over all origins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// The model's kind or the baseline's name.
    pub name: String,
    /// The model; none for the baseline.
    pub kind: Option<Kind>,
    /// The mean logarithm of the chance given to what came: the proper score by which models are chosen. None for the
    /// baseline, which gives no chances.
    pub score: Option<f64>,
    /// By how much that is better than the first model's, and the standard error of it over customers.
    pub gain: Option<(f64, f64)>,
    /// All origins together; none where it could not be fitted.
    pub metrics: Option<Metrics>,
    /// Σ forecast / Σ actual − 1 at each origin, the earliest first.
    pub biases: Vec<f64>,
    /// Why it may not be published, if so.
    pub refused: Option<Reason>,
}

/// Why a model is not published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// It could not be fitted at one of the origins.
    Unfitted {
        /// What went wrong.
        error: String,
    },
    /// Its deviance is above that of repeating the last window.
    LosesToBaseline {
        /// Its own.
        deviance: f64,
        /// The baseline's.
        baseline: f64,
    },
    /// The level of its forecasts, or too large a share of orders by tenths of customers, was wrong.
    Uncalibrated {
        /// Orders forecast for one that came.
        level: f64,
        /// The share of orders forecast into the wrong tenth.
        misplaced: f64,
    },
}

/// A member of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// Which model.
    pub kind: Kind,
    /// Its weight.
    pub weight: f64,
}

/// Who competed, and who won.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Where the past was cut, the earliest first; empty if it is too short or too few customers were known.
    pub origins: Vec<Origin>,
    /// The model to publish; none if no contender may be.
    pub chosen: Option<Kind>,
    /// Why this one.
    pub why: String,
    /// The members of the stack, with the weights learnt on all origins.
    pub weights: Vec<Weight>,
    /// All contenders, the best first, then those refused; the baseline among them.
    pub contenders: Vec<Contender>,
    /// How far Σ actual / Σ forecast of the chosen model varies from one period to another.
    #[serde(flatten)]
    pub level: Level,
    /// Mean forecast and actual purchases by tenth of the chosen model's forecasts, over all origins.
    pub deciles: Vec<(f64, f64)>,
    /// The trees of [`Kind::Boosted`], grown at all origins, where it competed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boosting: Option<Boosting>,
}

/// Fits every kind at every origin, makes a stack of them, and chooses.
///
/// The score is the mean logarithm of the chance given to the count that came. The weights by which the stack is judged
/// at one origin are learnt at the others. The first kind serves unless another one, or the stack, is better by two
/// standard errors over customers; then the stack does, unless a single kind is better than it by as much. Nothing that loses to repeating the last window, is miscalibrated or cannot be fitted
/// is chosen. Nothing after the last hold-out is looked at.
#[must_use]
pub fn select<P: Purchases>(
    customers: &[P],
    kinds: &[Kind],
    plan: &Plan,
    start: Option<&Model>,
) -> Selection {
    select_with(customers, kinds, plan, start, |_, _| false).unwrap_or_else(|| settle(&[], kinds, None))
}

/// As [`select`]; `stop` hears of each fit before it begins, as (fits done, fits in all), and ends the selection by
/// answering `true`: then there is none.
pub fn select_with<P: Purchases>(
    customers: &[P],
    kinds: &[Kind],
    plan: &Plan,
    start: Option<&Model>,
    mut stop: impl FnMut(usize, usize) -> bool,
) -> Option<Selection> {
    let boosts = kinds.contains(&Kind::Boosted).then_some(plan.days_per_unit);
    // What is laid over others is not fitted by itself.
    let kinds: Vec<Kind> =
        kinds.iter().copied().filter(|it| !matches!(it, Kind::Stack | Kind::Boosted)).collect();
    let all = plan.origins.len() * kinds.len();
    let rounds = contest::hold(customers, plan, &kinds, (start, boosts.is_some()), |done| stop(done, all))?;
    Some(settle(&rounds, &kinds, boosts))
}

impl Selection {
    /// How one kind did.
    #[must_use]
    pub fn contender(&self, kind: Kind) -> Option<&Contender> {
        self.contenders.iter().find(|it| it.kind == Some(kind))
    }

    /// Kinds from the chosen one down to those that were refused.
    pub fn ranking(&self) -> impl Iterator<Item = Kind> + '_ {
        self.contenders.iter().filter_map(|it| it.kind)
    }

    /// Fits a kind to all rows; a stack from its members, those that can no longer be fitted left out; for boosted trees the
    /// model that [`Selection::boosting`] is to be laid over.
    ///
    /// # Errors
    /// If it cannot be fitted, or does not converge; a stack if none of its members can.
    pub fn fit(&self, kind: Kind, rows: &Rows, start: Option<&Model>) -> Result<Fit, FitError> {
        let member = |kind: Kind| fit_soundly(kind, rows, start.and_then(|it| it.member(kind)).as_ref());
        match kind {
            // One model alone has no weights.
            Kind::Boosted if self.weights.is_empty() => {
                let only = self.contenders.iter().find(|it| it.score.is_some() && it.kind != Some(kind));
                return member(only.and_then(|it| it.kind).unwrap_or(Kind::ParetoNbd));
            }
            Kind::Stack | Kind::Boosted => {}
            _ => return member(kind),
        }
        let mut fits = Vec::new();
        let mut failed = None;
        for it in self.weights.iter().filter(|it| it.weight >= 1e-3) {
            match member(it.kind) {
                Ok(fit) => fits.push((it.weight, fit)),
                Err(error) => failed = Some(error),
            }
        }
        if fits.is_empty() {
            let remedy = "hold something out first, or fit one of pareto-nbd, mbg-nbd and bg-nbd";
            let none = InvalidValue::new("kind", "has no members with a weight", kind, remedy);
            return Err(failed.unwrap_or_else(|| none.into()));
        }
        let members: Vec<(f64, Model)> = fits.iter().map(|(weight, fit)| (*weight, fit.model)).collect();
        let stack = Stack::new(&members)?;
        Ok(Fit::pooled(stack, &fits.into_iter().map(|it| it.1).collect::<Vec<_>>(), rows))
    }
}
