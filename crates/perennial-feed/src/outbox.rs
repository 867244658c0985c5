//! Commands to other services: rows written with the decision, sent after the commit until answered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{Clock, Workspace};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::fold::Command;
use crate::reader::{Task, outbox_topic};
use crate::{Bell, FeedError, keep};

/// Delivers commands to one target.
#[async_trait]
pub trait Deliver: Send + Sync + 'static {
    /// Sends a batch, in order. Answers the ids that are done with: taken, or refused for good. The rest, and all of
    /// them after an error, are sent again later; so the receiver must treat a command's id as an idempotency key.
    ///
    /// # Errors
    /// What stopped the batch, for the log.
    async fn deliver(&self, commands: &[Command]) -> Result<Vec<Uuid>, String>;
}

/// Commands sent at once, at most.
const MOST: usize = 500;

/// A service's outbox, in the table of [`crate::OUTBOX_MIGRATIONS`].
#[derive(Clone)]
pub struct Outbox {
    service: Arc<str>,
    store: Store,
    clock: Clock,
    bell: Bell,
}

impl Outbox {
    /// The outbox of `service`.
    #[must_use]
    pub fn new(service: &str, store: Store, clock: Clock, bell: Bell) -> Self {
        Self { service: service.into(), store, clock, bell }
    }

    /// Leaves commands in the caller's transaction; call [`Outbox::ring`] after the commit. (A fold leaves its commands
    /// with [`crate::Turn::command`] instead.)
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn leave(&self, tx: &DatabaseTransaction, commands: Vec<Command>) -> Result<(), FeedError> {
        Ok(keep::save_commands(tx, commands).await?)
    }

    /// Tells the sender of `target` that there is something to send.
    pub fn ring(&self, target: &str) {
        self.bell.ring(&outbox_topic(&self.service, target));
    }

    /// The task that sends what is left for `target`.
    pub fn task(&self, target: &'static str, deliver: impl Deliver, stop: &CancellationToken) -> Task {
        let name = format!("{} outbox {target}", self.service);
        let topics = [outbox_topic(&self.service, target)];
        let listener = self.bell.listener(name.clone(), topics).beside_others(&self.store);
        let (outbox, stop) = (self.clone(), stop.clone());
        let work = async move {
            let mut failures: u32 = 0;
            loop {
                let sent = tokio::select! {
                    () = stop.cancelled() => return,
                    sent = outbox.send(target, &deliver) => sent,
                };
                let due = match sent {
                    Ok(Sent::Some) => {
                        failures = 0;
                        continue;
                    }
                    Ok(Sent::Nothing(due)) => {
                        failures = 0;
                        due
                    }
                    Err(reason) => {
                        warn!(service = %outbox.service, target, %reason, "commands wait");
                        failures += 1;
                        let pause = Duration::from_millis(100 << failures.min(8));
                        outbox.clock.now().checked_add(pause).ok()
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = listener.idle(due) => {}
                }
            }
        };
        (name, Box::pin(work))
    }

    async fn send(&self, target: &'static str, deliver: &impl Deliver) -> Result<Sent, String> {
        let now = self.clock.now();
        let refused = |error: perennial_store::StoreError| error.to_string();
        let commands = keep::commands(self.store.read(), target, now, MOST).await.map_err(refused)?;
        if commands.is_empty() {
            return Ok(Sent::Nothing(keep::next_command(self.store.read(), target).await.map_err(refused)?));
        }
        let done = deliver.deliver(&commands).await?;
        if done.is_empty() {
            return Err(format!("{target} answered none of {} commands", commands.len()));
        }
        let gone: Vec<(Workspace, Uuid)> =
            commands.into_iter().filter(|it| done.contains(&it.id)).map(|it| (it.workspace, it.id)).collect();
        let tx = self.store.write().await.map_err(refused)?;
        keep::remove_commands(&tx, &gone).await.map_err(refused)?;
        Store::commit(tx).await.map_err(refused)?;
        Ok(Sent::Some)
    }
}

enum Sent {
    Some,
    Nothing(Option<perennial_types::Timestamp>),
}
