//! `perennial score`: models, and what a customer is worth.

mod backtest;
mod compare;
mod explain;
mod export;
mod fit;
mod follow;
mod model;
mod plot;
pub mod predict;
mod report;
mod show;

use crate::cli::Score;
use crate::session::Session;

pub use model::{model_json, model_text};
pub use show::score_text;

/// Fits a model, looks back, or shows scores.
///
/// # Errors
/// If scoring refuses: too few orders, an unknown model, nobody known by that name.
pub async fn run(session: &Session, what: Score) -> anyhow::Result<()> {
    match what {
        Score::Fit { model, cutoff, grouping, publish } => {
            fit::run(session, (model, cutoff, grouping), publish).await
        }
        Score::Compare { models } => compare::run(session, &models).await,
        Score::Show { customer: Some(customer) } => show::one(session, &customer).await,
        Score::Show { customer: None } => show::all(session).await,
        Score::Explain { customer } => explain::run(session, &customer).await,
        Score::Export { file, format, as_of } => {
            export::run(session, file.as_deref(), format, as_of.as_deref()).await
        }
        Score::Backtest { cutoff, horizon, report } => {
            backtest::run(session, cutoff, &horizon, report.as_deref()).await
        }
        Score::Predict { model, parameters, file } => {
            predict::run(session.format, &model, &parameters, &file)
        }
    }
}
