//! `perennial explain`: why a customer did, or did not, get a campaign's messages.

use perennial_api::campaign::v1::{Decision, ExplainDecisionRequest};
use perennial_api::profile::v1::Profile;
use perennial_api::segmentation::v1::{GetStageRequest, ProfileStage};
use serde_json::{Value, json};

use super::{instant, local};
use crate::output;
use crate::session::{Session, bare, told};

/// Tells the story of one customer in one campaign, or in all.
///
/// # Errors
/// If nobody is known by the identifier, or a service refuses.
pub async fn run(session: &Session, customer: &str, campaign: Option<String>) -> anyhow::Result<()> {
    let profile = session.profile(customer).await?;
    let request = ExplainDecisionRequest {
        profile: profile.name.clone(),
        campaign: campaign.clone().unwrap_or_default(),
        page_size: 1_000,
    };
    let story = session.campaign().explain_decision(request).await.map_err(told)?.into_inner();
    let request = GetStageRequest { name: profile.name.clone() };
    // Who is not known to segmentation yet is in no stage.
    let stage = session.segmentation().get_stage(request).await.map(tonic::Response::into_inner).ok();
    if session.is_json() {
        let entries: Vec<Value> = story.entries.iter().map(entry).collect();
        return output::json(&json!({
            "profile": profile.name, "stage": stage.as_ref().map(|it| it.stage.as_str()), "entries": entries,
        }));
    }
    let mut text = head(&profile, stage.as_ref());
    if story.entries.is_empty() {
        let which =
            campaign.as_ref().map_or_else(|| "any campaign".to_owned(), |it| format!("campaign {it}"));
        text.push_str(&format!("  nothing was decided for them in {which}: its trigger never met them\n"));
    }
    for it in &story.entries {
        text.push_str(&line(it, &profile.time_zone, campaign.is_none()));
    }
    output::show(&text)?;
    Ok(())
}

/// The profile's id, its name if a trait tells one, and where it stands.
fn head(profile: &Profile, stage: Option<&ProfileStage>) -> String {
    let traits: Value = serde_json::from_str(&profile.traits_json).unwrap_or_default();
    let word = |names: &[&str]| names.iter().find_map(|it| traits.get(*it)?.as_str()).unwrap_or_default();
    let full = word(&["name"]);
    let both = format!("{} {}", word(&["firstName", "first_name"]), word(&["lastName", "last_name"]));
    let name = if full.is_empty() { both.trim() } else { full };
    let mut text = format!("  profile {}", bare(&profile.name));
    if !name.is_empty() {
        text.push_str(&format!("  {name}"));
    }
    if let Some(stage) = stage {
        let before = stage.history.get(1).map(|it| format!("{} → ", it.stage)).unwrap_or_default();
        let since = local(stage.since.as_ref(), &profile.time_zone, "%Y-%m-%d %H:%M");
        text.push_str(&format!("  {before}{} since {since} ({})", stage.stage, profile.time_zone));
    }
    text.push('\n');
    text
}

fn line(it: &Decision, zone: &str, with_campaign: bool) -> String {
    let at = local(it.decide_time.as_ref(), zone, "%Y-%m-%d %H:%M:%S");
    let what = it.outcome.replace('_', " ");
    let what = if what == "waiting" { "not sent yet".to_owned() } else { what };
    let mut told: Vec<String> = it.reasons.iter().map(|it| it.text.clone()).collect();
    if !it.runner_up.is_empty() {
        told.push(format!(
            "won the slot over {}: {:.2} against {:.2}",
            it.runner_up, it.priority, it.runner_up_priority
        ));
    }
    if matches!(it.delivery.as_str(), "refused" | "expired") {
        told.push(format!("delivery {}: {}", it.delivery, it.delivery_reason));
    }
    let step = if it.step.is_empty() { String::new() } else { format!("{}  ", it.step) };
    let campaign = if with_campaign { format!("{:<16}  ", it.campaign) } else { String::new() };
    let line = format!("  {at}  {campaign}{what:<12}  {step}{}", told.join(" · "));
    format!("{}\n", line.trim_end())
}

fn entry(it: &Decision) -> Value {
    let reasons: Vec<Value> =
        it.reasons.iter().map(|it| json!({ "code": it.code, "text": it.text })).collect();
    json!({
        "decision_id": it.decision_id, "campaign": it.campaign, "version": it.version,
        "occurrence": it.occurrence, "step": it.step, "decide_time": instant(it.decide_time.as_ref()),
        "outcome": it.outcome, "reasons": reasons, "runner_up": it.runner_up, "priority": it.priority,
        "runner_up_priority": it.runner_up_priority, "delivery": it.delivery,
        "delivery_reason": it.delivery_reason,
    })
}
