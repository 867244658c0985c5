//! What people do with messages: unsubscribe, click, open. Each commits here first and reaches ingestion as an event.

use std::collections::{BTreeMap, BTreeSet};

use perennial_api::ingestion::v1::Event;
use perennial_feed::Command;
use perennial_rpc::{structs, time};
use perennial_store::Store;
use perennial_types::{Timestamp, Workspace, new_id};
use prost::Message as _;
use serde_json::json;
use uuid::Uuid;

use super::gather::Gather;
use super::{App, INGESTION};
use crate::domain::links::{Click, Open, Unsubscribe};
use crate::domain::message::{Message, State};
use crate::domain::reaction::{Verdict, verdict};
use crate::error::Result;
use crate::store::messages::{self, Sent};
use crate::store::suppressions::{self, Suppression};

/// How a request for a click or an open came.
#[derive(Clone, Debug)]
pub struct Visit<'a> {
    /// Only headers were asked for.
    pub head: bool,
    /// The `user-agent`; empty if none.
    pub user_agent: &'a str,
}

/// An open or a click, as it came.
#[derive(Clone)]
pub struct Reaction {
    workspace: Workspace,
    message: Uuid,
    click: bool,
    head: bool,
    agent: String,
    at: Timestamp,
}

/// Opens and clicks that come while others are being noted are noted together.
pub type Reactions = Gather<Reaction>;

impl App {
    /// Reads an unsubscribe link; nothing if it is not ours.
    #[must_use]
    pub fn read_unsubscribe(&self, token: &str) -> Option<Unsubscribe> {
        self.head.signer.read_unsubscribe(token)
    }

    /// Reads a click link.
    #[must_use]
    pub fn read_click(&self, token: &str) -> Option<Click> {
        self.head.signer.read_click(token)
    }

    /// Reads an open pixel.
    #[must_use]
    pub fn read_open(&self, token: &str) -> Option<Open> {
        self.head.signer.read_open(token)
    }

