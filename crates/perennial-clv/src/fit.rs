//! Maximum likelihood: scaled time, several starts, a certified optimum or an honest report of a boundary.

use crate::beta_geometric::{self, BetaGeometric};
use crate::error::{FitError, InvalidValue};
use crate::kind::Kind;
use crate::model::Model;
use crate::nbd::Nbd;
use crate::optimise::{BOX, Found, Objective, minimise};
use crate::parallel;
use crate::pareto::{self, ParetoNbd};
use crate::rows::{Row, Rows};
use serde::{Deserialize, Serialize};

/// Starts are compared on about this many rows before all are read.
const SAMPLE: usize = 2048;

/// Below this curvature (per squared logarithm) the data say nothing about a parameter: its standard error is a
/// factor of e³⁰.
const FLAT: f64 = 1e-3;

/// A dropout probability below this, per order, is no dropout at all.
const NO_DROPOUT: f64 = 1e-4;

/// A fitted model and how far to trust it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The model to serve; where the data lie on a boundary, the limiting model.
    pub model: Model,
    /// How it was found.
    pub report: Report,
}

/// What a fit found out besides the parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Σ ln L over all customers, constants of the purchase times included.
    pub ln_likelihood: f64,
    /// Customers, Σ weight.
    pub customers: f64,
    /// Distinct histories read.
    pub rows: usize,
    /// Likelihood evaluations over all rows.
    pub evaluations: u32,
    /// The largest derivative of the log-likelihood by the logarithm of an inner parameter.
    pub gradient_max: f64,
    /// The smallest eigenvalue of the negative Hessian in logarithms of the inner parameters.
    pub least_curvature: f64,
    /// Whether this is an optimum.
    pub status: Status,
    /// The parameters and their standard errors.
    pub estimates: Vec<Estimate>,
    /// The covariance of the logarithms of the parameters, in order; zero for one on the boundary, empty if the
    /// likelihood is not curved.
    pub covariance: Vec<Vec<f64>>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Its name.
    pub name: String,
    /// Its value, in the unit of the data.
    pub value: f64,
    /// Its standard error (delta method from the Hessian in logarithms); none on a boundary.
    pub standard_error: Option<f64>,
}

/// Where a search ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// The gradient vanishes and the Hessian is positive definite.
    Optimum,
    /// The likelihood rises towards a limit of the model: these parameters carry no information of their own.
    Boundary {
        /// The parameters at their limit.
        parameters: Vec<String>,
        /// What the limit means, and which model serves.
        meaning: String,
    },
    /// The search stopped before the gradient vanished. Do not publish.
    NotConverged,
}

