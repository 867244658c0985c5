//! How good forecasts are: on hold-out, by proper scores first.

mod backtest;
mod boosted;
mod calibration;
mod contest;
mod foretold;
mod metrics;
mod plan;
mod purchases;
mod selection;
mod settle;
mod tracking;
mod weights;

pub use backtest::{Backtest, BacktestError, Line, Measured, backtest, backtest_with};
pub use calibration::{coverage, randomised_pit, uniform_distance};
pub use metrics::{Metrics, poisson_deviance};
pub use plan::{Origin, Plan};
pub use purchases::Purchases;
pub use selection::{
    BASELINE, COMPETITORS, COMPETITORS_BOOSTED, Contender, Reason, Selection, Weight, select, select_with,
};
pub use tracking::{Level, Step, Total, track};
