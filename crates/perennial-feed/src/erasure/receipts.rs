//! What is left to do after an erasure was committed, and the receipt for it: the service's own feed is emptied, which may
//! take a while and holds nobody up; the files are cleaned; and then the receipt is sent until ingestion has it.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_api::profile::v1::{RecordErasureReceiptRequest, StoreReceipt};
use perennial_store::Store;
use perennial_types::{ProfileId, parse_resource};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::warn;
use uuid::Uuid;

use super::Pending;
use crate::fold::Command;
use crate::reader::Task;
use crate::{Deliver, FeedError, Fold, Outbox, Reader};

/// The name of the outbox's target.
pub(crate) const RECEIPTS: &str = "erasure receipts";

struct Receipts<F: Fold>(Arc<Reader<F>>);

/// The task that ends a reader's erasures.
pub(crate) fn receipts<F: Fold>(reader: &Arc<Reader<F>>, stop: &CancellationToken) -> Task {
    let (store, clock, bell) = (reader.store.clone(), reader.clock.clone(), reader.bell.clone());
    let outbox = Outbox::new(&reader.name, store, clock, bell);
    outbox.task(RECEIPTS, Receipts(reader.clone()), stop)
}

impl<F: Fold> Receipts<F> {
    /// Ends one erasure as far as it is this service's business.
    async fn end(&self, command: &Command) -> Result<RecordErasureReceiptRequest, String> {
        let reader = &self.0;
        let unreadable = || "a receipt of our own cannot be read".to_owned();
        let pending = Pending::decode(command.payload.as_slice()).map_err(|_| unreadable())?;
        let mut receipt = pending.receipt.ok_or_else(unreadable)?;
        let id = |name: &str, kind| parse_resource(name, kind).ok().and_then(|it| Uuid::parse_str(it.1).ok());
        let erasure = id(&receipt.name, "erasures").ok_or_else(unreadable)?;
        let profile = ProfileId(id(&receipt.profile, "profiles").ok_or_else(unreadable)?);
        let emptied =
            self.empty(command, profile, pending.through).await.map_err(|error| error.to_string())?;
        receipt.stores.push(StoreReceipt {
            store: "feed_record".to_owned(),
            unlinked_count: i64::try_from(emptied).unwrap_or(i64::MAX),
            kept: "position, kind and time, so that readers can go on".to_owned(),
            ..StoreReceipt::default()
        });
        reader.fold.erased(&command.workspace, erasure, profile).await?;
        Ok(receipt)
    }

    async fn empty(&self, command: &Command, profile: ProfileId, through: u64) -> Result<u64, FeedError> {
        let (feed, workspace) = (&self.0.feed, &command.workspace);
        let places = feed.places(workspace, profile).await?.up_to(through);
        let tx = self.0.store.write().await?;
        let emptied = feed.erase(&tx, workspace, profile, &places).await?;
        Store::commit(tx).await?;
        feed.forget(workspace, profile, through);
        Ok(emptied)
    }
}

#[async_trait]
impl<F: Fold> Deliver for Receipts<F> {
    async fn deliver(&self, commands: &[Command]) -> Result<Vec<Uuid>, String> {
        let reader = &self.0;
        let mut ended = Vec::with_capacity(commands.len());
        for it in commands {
            ended.push((it.id, self.end(it).await?));
        }
        reader.store.scrub().await.map_err(|error| error.to_string())?;
        let mut done = Vec::with_capacity(ended.len());
        for (id, receipt) in ended {
            // Nobody wants receipts where no ingestion is reached.
            let Some(client) = &reader.receipts else {
                done.push(id);
                continue;
            };
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
