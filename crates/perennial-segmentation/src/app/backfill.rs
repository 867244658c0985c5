//! After an edit: evaluates every profile known before, in the background and as history.

use perennial_store::Store;
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::error::Result;
use crate::store::segments::{self, Rulebook};

/// The errand on which every profile is visited.
const ERRAND: &str = "rules";
/// Profiles looked at, and at most recomputed, at a time: records in between keep flowing.
const PAGE: usize = 200;
/// Microseconds before trying again what failed.
const AGAIN: i64 = 5_000_000;

impl App {
    /// Runs until `stop` is cancelled.
    pub async fn backfill(self: Arc<Self>, listener: perennial_feed::Listener, stop: CancellationToken) {
        loop {
            let again = tokio::select! {
                () = stop.cancelled() => return,
                again = self.catch_up() => again,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.idle(again) => {}
            }
        }
    }

    /// Brings every workspace up to its latest revision; answers when to try again, if something failed.
    async fn catch_up(&self) -> Option<Timestamp> {
        let mut again = None;
        loop {
            let behind = match segments::rulebooks(self.store.read()).await {
                Ok(all) => all.into_iter().find(|(_, it)| it.complete < it.revision),
                Err(error) => return Some(self.failed("reading rulebooks", &error)),
            };
            let Some((name, rulebook)) = behind else { return again };
            let Ok(workspace) = Workspace::parse(&name) else { return again };
            if let Err(error) = self.complete(&workspace, rulebook).await {
                again = Some(self.failed(workspace.as_str(), &error));
                return again;
            }
        }
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) -> Timestamp {
        tracing::warn!(workspace = what, error = %perennial_rpc::Chain(error), "evaluating profiles again later");
        from_micros(micros(self.clock.now()) + AGAIN)
    }

    async fn complete(&self, workspace: &Workspace, rulebook: Rulebook) -> Result<()> {
        if rulebook.refold_floor > rulebook.complete {
            // Merges may bring states from before the floor behind the place that was reached: until none is left.
            while self.recompute(workspace, rulebook.refold_floor).await? {}
        }
        let tx = self.store.write().await?;
        self.reader.start_errand(&tx, workspace, ERRAND, self.clock.now()).await?;
        Store::commit(tx).await?;
        for done in self.reader.errand_started(ERRAND) {
            // A lane that stops says nothing: the errand stays and goes on after the start.
            if done.await.is_err() {
                return Ok(());
            }
        }
        let tx = self.store.write().await?;
        let mut now = segments::lock_rulebook(&tx, workspace).await?;
        now.complete = now.complete.max(rulebook.revision);
        segments::save_rulebook(&tx, workspace, &now).await?;
        Store::commit(tx).await?;
        Ok(())
    }

    /// Recomputes states from before `floor`; answers whether there were any.
    async fn recompute(&self, workspace: &Workspace, floor: u64) -> Result<bool> {
        let mut after = None;
        let mut found = false;
        loop {
            let page = self.reader.states_after(workspace, after, PAGE).await?;
            let Some(last) = page.last().map(|it| it.0) else { return Ok(found) };
            after = Some(last);
            let stale: Vec<_> = page
                .into_iter()
                .filter(|it| it.1.revision != 0 && it.1.revision < floor)
                .map(|it| it.0)
                .collect();
            if !stale.is_empty() {
                found = true;
                self.reader.refold(workspace, &stale).await?;
            }
        }
    }
}
