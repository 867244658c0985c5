//! `perennial score fit`: begins a fit, shows how far it is, and stops it if the person does.

use std::time::Duration;

use anyhow::bail;
use perennial_api::scoring::v1::{
    CancelFitRequest, FitModelRequest, FitOperation, GetFitRequest, StartFitRequest,
};

use super::model::{model_json, model_text};
use crate::output;
use crate::session::{Session, told};

/// How often it is asked how far the fit is.
const LOOK: Duration = Duration::from_millis(100);

/// Fits a model and shows it.
///
/// # Errors
/// If there is nothing to learn from, or it was cancelled.
pub async fn run(
    session: &Session,
    kind: String,
    cutoff: Option<String>,
    publish: bool,
) -> anyhow::Result<()> {
    let fit = FitModelRequest {
        parent: session.parent(),
        kind,
        cutoff_date: cutoff.unwrap_or_default(),
        publish,
        request_id: String::new(),
    };
    let begun =
        session.scoring().start_fit(StartFitRequest { fit: Some(fit) }).await.map_err(told)?.into_inner();
    let ended = follow(session, begun).await?;
    let Some(model) = ended.model else { bail!("{}", ended.error) };
    if session.is_json() {
        return output::json(&model_json(&model));
    }
    output::show(&model_text(&model))?;
    Ok(())
}

/// Waits for the end. Ctrl-C asks the fit to stop, and then its end is waited for all the same.
async fn follow(session: &Session, begun: FitOperation) -> anyhow::Result<FitOperation> {
    let bar = output::steps();
    let mut it = begun;
    let mut interrupted = false;
    while !it.done {
        bar.expect(u64::try_from(it.steps_total).unwrap_or_default());
        bar.set(u64::try_from(it.steps_done).unwrap_or_default());
        bar.say(it.phase.clone());
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            pressed = tokio::signal::ctrl_c(), if !interrupted => {
                pressed?;
                interrupted = true;
                let request = CancelFitRequest { name: it.name.clone() };
                session.scoring().cancel_fit(request).await.map_err(told)?;
            }
        }
        let request = GetFitRequest { name: it.name.clone() };
        it = session.scoring().get_fit(request).await.map_err(told)?.into_inner();
    }
    bar.clear();
    Ok(it)
}
