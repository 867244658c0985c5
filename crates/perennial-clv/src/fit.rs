//! What a fit says about itself.

use crate::model::Model;
use crate::rows::Rows;
use crate::search::Searched;
use crate::stack::Stack;
use serde::{Deserialize, Serialize};

/// A fitted model and how far to trust it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The model to serve; where the data lie on a boundary, the limiting model.
    pub model: Model,
    /// How it was found.
    pub report: Report,
}

/// Parameters known better than this, as the standard deviation of their logarithm, are as good as known.
const AS_GOOD_AS_KNOWN: f64 = 0.02;

/// No parameter is taken to be off by more than this, as a logarithm.
const MOST_OFF: f64 = 3.0;

impl Fit {
    /// The model with the uncertainty of its parameters: a [`Stack`] of the same kind at d + 1 sets of parameters that have the
    /// mean and the covariance of the logarithms of the d fitted ones (the corners of a simplex; Julier 2003, "The
    /// Spherical Simplex Unscented Transformation"). What it forecasts, intervals above all, holds that uncertainty, which
    /// shows with a few hundred customers.
    ///
    /// The model itself where all parameters are known to two percent, as with many thousands of customers, or where the
    /// fit says nothing of their covariance; so is a stack of several kinds, whose members differ by more.
    #[must_use]
    pub fn uncertain(&self) -> Model {
        self.spread().unwrap_or(self.model)
    }

    fn spread(&self) -> Option<Model> {
        let params = self.model.params();
        let covariance = &self.report.covariance;
        let d = params.len();
        let known = (0..d).all(|i| covariance.get(i).and_then(|row| row.get(i)).is_some());
        if d == 0 || covariance.len() != d || !known {
            return None;
        }
        let root = cholesky(covariance);
        if (0..d).all(|i| covariance[i][i].sqrt() < AS_GOOD_AS_KNOWN) {
            return None;
        }
        let corner = |i: usize| -> Vec<f64> {
            let corners = d as f64 + 1.0;
            let coordinate = |j: usize| {
                let j1 = j as f64 + 1.0;
                let size = (corners / (j1 * (j1 + 1.0))).sqrt();
                if i <= j {
                    -size
                } else if i == j + 1 {
                    j1 * size
                } else {
                    0.0
                }
            };
            (0..d).map(coordinate).collect()
        };
        let models: Option<Vec<(f64, Model)>> = (0..=d)
            .map(|i| {
                let corner = corner(i);
                let off = |row: usize| -> f64 { (0..=row).map(|j| root[row][j] * corner[j]).sum() };
                let values: Vec<f64> =
                    (0..d).map(|row| params[row].1 * off(row).clamp(-MOST_OFF, MOST_OFF).exp()).collect();
                Some((1.0, Model::from_values(self.model.kind(), &values).ok()?))
            })
            .collect();
        Some(Model::Stack(Stack::new(&models?).ok()?))
    }

    /// A stack from the fits of its members. Its estimates are the weights, its log-likelihood the weighted mean of the
    /// members', its certificate the worst of theirs.
    pub(crate) fn pooled(stack: Stack, members: &[Self], rows: &Rows) -> Self {
        let worst = |f: fn(&Report) -> f64| members.iter().map(|it| f(&it.report)).fold(0.0, f64::max);
        let weights = stack.members().map(|(weight, model)| Estimate {
            name: model.kind().to_string(),
            value: weight,
            standard_error: None,
        });
        let sound = members.iter().all(|it| it.report.is_sound());
        let report = Report {
            ln_likelihood: stack
                .members()
                .zip(members)
                .map(|(it, fit)| it.0 * fit.report.ln_likelihood)
                .sum(),
            customers: rows.customers,
            rows: rows.len(),
            evaluations: members.iter().map(|it| it.report.evaluations).sum(),
            gradient_max: worst(|it| it.gradient_max),
            least_curvature: members.iter().map(|it| it.report.least_curvature).fold(f64::INFINITY, f64::min),
            status: if sound { Status::Optimum } else { Status::NotConverged },
            estimates: weights.collect(),
            covariance: Vec::new(),
        };
        Self { model: Model::Stack(stack), report }
    }
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
    /// The covariance of the logarithms of the parameters (of coefficients as they are), in order; zero for one on
    /// the boundary, empty if the likelihood is not curved.
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

    /// The value of a parameter.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        Some(self.estimates.iter().find(|it| it.name == name)?.value)
    }

    /// The standard error of a parameter.
    #[must_use]
    pub fn standard_error(&self, name: &str) -> Option<f64> {
        self.estimates.iter().find(|it| it.name == name)?.standard_error
    }

    /// `values` in the caller's unit, the first `positive` of which were searched as logarithms.
    pub(crate) fn new<N: AsRef<str>>(
        names: &[N],
        values: &[f64],
        positive: usize,
        searched: Searched,
        (customers, rows): (f64, usize),
    ) -> Self {
        let Searched { found, status } = searched;
        let n = names.len();
        let error = |i: usize| {
            let variance = found.covariance.as_ref().filter(|_| !found.bound.contains(&i))?[i * n + i];
            Some(variance.sqrt() * if i < positive { values[i] } else { 1.0 })
        };
        let estimates = names
            .iter()
            .enumerate()
            .map(|(i, name)| Estimate {
                name: name.as_ref().to_owned(),
                value: values[i],
                standard_error: error(i),
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

/// The lower root of a covariance; a parameter without variance, or without any of its own, adds nothing.
fn cholesky(covariance: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let d = covariance.len();
    let mut root = vec![vec![0.0; d]; d];
    for i in 0..d {
        for j in 0..=i {
            let shared: f64 = (0..j).map(|k| root[i][k] * root[j][k]).sum();
            let rest = covariance[i][j] - shared;
            root[i][j] = if i == j {
                rest.max(0.0).sqrt()
            } else if root[j][j] > 0.0 {
                rest / root[j][j]
            } else {
                0.0
            };
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use crate::{Kind, Model, Rows, Summary, fit};

    #[test]
    fn uncertain_parameters_have_the_mean_and_the_covariance_of_the_fit() {
        let customers = (0..400).map(|i| {
            let (x, age) = (f64::from(i * i % 11 * (i % 3)), 20.0 + f64::from(i % 17));
            let last = if x > 0.0 { age * f64::from(i % 7 + 1) / 8.0 } else { 0.0 };
            Summary::new(x as u32, last, age).expect("in order")
        });
        let found = fit(Kind::MbgNbd, &Rows::new(customers)).expect("a fit");
        let Model::Stack(stack) = found.uncertain() else { panic!("a few hundred customers do not tell") };
        let corners: Vec<Vec<f64>> = stack
            .members()
            .map(|(_, it)| {
                it.params().iter().zip(found.model.params()).map(|(a, b)| (a.1 / b.1).ln()).collect()
            })
            .collect();
        assert_eq!(corners.len(), 5);
        for i in 0..4 {
            assert!(corners.iter().map(|it| it[i]).sum::<f64>().abs() < 1e-9);
            for j in 0..4 {
                let moment = corners.iter().map(|it| it[i] * it[j]).sum::<f64>() / 5.0;
                let want = found.report.covariance[i][j];
                assert!((moment - want).abs() < 1e-9 * want.abs().max(1.0), "{i} {j}: {moment} {want}");
            }
        }
    }
}
