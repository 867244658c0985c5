//! Fits the models of transactions: scaled time, several starts, a certified optimum or the limit of the model.

use crate::beta_geometric::{self, BetaGeometric};
use crate::error::{FitError, InvalidValue};
use crate::fit::{Fit, Report, Status};
use crate::kind::Kind;
use crate::model::Model;
use crate::nbd::Nbd;
use crate::optimise::BOX;
use crate::pareto::{self, ParetoNbd};
use crate::rows::{Row, Rows};
use crate::search::Problem;

/// A dropout probability below this, per order, is no dropout at all.
const NO_DROPOUT: f64 = 1e-4;

/// Fits a model of transactions to the histories of many customers.
///
/// Times are divided by the mean age first, so the unit does not matter; parameters are searched as logarithms
/// between e⁻¹⁵ and e¹⁵ of that scale.
///
/// # Errors
/// If there is nothing to learn from: fewer than two customers, no repeat purchase, no time.
pub fn fit(kind: Kind, rows: &Rows) -> Result<Fit, FitError> {
    fit_from(kind, rows, None)
}

/// Fits as [`fit`] does, starting at an earlier fit of the same kind: two to four steps instead of ten.
///
/// # Errors
/// As [`fit`].
pub fn fit_from(kind: Kind, rows: &Rows, start: Option<&Model>) -> Result<Fit, FitError> {
    // A kind can be written down that no model has, such as one with k = 0.
    Model::from_values(kind, &[1.0; 4])?;
    learnable(rows)?;
    let scale = rows.mean_age();
    let scaled = rows.scaled(1.0 / scale);
    let names = kind.parameters();
    let in_unit = |i: usize| if kind.is_time(i) { scale } else { 1.0 };
    let starts = match start.filter(|it| it.kind() == kind) {
        Some(earlier) => {
            vec![
                earlier
                    .params()
                    .iter()
                    .enumerate()
                    .map(|(i, (_, value))| (value / in_unit(i)).ln())
                    .collect(),
            ]
        }
        None => starts(kind, &scaled),
    };
    let add = |values: &[f64], rows: &[Row], sums: &mut [f64]| add(kind, values, rows, sums);
    let searched = Problem { names, positive: names.len(), add }
        .search(&scaled, &starts)
        .ok_or_else(|| FitError::NotFinite { model: kind.to_string(), field: "x" })?;
    let values: Vec<f64> =
        searched.found.at.iter().enumerate().map(|(i, it)| it.exp() * in_unit(i)).collect();
    let model = Model::from_values(kind, &values)?;
    let mut report = Report::new(names, &values, names.len(), searched, (rows.customers, rows.len()));
    report.ln_likelihood += constants(kind, rows, scale);
    if matches!(report.status, Status::Boundary { .. }) && nobody_drops_out(&model, scale) {
        return limit_without_dropout(kind, rows, report.status);
    }
    Ok(Fit { model, report })
}

/// Fits from a start, and from scratch where that is no optimum; only what may be published.
///
/// # Errors
/// As [`fit`], and if the search does not converge.
pub(crate) fn fit_soundly(kind: Kind, rows: &Rows, start: Option<&Model>) -> Result<Fit, FitError> {
    if start.is_some_and(|it| it.kind() == kind)
        && let Ok(found) = fit_from(kind, rows, start)
        && found.report.status == Status::Optimum
    {
        return Ok(found);
    }
    let found = fit_from(kind, rows, None)?;
    if found.report.is_sound() { Ok(found) } else { Err(FitError::NotConverged { model: kind.to_string() }) }
}

/// Value and derivatives by the parameters of one kind.
pub(crate) fn add(kind: Kind, values: &[f64], rows: &[Row], sums: &mut [f64]) {
    let mut family = |k, modified| {
        let model = BetaGeometric { r: values[0], alpha: values[1], a: values[2], b: values[3], k, modified };
        beta_geometric::Sums::new(&model).add(rows, sums);
    };
    match kind {
        Kind::BgNbd => family(1, false),
        Kind::MbgNbd => family(1, true),
        Kind::BgCnbd(k) => family(k, false),
        Kind::MbgCnbd(k) => family(k, true),
        Kind::ParetoNbd => {
            let model = ParetoNbd { r: values[0], alpha: values[1], s: values[2], beta: values[3] };
            pareto::add(&model, rows, sums);
        }
        Kind::Nbd => Nbd { r: values[0], alpha: values[1] }.add(rows, sums),
        // Refused before a search begins.
        Kind::Stack | Kind::Boosted => {}
    }
}