impl Report {
    /// Whether the optimum is certified or an honest limit: fit to serve.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !matches!(self.status, Status::NotConverged)
    }

    /// The standard error of a parameter.
    #[must_use]
    pub fn standard_error(&self, name: &str) -> Option<f64> {
        self.estimates.iter().find(|it| it.name == name)?.standard_error
    }

    pub(crate) fn new(
        names: &[&'static str],
        values: &[f64],
        searched: Searched,
        customers: f64,
        rows: usize,
    ) -> Self {
        let Searched { found, status } = searched;
        let n = names.len();
        let variance = |i: usize| found.covariance.as_ref().map(|it| it[i * n + i]);
        let estimates = (0..n)
            .map(|i| Estimate {
                name: names[i].to_owned(),
                value: values[i],
                standard_error: variance(i)
                    .filter(|_| !found.bound.contains(&i))
                    .map(|it| values[i] * it.sqrt()),
            })
            .collect();
        Self {
            ln_likelihood: -found.value,
            customers,
            rows,
            evaluations: found.evaluations,
            gradient_max: found.gradient_max,
            least_curvature: found.least_curvature,
            status,
            estimates,
            covariance: found
                .covariance
                .map_or_else(Vec::new, |it| it.chunks(n).map(<[f64]>::to_vec).collect()),
        }
    }
}

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
    let searched = match kind {
        Kind::BgNbd => search(names, &scaled, &starts, family(1, false)),
        Kind::MbgNbd => search(names, &scaled, &starts, family(1, true)),
        Kind::BgCnbd(k) => search(names, &scaled, &starts, family(k, false)),
        Kind::MbgCnbd(k) => search(names, &scaled, &starts, family(k, true)),
        Kind::ParetoNbd => {
            search(names, &scaled, &starts, |values: &[f64], rows: &[Row], sums: &mut [f64]| {
                let model = ParetoNbd { r: values[0], alpha: values[1], s: values[2], beta: values[3] };
                pareto::add(&model, rows, sums);
            })
        }
        Kind::Nbd => search(names, &scaled, &starts, |values: &[f64], rows: &[Row], sums: &mut [f64]| {
            Nbd { r: values[0], alpha: values[1] }.add(rows, sums);
        }),
    };
    let searched = searched.ok_or_else(|| FitError::NotFinite { model: kind.to_string(), field: "x" })?;
    let values: Vec<f64> =
        searched.found.at.iter().enumerate().map(|(i, it)| it.exp() * in_unit(i)).collect();
    let model = Model::from_values(kind, &values)?;
    let mut report = Report::new(names, &values, searched, rows.customers, rows.len());
    // Back in the caller's unit: Σ x + k-1 gaps each carry one logarithm of time.
    let (events, constants) = match kind {
        Kind::BgCnbd(k) | Kind::MbgCnbd(k) => {
            let constants: f64 =
                rows.rows.iter().map(|it| it.weight * beta_geometric::constants(k, it.x, 0.0)).sum();
            (f64::from(k), constants + f64::from(k - 1) * rows.ln_gaps)
        }
        _ => (1.0, 0.0),
    };
    report.ln_likelihood += constants - events * rows.repeat_purchases() * scale.ln();
    if matches!(report.status, Status::Boundary { .. }) && nobody_drops_out(&model, scale) {
        return limit_without_dropout(kind, rows, report.status);
    }
    Ok(Fit { model, report })
}

/// Refuses data from which no rate can be learnt.
fn learnable(rows: &Rows) -> Result<(), FitError> {
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
        Model::BetaGeometric(BetaGeometric { a, b, .. }) => a / (a + b) < NO_DROPOUT,
        // Over ten times the mean age.
        Model::ParetoNbd(ParetoNbd { s, beta, .. }) => s * (10.0 * scale / beta).ln_1p() < NO_DROPOUT,
        Model::Nbd(_) => false,
    }
}

/// The NBD in place of a model in which dropping out has vanished.
fn limit_without_dropout(kind: Kind, rows: &Rows, status: Status) -> Result<Fit, FitError> {
    // Regular gaps have no simpler form here; the NBD is the limit only for exponential ones.
    let mut limit = fit_from(Kind::Nbd, rows, None)?;
    if let (Status::Optimum, Status::Boundary { parameters, .. }) = (&limit.report.status, status) {
        let meaning = format!("nobody drops out: the limit of {kind} is nbd, which serves instead");
        limit.report.status = Status::Boundary { parameters, meaning };
    }
    Ok(limit)
}

fn family(k: u32, modified: bool) -> impl Fn(&[f64], &[Row], &mut [f64]) + Sync {
    move |values: &[f64], rows: &[Row], sums: &mut [f64]| {
        let model = BetaGeometric { r: values[0], alpha: values[1], a: values[2], b: values[3], k, modified };
        beta_geometric::Sums::new(&model).add(rows, sums);
    }
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

/// A search that has ended, and the verdict on it.
pub(crate) struct Searched {
    pub(crate) found: Found,
    pub(crate) status: Status,
}

/// A log-likelihood over rows as a function of logarithms of parameters, turned upside down.
struct Likelihood<'a, R, F> {
    rows: &'a [R],
    dimension: usize,
    /// Adds value and derivatives by the natural parameters.
    add: &'a F,
    pinned: Option<usize>,
}

impl<R: Sync, F: Fn(&[f64], &[R], &mut [f64]) + Sync> Objective for Likelihood<'_, R, F> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn pinned(&self, parameter: usize) -> bool {
        self.pinned == Some(parameter)
    }

    fn value(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let values: Vec<f64> = at.iter().map(|it| it.exp()).collect();
        let sums = parallel::sum(self.rows, self.dimension + 1, |rows, sums| (self.add)(&values, rows, sums));
        for (i, it) in gradient.iter_mut().enumerate() {
            *it = -values[i] * sums[i + 1];
        }
        -sums[0]
    }
}

