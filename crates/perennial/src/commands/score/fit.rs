//! `perennial score fit`: begins a fit, shows how far it is, and stops it if the person does.

use anyhow::bail;
use perennial_api::scoring::v1::{
    CancelFitRequest, FitModelRequest, FitOperation, GetFitRequest, StartFitRequest,
};

use super::follow;
use super::model::{model_json, model_text};
use crate::output;
use crate::session::{Session, told};

/// Fits a model and shows it.
///
/// # Errors
/// If there is nothing to learn from, or it was cancelled.
pub async fn run(
    session: &Session,
    (kind, cutoff, grouping): (String, Option<String>, Option<String>),
    publish: bool,
) -> anyhow::Result<()> {
    let fit = FitModelRequest {
        parent: session.parent(),
        kind,
        cutoff_date: cutoff.unwrap_or_default(),
        publish,
        request_id: String::new(),
        grouping: grouping.unwrap_or_default(),
    };
    let begun =
        session.scoring().start_fit(StartFitRequest { fit: Some(fit) }).await.map_err(told)?.into_inner();
    let ended = followed(session, begun).await?;
    let Some(model) = ended.model else { bail!("{}", ended.error) };
    if session.is_json() {
        return output::json(&model_json(&model));
    }
    output::show(&model_text(&model))?;
    Ok(())
}

async fn followed(session: &Session, begun: FitOperation) -> anyhow::Result<FitOperation> {
    let stands = |it: &FitOperation| follow::Stands {
        is_done: it.done,
        steps: (it.steps_done, it.steps_total),
        phase: it.phase.clone(),
    };
    let name = begun.name.clone();
    let get = async || {
        let request = GetFitRequest { name: name.clone() };
        Ok(session.scoring().get_fit(request).await.map_err(told)?.into_inner())
    };
    let cancel = async || {
        let request = CancelFitRequest { name: name.clone() };
        session.scoring().cancel_fit(request).await.map_err(told)?;
        Ok(())
    };
    follow::to_the_end(begun, stands, get, cancel).await
}
