//! Receipts for erasures: sent from the outbox until ingestion has them, and not before the person is out of the files, too.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_api::profile::v1::RecordErasureReceiptRequest;
use perennial_types::{ProfileId, parse_resource};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::warn;
use uuid::Uuid;

use crate::fold::Command;
use crate::reader::Task;
use crate::{Deliver, Fold, Outbox, Reader};

/// The name of the outbox's target.
pub(crate) const RECEIPTS: &str = "erasure receipts";

struct Receipts<F: Fold>(Arc<Reader<F>>);

/// The task that sends a reader's receipts, if they go anywhere.
pub(crate) fn receipts<F: Fold>(reader: &Arc<Reader<F>>, stop: &CancellationToken) -> Option<Task> {
    reader.receipts.as_ref()?;
    let (store, clock, bell) = (reader.store.clone(), reader.clock.clone(), reader.bell.clone());
    let outbox = Outbox::new(&reader.name, store, clock, bell);
    Some(outbox.task(RECEIPTS, Receipts(reader.clone()), stop))
}

#[async_trait]
impl<F: Fold> Deliver for Receipts<F> {
    async fn deliver(&self, commands: &[Command]) -> Result<Vec<Uuid>, String> {
        let reader = &self.0;
        let Some(client) = &reader.receipts else { return Ok(Vec::new()) };
        let mut read = Vec::with_capacity(commands.len());
        for it in commands {
            let receipt = RecordErasureReceiptRequest::decode(it.payload.as_slice());
            let receipt = receipt.map_err(|error| format!("a receipt of our own cannot be read: {error}"))?;
            let id = |name: &str, kind| parse_resource(name, kind).ok().and_then(|it| Uuid::parse_str(it.1).ok());
            let (Some(erasure), Some(profile)) =
                (id(&receipt.name, "erasures"), id(&receipt.profile, "profiles"))
            else {
                return Err("a receipt of our own names nothing".to_owned());
            };
            reader.fold.erased(&it.workspace, erasure, ProfileId(profile)).await?;
            read.push((it.id, receipt));
        }
        reader.store.scrub().await.map_err(|error| error.to_string())?;
        let mut done = Vec::with_capacity(read.len());
        for (id, receipt) in read {
            match client.clone().record_erasure_receipt(receipt).await {
                Ok(_) => done.push(id),
                Err(status) if status.code() == Code::NotFound => {
                    warn!(service = %reader.name, "ingestion knows nothing of an erasure that was carried out here");
                    done.push(id);
                }
                Err(status) if done.is_empty() => return Err(format!("ingestion: {}", status.message())),
                Err(_) => return Ok(done),
            }
        }
        Ok(done)
    }
}
