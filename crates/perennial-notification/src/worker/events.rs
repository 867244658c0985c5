//! Sends what was left for ingestion.

use std::collections::BTreeMap;

use async_trait::async_trait;
use perennial_api::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use perennial_api::ingestion::v1::{Event, IngestEventsRequest, event_outcome};
use perennial_feed::{Command, Deliver};
use perennial_rpc::Transport;
use perennial_types::Workspace;
use prost::Message as _;
use tracing::warn;
use uuid::Uuid;

/// Sends events to ingestion.
pub struct ToIngestion(pub IngestionServiceClient<Transport>);

#[async_trait]
impl Deliver for ToIngestion {
    async fn deliver(&self, commands: &[Command]) -> Result<Vec<Uuid>, String> {
        let mut by_workspace: BTreeMap<&Workspace, Vec<&Command>> = BTreeMap::new();
        for it in commands {
            by_workspace.entry(&it.workspace).or_default().push(it);
        }
        let mut done = Vec::with_capacity(commands.len());
        for (workspace, commands) in by_workspace {
            let mut events = Vec::with_capacity(commands.len());
            for it in &commands {
                events.push(Event::decode(it.payload.as_slice()).map_err(|it| it.to_string())?);
            }
            let request = IngestEventsRequest { parent: workspace.resource(), events, historical: false };
            let answer = self.0.clone().ingest_events(request).await;
            let outcomes =
                answer.map_err(|status| format!("ingestion: {}", status.message()))?.into_inner().outcomes;
            for (command, outcome) in commands.into_iter().zip(outcomes) {
                if outcome.result() == event_outcome::Result::Rejected {
                    warn!(event = %command.id, reason = outcome.reason, "ingestion rejected an event about a message");
                }
                done.push(command.id);
            }
        }
        Ok(done)
    }
}
