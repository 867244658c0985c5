#![doc = include_str!("../README.md")]

pub mod baseline;
mod beta_geometric;
mod bgbb;
mod boosting;
mod counts;
mod covariates;
mod error;
pub mod evaluate;
mod fit;
mod gamma_gamma;
mod history;
mod kind;
mod model;
mod nbd;
mod optimise;
mod parallel;
mod pareto;
mod quadrature;
mod renewal;
pub mod rfm;
mod root;
mod rows;
mod search;
mod season;
pub mod simulate;
mod special;
mod stack;
mod summary;
mod transactions;
mod value;

pub use beta_geometric::BetaGeometric;
pub use bgbb::{BgBb, Occasions};
pub use boosting::{Boosted, Boosting};
pub use counts::Counts;
pub use covariates::{Coefficient, CovariateModel, Described};
pub use error::{FitError, InvalidValue};
pub use fit::{Estimate, Fit, Report, Status};
pub use gamma_gamma::{GammaGamma, Spend, SpendFit};
pub use history::History;
pub use kind::Kind;
pub use model::{Given, Model};
pub use nbd::Nbd;
pub use pareto::ParetoNbd;
pub use renewal::{Renewal, Tenure};
pub use rows::Rows;
pub use season::Season;
pub use stack::Stack;
pub use summary::Summary;
pub use transactions::{fit, fit_from};
pub use value::{Interval, LEVELS, Valuation, Value};

/// The continuous discount rate per unit of time that equals a yearly rate: ln(1 + `yearly`) / `units_per_year`.
///
/// `continuous_rate(0.10, 365.25 / 7.0)` is ten percent a year for a model in weeks. Rates of −100 % and below
/// count as none.
#[must_use]
pub fn continuous_rate(yearly: f64, units_per_year: f64) -> f64 {
    if yearly > -1.0 && units_per_year > 0.0 { yearly.ln_1p() / units_per_year } else { 0.0 }
}
