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

impl Fit {
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