/// Maximises over positive parameters: all starts on a sample of the rows, the best of them on all rows, and a
/// second search along the edge where the first ends on a ridge.
pub(crate) fn search<R: Sync + Copy, F: Fn(&[f64], &[R], &mut [f64]) + Sync>(
    names: &[&'static str],
    rows: &[R],
    starts: &[Vec<f64>],
    add: F,
) -> Option<Searched> {
    let over = |rows| Likelihood { rows, dimension: names.len(), add: &add, pinned: None };
    let best = |rows: &[R], starts: &[Vec<f64>], goal: f64| {
        let objective = Likelihood { rows, dimension: names.len(), add: &add, pinned: None };
        starts
            .iter()
            .filter_map(|it| minimise(&objective, it, goal))
            .min_by(|left, right| left.value.total_cmp(&right.value))
    };
    // The gradient of a sum of n rounded terms cannot vanish better than this.
    let goal = 1e-7_f64.max(1e-11 * rows.len() as f64);
    let stride = rows.len().div_ceil(SAMPLE);
    let found = if stride > 1 {
        let sample: Vec<R> = rows.iter().copied().step_by(stride).collect();
        let start = best(&sample, starts, 1e-4)?;
        minimise(&over(rows), &start.at, goal)?
    } else {
        best(rows, starts, goal)?
    };
    let accepted = 1e-6_f64.max(1e-9 * rows.len() as f64);
    if found.bound.is_empty() && found.gradient_max <= accepted && found.least_curvature > FLAT {
        return Some(Searched { found, status: Status::Optimum });
    }
    let found = to_the_edge(names.len(), rows, &add, found, goal);
    let status = if found.bound.is_empty() {
        if found.gradient_max <= accepted && found.least_curvature > 0.0 {
            Status::Optimum
        } else {
            Status::NotConverged
        }
    } else if found.gradient_max <= 1e3 * accepted {
        boundary(names, &found)
    } else {
        Status::NotConverged
    };
    Some(Searched { found, status })
}

/// Follows a ridge to the edge of the box, if the likelihood does not fall on the way.
fn to_the_edge<R: Sync, F: Fn(&[f64], &[R], &mut [f64]) + Sync>(
    dimension: usize,
    rows: &[R],
    add: &F,
    mut found: Found,
    goal: f64,
) -> Found {
    for _ in 0..dimension {
        let Some(flat) = found.flattest.filter(|_| found.least_curvature <= FLAT) else { break };
        let objective = Likelihood { rows, dimension, add, pinned: Some(flat) };
        let ends = [BOX, -BOX].into_iter().filter_map(|edge| {
            let mut start = found.at.clone();
            // Partners on the ridge move along, so that their ratio is kept.
            let shift = edge - start[flat];
            if start.len() > 1 && flat.is_multiple_of(2) {
                start[flat + 1] += shift;
            } else if flat > 0 {
                start[flat - 1] += shift;
            }
            start[flat] = edge;
            minimise(&objective, &start, goal)
        });
        let Some(end) = ends.min_by(|left, right| left.value.total_cmp(&right.value)) else { break };
        if end.value > found.value + 1e-6 * found.value.abs().max(1.0).sqrt() {
            break;
        }
        found = end;
    }
    found
}

fn boundary(names: &[&'static str], found: &Found) -> Status {
    let mut meaning = Vec::new();
    for &i in &found.bound {
        let end = if found.at[i] > 0.0 { "has no upper limit" } else { "vanishes" };
        let what = match names[i] {
            "r" | "alpha" => "customers hardly differ in their order rate, or hardly order",
            "a" | "b" => "customers hardly differ in their dropout probability, or it is extreme",
            "s" | "beta" => "customers hardly differ in their dropout rate, or it is extreme",
            _ => "the data do not determine it",
        };
        meaning.push(format!("{} {end}: {what}", names[i]));
    }
    Status::Boundary {
        parameters: found.bound.iter().map(|&i| names[i].to_owned()).collect(),
        meaning: meaning.join("; "),
    }
}
