//! `perennial pause` and `perennial resume`: a campaign, or everything that is sent.

use perennial_api::campaign::v1::campaign::State;
use perennial_api::campaign::v1::{
    Campaign, PauseWorkspaceRequest, ResumeWorkspaceRequest, UpdateCampaignRequest,
};
use perennial_api::notification::v1::{PauseSendingRequest, ResumeSendingRequest};
use serde_json::json;

use crate::output;
use crate::session::{Session, told};

/// Stops a campaign, or all sending.
///
/// # Errors
/// If a service refuses.
pub async fn pause(session: &Session, campaign: Option<String>, reason: String) -> anyhow::Result<()> {
    if let Some(campaign) = campaign {
        return set(session, &campaign, State::Paused, "paused: nobody enters, messages wait").await;
    }
    // Delivery first: it is the last gate before a provider.
    let request = PauseSendingRequest { parent: session.parent(), reason: reason.clone() };
    session.notification().pause_sending(request).await.map_err(told)?;
    let request = PauseWorkspaceRequest { parent: session.parent(), reason };
    session.campaign().pause_workspace(request).await.map_err(told)?;
    answer(
        session,
        "workspace",
        session.workspace.as_str(),
        "paused: nothing is sent until `perennial resume`",
    )
}

/// Lets a campaign run, or goes on sending.
///
/// # Errors
/// If a service refuses.
pub async fn resume(session: &Session, campaign: Option<String>) -> anyhow::Result<()> {
    if let Some(campaign) = campaign {
        return set(session, &campaign, State::Live, "live").await;
    }
    let request = ResumeWorkspaceRequest { parent: session.parent() };
    session.campaign().resume_workspace(request).await.map_err(told)?;
    let request = ResumeSendingRequest { parent: session.parent() };
    session.notification().resume_sending(request).await.map_err(told)?;
    let text = "sending goes on; what became too late meanwhile is not sent";
    answer(session, "workspace", session.workspace.as_str(), text)
}

async fn set(session: &Session, campaign: &str, state: State, text: &str) -> anyhow::Result<()> {
    let wanted =
        Campaign { name: session.name("campaigns", campaign), state: state.into(), ..Campaign::default() };
    let request =
        UpdateCampaignRequest { campaign: Some(wanted), allow_missing: false, validate_only: false };
    session.campaign().update_campaign(request).await.map_err(told)?;
    answer(session, "campaign", campaign, text)
}

fn answer(session: &Session, kind: &str, name: &str, text: &str) -> anyhow::Result<()> {
    if session.is_json() {
        return output::json(&json!({ "kind": kind, "name": name, "state": text }));
    }
    output::show(&format!("  {kind}/{name}  {text}"))?;
    Ok(())
}
