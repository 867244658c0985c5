//! Publishes, once a day at 00:00 UTC, what campaigns are measured to add.
//!
//! A priority that followed the counts of the moment would differ from run to run. So lifts are published at fixed instants,
//! and a decision uses the one published at or before its own instant. With a simulated clock the world is held before
//! each publication, as scoring holds it before a new model.

use std::sync::Arc;
use std::time::Duration;

use perennial_feed::{Bell, Cursor, Feed, FeedError, Listener, PARTITIONS, Progress, Reader, Topic};
use perennial_store::Store;
use perennial_types::{Clock, Currency, Timestamp, Workspace, from_micros, micros};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Journeys;
use crate::domain::Lifecycle;
use crate::domain::definition::{self, Priority};
use crate::domain::stats;
use crate::store::{campaigns, exposures, lifts};

const DAY: i64 = 86_400_000_000;
/// How long the lanes may take to come as far as the publication.
const PATIENCE: Duration = Duration::from_secs(60);

/// Publishes lifts.
pub struct Publisher {
    store: Store,
    feed: Feed,
    reader: Arc<Reader<Journeys>>,
    clock: Clock,
    bell: Bell,
    currency: Currency,
    listener: Listener,
}

impl Publisher {
    /// A publisher for what this reader folds.
    #[must_use]
    pub fn new(
        store: Store,
        feed: Feed,
        reader: Arc<Reader<Journeys>>,
        clock: Clock,
        bell: Bell,
        currency: Currency,
    ) -> Self {
        let listener = bell.listener("campaign lifts", [Self::topic()]);
        Self { store, feed, reader, clock, bell, currency, listener }
    }

    /// Rings when campaigns change: one of them may be the first that asks for lifts.
    #[must_use]
    pub fn topic() -> Topic {
        Topic::other("campaign definitions")
    }

    /// Works until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut next: Option<Timestamp> = None;
        while !stop.is_cancelled() {
            let wanted = self.wanted().await;
            let now = self.clock.now();
            if let Some(instant) = next.filter(|it| *it <= now) {
                // A simulation may have jumped past it: it is published at its own instant all the same.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.publish(instant, &wanted) => {}
                }
                let simulated = self.clock.simulation().is_some();
                next = Some(midnight_after(if simulated { instant } else { now }));
            } else if wanted.is_empty() {
                next = None;
            } else if next.is_none() {
                next = Some(midnight_after(now));
            }
            if self.clock.simulation().is_some() {
                self.reader.hold(next);
            }
            if next.is_some_and(|it| it <= self.clock.now()) {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.listener.idle(next) => {}
            }
        }
    }

    /// The campaigns in force that are weighed by their lift.
    async fn wanted(&self) -> Vec<(Workspace, String)> {
        match campaigns::versions(self.store.read()).await {
            Ok(versions) => {
                let lift = |it: &campaigns::Version| {
                    it.lifecycle == Lifecycle::Live
                        && it.version == it.current
                        && definition::read(&it.definition, self.currency)
                            .is_ok_and(|it| matches!(it.priority, Priority::ExpectedIncrementalProfit { .. }))
                };
                versions.into_iter().filter(lift).map(|it| (it.workspace, it.name)).collect()
            }
            Err(error) => {
                warn!(%error, "campaigns cannot be read: their lifts stay as they are");
                Vec::new()
            }
        }
    }

    /// Publishes as of an instant, everything before it being applied.
    async fn publish(&self, instant: Timestamp, wanted: &[(Workspace, String)]) {
        if let Err(error) = self.catch_up(from_micros(micros(instant) - 1)).await {
            warn!(error = %perennial_rpc::Chain(&error), "lifts stay as they are for a day: the journeys are behind");
            return;
        }
        if let Err(error) = self.measure(instant, wanted).await {
            warn!(error = %perennial_rpc::Chain(&error), "lifts stay as they are for a day");
        }
    }

    async fn measure(
        &self,
        instant: Timestamp,
        wanted: &[(Workspace, String)],
    ) -> Result<(), perennial_store::StoreError> {
        let mut found = Vec::new();
        for (workspace, campaign) in wanted {
            let (treated, held_out, _) =
                exposures::arms(self.store.read(), workspace, campaign, instant).await?;
            if let Some(lift) = stats::measured(&treated, &held_out) {
                found.push((workspace.clone(), campaign.clone(), lift));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let tx = self.store.write().await?;
        campaigns::begin_change(&tx).await?;
        lifts::publish(&tx, micros(instant), found).await?;
        Store::commit(tx).await
    }

    /// Waits until everything received until an instant is applied.
    async fn catch_up(&self, through: Timestamp) -> Result<(), FeedError> {
        let topics = (0..PARTITIONS).map(|it| self.feed.topic(it));
        let listener = self.bell.listener("campaign waits for its lanes", topics);
        let complete_after = Some(Progress { seq: 0, instant: through });
        let cursors: Vec<Cursor> = (0..PARTITIONS)
            .map(|partition| Cursor { partition, after_seq: u64::MAX, complete_after })
            .collect();
        let caught_up = async {
            // An answer without records rings nobody, and another process may hold a lane: it is asked again, soon at first.
            for pause in (0..).map(|tries| Duration::from_millis(250.min(1 << tries.min(8)))) {
                let answers = self.feed.read(&cursors, 0).await?;
                if answers.iter().all(|it| it.progress.instant >= through) {
                    break;
                }
                let _ = tokio::time::timeout(pause, listener.idle(None)).await;
            }
            Ok(())
        };
        let late =
            || FeedError::Peer { feed: "campaign".to_owned(), reason: "its lanes are behind".to_owned() };
        tokio::time::timeout(PATIENCE, caught_up).await.unwrap_or_else(|_| Err(late()))
    }
}

/// The first midnight (UTC) after an instant.
fn midnight_after(at: Timestamp) -> Timestamp {
    from_micros((micros(at).div_euclid(DAY) + 1) * DAY)
}
