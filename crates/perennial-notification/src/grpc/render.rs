//! Domain values to messages.

use perennial_api::notification::v1 as wire;
use perennial_rpc::time::to_wire;
use perennial_types::Workspace;

use crate::app::{Change, Receipt};
use crate::domain::message::State;
use crate::domain::template::Template;
use crate::store::messages::Listed;
use crate::store::pauses::Pause;
use crate::store::templates::StoredTemplate;

/// What became of a message to send.
pub fn receipt(it: Receipt) -> wire::MessageReceipt {
    let outcome = it.taken.as_str();
    wire::MessageReceipt { message_id: it.id.to_string(), outcome: outcome.to_owned(), reason: it.reason }
}

/// A template.
pub fn template(space: &Workspace, it: StoredTemplate) -> wire::Template {
    wire::Template {
        name: format!("{}/templates/{}", space.resource(), it.name),
        description: Template::from_yaml(&it.definition).map(|it| it.description).unwrap_or_default(),
        definition: it.definition,
        version: it.version.unsigned_abs(),
        create_time: Some(to_wire(it.created_at)),
        update_time: Some(to_wire(it.updated_at)),
    }
}

/// What an update did.
pub fn change(done: Change) -> wire::update_template_response::Change {
    match done {
        Change::Created => wire::update_template_response::Change::Created,
        Change::Updated => wire::update_template_response::Change::Updated,
        Change::Unchanged => wire::update_template_response::Change::Unchanged,
    }
}

/// A message as it is shown.
pub fn message(space: &Workspace, it: Listed) -> wire::Message {
    wire::Message {
        message_id: it.id.to_string(),
        decision_id: it.decision.map(|it| it.to_string()).unwrap_or_default(),
        profile: format!("{}/profiles/{}", space.resource(), it.profile),
        campaign: it.campaign,
        step: it.step,
        occurrence: it.occurrence,
        channel: it.channel,
        purpose: it.purpose,
        template: it.template,
        state: it.state.as_str().to_owned(),
        reason: it.reason,
        attempts: i32::try_from(it.attempts).unwrap_or(i32::MAX),
        claim_time: Some(to_wire(it.claimed_at)),
        settle_time: it.settled_at.map(to_wire),
        not_before_time: Some(to_wire(it.not_before)),
        not_after_time: it.not_after.map(to_wire),
    }
}

/// How many messages of a campaign are in a state.
pub fn count((campaign, state, count): (String, State, i64)) -> wire::MessageCount {
    wire::MessageCount { campaign, state: state.as_str().to_owned(), count }
}

/// Whether a workspace hands over.
pub fn pause(it: Option<Pause>) -> wire::SendingPause {
    match it {
        None => wire::SendingPause::default(),
        Some(it) => {
            wire::SendingPause { paused: it.paused, reason: it.reason, update_time: Some(to_wire(it.at)) }
        }
    }
}