    /// Unsubscribes: effective here when this returns, also for what is already claimed.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn unsubscribe(&self, it: &Unsubscribe) -> Result<()> {
        let now = self.clock.now();
        let tx = self.store.write().await?;
        let suppression = Suppression { everything: false, at: now };
        suppressions::add(&tx, &it.workspace, it.channel, &it.address_hash, "one-click", suppression).await?;
        let sent = messages::find(&tx, &it.workspace, &[it.message].into()).await?.remove(&it.message);
        let profile = sent.as_ref().map_or(it.profile, |sent| sent.profile);
        let about = Sent { profile, ..sent.unwrap_or_else(|| nothing_known(it)) };
        let command = event(&it.workspace, "Email Unsubscribed", it.message, &about, new_id(now), now);
        self.outbox.leave(&tx, vec![command]).await?;
        Store::commit(tx).await?;
        self.metrics.reacted("unsubscribed");
        self.outbox.ring(INGESTION);
        Ok(())
    }

    /// Notes a click, if a person made it and it is the first. One that cannot be noted is only logged: whoever clicked
    /// goes where the link leads.
    pub async fn clicked(&self, it: &Click, visit: &Visit<'_>) {
        self.reacted(&it.workspace, it.message, visit, true).await;
    }

    /// Notes an open, if a person did it and it is the first. One that cannot be noted is only logged.
    pub async fn opened(&self, it: &Open, visit: &Visit<'_>) {
        self.reacted(&it.workspace, it.message, visit, false).await;
    }

    async fn reacted(&self, workspace: &Workspace, message: Uuid, visit: &Visit<'_>, click: bool) {
        let (head, agent) = (visit.head, visit.user_agent.to_owned());
        let reaction =
            Reaction { workspace: workspace.clone(), message, click, head, agent, at: self.clock.now() };
        let note = |reactions: Vec<Reaction>| async move {
            let count = reactions.len();
            if let Err(error) = self.note(reactions).await {
                tracing::warn!(error = %perennial_rpc::Chain(&error), count, "opens and clicks were not noted");
            }
        };
        self.reactions.join(reaction, note).await;
    }

    /// Notes reactions, in one transaction.
    async fn note(&self, reactions: Vec<Reaction>) -> Result<()> {
        let mut grouped: BTreeMap<Workspace, Vec<Reaction>> = BTreeMap::new();
        for it in reactions {
            grouped.entry(it.workspace.clone()).or_default().push(it);
        }
        let now = self.clock.now();
        let tx = self.store.write().await?;
        let (mut commands, mut noted) = (Vec::new(), Vec::new());
        for (workspace, reactions) in grouped {
            let about: BTreeSet<Uuid> = reactions.iter().map(|it| it.message).collect();
            let sent = messages::find(&tx, &workspace, &about).await?;
            let human = |it: &Reaction| {
                let accepted = sent.get(&it.message).map(|it| it.accepted_at);
                accepted.is_some_and(|at| verdict(it.head, &it.agent, at, it.at) == Verdict::Human)
            };
            for click in [false, true] {
                let by_message: BTreeMap<Uuid, Timestamp> = reactions
                    .iter()
                    .rev()
                    .filter(|it| it.click == click && human(it))
                    .map(|it| (it.message, it.at))
                    .collect();
                let name = if click { "Email Clicked" } else { "Email Opened" };
                let ids = by_message.keys().copied().collect();
                for first in messages::react(&tx, &workspace, ids, click, now).await? {
                    let (Some(sent), Some(at)) = (sent.get(&first), by_message.get(&first)) else { continue };
                    commands.push(event(&workspace, name, first, sent, new_id(*at), *at));
                    noted.push(if click { "clicked" } else { "opened" });
                }
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.outbox.leave(&tx, commands).await?;
        Store::commit(tx).await?;
        for reaction in noted {
            self.metrics.reacted(reaction);
        }
        self.outbox.ring(INGESTION);
        Ok(())
    }
}

fn nothing_known(it: &Unsubscribe) -> Sent {
    let (campaign, step) = (String::new(), String::new());
    Sent { decision: None, profile: it.profile, campaign, step, accepted_at: None }
}

/// The event that a message came to nothing, for whoever decided on it: `Message Expired` if its time ran out,
/// `Message Refused` if it will never be sent. It has the message's own id, as the event of a delivery has: only one of
/// them ever happens.
pub(super) fn returned(message: &Message, state: State, reason: &str, now: Timestamp) -> Option<Command> {
    let name = match state {
        State::Expired => "Message Expired",
        State::Refused | State::Suppressed => "Message Refused",
        _ => return None,
    };
    message.decision?;
    let sent = Sent {
        decision: message.decision,
        profile: message.profile,
        campaign: message.campaign.clone(),
        step: message.step.clone(),
        accepted_at: None,
    };
    let told = [("channel", message.channel.as_str()), ("reason", reason)];
    Some(event_with(&message.workspace, name, message.id, &sent, message.id, now, &told))
}

/// An event about an e-mail, for ingestion. `id` is its idempotency key.
pub(super) fn event(
    workspace: &Workspace,
    name: &str,
    message: Uuid,
    sent: &Sent,
    id: Uuid,
    now: Timestamp,
) -> Command {
    let unsubscribed = name == "Email Unsubscribed";
    let source: &[_] = if unsubscribed { &[("source", "one-click")] } else { &[] };
    event_with(workspace, name, message, sent, id, now, source)
}

fn event_with(
    workspace: &Workspace,
    name: &str,
    message: Uuid,
    sent: &Sent,
    id: Uuid,
    now: Timestamp,
    told: &[(&str, &str)],
) -> Command {
    let mut properties = json!({ "message_id": message.to_string(), "channel": "email" });
    if let Some(decision) = sent.decision {
        properties["decision_id"] = decision.to_string().into();
        properties["campaign"] = sent.campaign.as_str().into();
        properties["step"] = sent.step.as_str().into();
    }
    for (name, value) in told {
        properties[*name] = (*value).into();
    }
    let properties = properties.as_object().cloned().map(structs::from_json);
    let event = Event {
        message_id: id.to_string(),
        r#type: "track".to_owned(),
        event: name.to_owned(),
        properties,
        event_time: Some(time::to_wire(now)),
        profile: format!("{}/profiles/{}", workspace.resource(), sent.profile),
        ..Event::default()
    };
    Command {
        id,
        workspace: workspace.clone(),
        target: INGESTION,
        not_before: now,
        payload: event.encode_to_vec(),
        profile: Some(sent.profile),
    }
}
