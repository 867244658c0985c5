//! Tells ingestion what loyalty refused, so that it reaches the customer's journey in the one order of things.

use std::collections::BTreeMap;

use async_trait::async_trait;
use perennial_api::campaign::v1::SendCommand;
use perennial_api::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use perennial_api::ingestion::v1::{Event, IngestEventsRequest, event_outcome};
use perennial_feed::{Command, Deliver};
use perennial_rpc::{Transport, structs, time};
use perennial_types::ProfileId;
use perennial_types::{Timestamp, Workspace};
use prost::Message as _;
use uuid::Uuid;

use crate::domain::draw::id_of;
use crate::domain::returned::REFUSED;

/// The name of the outbox's target.
pub const INGESTION: &str = "ingestion";

/// Sends events to ingestion.
pub struct ToIngestion(pub IngestionServiceClient<Transport>);

/// The event that a message is not sent, because its coupon was refused. Its id derives from the message's.
pub fn refused(workspace: &Workspace, id: Uuid, send: &SendCommand, reason: &str, now: Timestamp) -> Command {
    let properties = serde_json::json!({
        "message_id": id.to_string(),
        "decision_id": super::uuid(&send.decision).to_string(),
        "campaign": send.campaign,
        "step": send.step,
        "channel": send.channel,
        "offer": send.coupon.as_ref().map_or("", |it| it.offer.as_str()),
        "reason": reason,
    });
    let id = id_of(&["refused", &id.to_string()]);
    let event = Event {
        message_id: id.to_string(),
        r#type: "track".to_owned(),
        event: REFUSED.to_owned(),
        properties: properties.as_object().cloned().map(structs::from_json),
        event_time: Some(time::to_wire(now)),
        profile: super::profile(workspace, send),
        ..Event::default()
    };
    let payload = event.encode_to_vec();
    let profile = Some(ProfileId(super::uuid(&send.profile)));
    Command { id, workspace: workspace.clone(), target: INGESTION, not_before: now, payload, profile }
}

#[async_trait]
impl Deliver for ToIngestion {
    async fn deliver(&self, commands: &[Command]) -> Result<Vec<Uuid>, String> {
        let mut by_workspace: BTreeMap<&Workspace, Vec<&Command>> = BTreeMap::new();
        for it in commands {
            by_workspace.entry(&it.workspace).or_default().push(it);
        }
        let mut done = Vec::with_capacity(commands.len());
        for (workspace, commands) in by_workspace {
            let events = commands.iter().map(|it| Event::decode(&it.payload[..]));
            let events = events.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            let request = IngestEventsRequest { parent: workspace.resource(), events, historical: false };
            let answer = self.0.clone().ingest_events(request).await;
            let answer = answer.map_err(|status| format!("ingestion: {}", status.message()))?;
            for (command, outcome) in commands.into_iter().zip(answer.into_inner().outcomes) {
                if outcome.result() == event_outcome::Result::Rejected {
                    tracing::warn!(event = %command.id, reason = outcome.reason, "ingestion rejected an event");
                }
                done.push(command.id);
            }
        }
        Ok(done)
    }
}
