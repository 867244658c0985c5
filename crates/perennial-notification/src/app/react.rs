//! What people do with messages: unsubscribe, click, open. Each commits here first and reaches ingestion as an event.

use perennial_api::ingestion::v1::Event;
use perennial_feed::Command;
use perennial_rpc::{structs, time};
use perennial_store::Store;
use perennial_types::{Timestamp, Workspace, new_id};
use prost::Message as _;
use serde_json::json;
use uuid::Uuid;

use super::{App, INGESTION};
use crate::domain::links::{Click, Open, Unsubscribe};
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
        let sent = messages::find(&tx, &it.workspace, it.message).await?;
        let profile = sent.as_ref().map_or(it.profile, |sent| sent.profile);
        let about = Sent { profile, ..sent.unwrap_or_else(|| nothing_known(it)) };
        let command = event(&it.workspace, "Email Unsubscribed", it.message, &about, new_id(now), now);
        self.outbox.leave(&tx, vec![command]).await?;
        Store::commit(tx).await?;
        self.outbox.ring(INGESTION);
        Ok(())
    }

    /// Notes a click, if a person made it and it is the first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn clicked(&self, it: &Click, visit: &Visit<'_>) -> Result<()> {
        self.reacted(&it.workspace, it.message, visit, true).await
    }

    /// Notes an open, if a person did it and it is the first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn opened(&self, it: &Open, visit: &Visit<'_>) -> Result<()> {
        self.reacted(&it.workspace, it.message, visit, false).await
    }

    async fn reacted(&self, workspace: &Workspace, id: Uuid, visit: &Visit<'_>, click: bool) -> Result<()> {
        let now = self.clock.now();
        let Some(sent) = messages::find(self.store.read(), workspace, id).await? else { return Ok(()) };
        if verdict(visit.head, visit.user_agent, sent.accepted_at, now) == Verdict::Machine {
            return Ok(());
        }
        let tx = self.store.write().await?;
        if messages::react(&tx, workspace, id, click, now).await? {
            let name = if click { "Email Clicked" } else { "Email Opened" };
            let command = event(workspace, name, id, &sent, new_id(now), now);
            self.outbox.leave(&tx, vec![command]).await?;
            Store::commit(tx).await?;
            self.outbox.ring(INGESTION);
        }
        Ok(())
    }
}

fn nothing_known(it: &Unsubscribe) -> Sent {
    let (campaign, step) = (String::new(), String::new());
    Sent { decision: None, profile: it.profile, campaign, step, accepted_at: None }
}

/// An event about a message, for ingestion. `id` is its idempotency key.
pub(super) fn event(
    workspace: &Workspace,
    name: &str,
    message: Uuid,
    sent: &Sent,
    id: Uuid,
    now: Timestamp,
) -> Command {
    let mut properties = json!({ "message_id": message.to_string(), "channel": "email" });
    if let Some(decision) = sent.decision {
        properties["decision_id"] = decision.to_string().into();
        properties["campaign"] = sent.campaign.as_str().into();
        properties["step"] = sent.step.as_str().into();
    }
    if name == "Email Unsubscribed" {
        properties["source"] = "one-click".into();
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
    }
}
