//! How good forecasts are: on hold-out, by proper scores first.

mod calibration;
mod metrics;
mod selection;

pub use calibration::{coverage, randomised_pit, uniform_distance};
pub use metrics::{Metrics, poisson_deviance};
pub use selection::{Candidate, Plan, Reason, Selection, select};