/// What the likelihood of unscaled purchase times holds besides that of scaled ones: one logarithm of time for each
/// sub-event, and the constants of Erlang gaps.
pub(crate) fn constants(kind: Kind, rows: &Rows, scale: f64) -> f64 {
    let (events, erlang) = match kind {
        Kind::BgCnbd(k) | Kind::MbgCnbd(k) => {
            let gammas: f64 =
                rows.rows.iter().map(|it| it.weight * beta_geometric::constants(k, it.x, 0.0)).sum();
            (f64::from(k), gammas + f64::from(k - 1) * rows.ln_gaps)
        }
        _ => (1.0, 0.0),
    };
    erlang - events * rows.repeat_purchases() * scale.ln()
}

/// Refuses data from which no rate can be learnt.
pub(crate) fn learnable(rows: &Rows) -> Result<(), FitError> {
    if rows.customers < 2.0 {
        return Err(FitError::TooFew { have: rows.customers as usize, need: 2 });
    }
    if rows.mean_age() <= 0.0 {
        return Err(FitError::NoTime);
    }
    if rows.repeat_purchases() <= 0.0 {
        return Err(FitError::NoRepeat);
    }
    if !rows.mean_age().is_finite() || rows.mean_age() < 1e-290 {
        let remedy = "use a unit in which ages lie between 1e-6 and 1e12";
        return Err(InvalidValue::new("age", "is out of range on average", rows.mean_age(), remedy).into());
    }
    Ok(())
}

fn nobody_drops_out(model: &Model, scale: f64) -> bool {
    match model {
        // Regular gaps have no simpler form here; the NBD is the limit only for exponential ones.
        Model::BetaGeometric(BetaGeometric { a, b, k, .. }) => *k == 1 && a / (a + b) < NO_DROPOUT,
        // Over ten times the mean age.
        Model::ParetoNbd(ParetoNbd { s, beta, .. }) => s * (10.0 * scale / beta).ln_1p() < NO_DROPOUT,
        Model::Nbd(_) | Model::Stack(_) => false,
    }
}

/// The NBD in place of a model in which dropping out has vanished.
fn limit_without_dropout(kind: Kind, rows: &Rows, status: Status) -> Result<Fit, FitError> {
    let mut limit = fit_from(Kind::Nbd, rows, None)?;
    if let (Status::Optimum, Status::Boundary { parameters, .. }) = (&limit.report.status, status) {
        let meaning = format!("nobody drops out: the limit of {kind} is nbd, which serves instead");
        limit.report.status = Status::Boundary { parameters, meaning };
    }
    Ok(limit)
}

/// Starting points from the mean rate and from shapes seen in practice, in logarithms of scaled parameters.
fn starts(kind: Kind, rows: &[Row]) -> Vec<Vec<f64>> {
    let sum = |f: fn(&Row) -> f64| rows.iter().map(|it| it.weight * f(it)).sum::<f64>();
    // Those who drop out dilute the rate of those who do not.
    let rate = 1.5 * sum(|it| it.x) / sum(|it| it.age);
    let k = match kind {
        Kind::BgCnbd(k) | Kind::MbgCnbd(k) => f64::from(k),
        _ => 1.0,
    };
    let shapes: &[[f64; 3]] = match kind {
        Kind::Nbd => &[[0.5, 0.0, 0.0], [3.0, 0.0, 0.0]],
        Kind::ParetoNbd => &[[0.6, 0.6, 0.4], [2.0, 0.3, 0.1], [0.3, 2.0, 3.0], [8.0, 1.0, 1.0]],
        _ => &[[0.5, 1.0, 3.0], [2.0, 0.5, 1.0], [0.2, 2.0, 15.0], [8.0, 0.2, 4.0]],
    };
    let start = |&[r, second, third]: &[f64; 3]| -> Vec<f64> {
        let alpha = r / (rate * k);
        let values = match kind {
            Kind::Nbd => vec![r, alpha],
            _ => vec![r, alpha, second, third],
        };
        values.iter().map(|it: &f64| it.ln().clamp(-0.9 * BOX, 0.9 * BOX)).collect()
    };
    shapes.iter().map(start).collect()
}
