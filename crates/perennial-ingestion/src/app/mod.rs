//! What can be asked of this service: one method a use case.

mod backlog;
mod book;
mod catalogue;
mod costs;
mod erasure;
mod export;
mod exports;
mod hints;
mod house;
mod ingest;
mod keys;
mod lane;
mod pass;
mod plans;
mod profiles;
mod quality;
mod queue;
mod rate;
mod unmerge;

pub use book::Change;
pub use erasure::Progress;
pub use exports::{Gone, OrdersOf};
pub use ingest::{Batch, Outcome, Sheet};
pub use keys::wire_scope;
pub use plans::Planned;
pub use profiles::{Contact, profile_key};
pub use quality::{Patch, blocked};
pub use unmerge::{Part, Parted};

use perennial_cache::Cache;
use perennial_feed::{Bell, Feed};
use perennial_runtime::Keyring;
use perennial_store::Store;
use perennial_types::{Clock, Timestamp, Workspace};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ErasureConfig};
use crate::domain::catalogue::guard::Guard;
use crate::domain::intake::Limits;
use crate::domain::settings::Settings;
use crate::error::Result;
use crate::metrics::Metrics;
use crate::store::{counters, rejected, seen};
use backlog::Backlog;
use book::Book;
use costs::Shelf;
use hints::Hints;
use lane::{Lane, Takings};
use plans::Plans;
use queue::Queues;
use rate::Rate;

/// The service behind its edges. Cheap to clone.
#[derive(Clone)]
pub struct App {
    store: Store,
    feed: Feed,
    clock: Clock,
    bell: Bell,
    cache: Cache,
    rate: Rate,
    book: Book,
    costs: Shelf,
    plans: Plans,
    guard: Guard,
    queues: Queues,
    keys: Keyring,
    metrics: Metrics,
    takings: Takings,
    hints: Hints,
    limits: Limits,
    max_age: std::time::Duration,
    erasures: Arc<ErasureConfig>,
}

impl App {
    /// The service over an opened store and its feed.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn new(
        config: Config,
        store: Store,
        feed: Feed,
        clock: Clock,
        bell: Bell,
        cache: Cache,
        keys: Keyring,
    ) -> Result<Self> {
        let tx = store.write().await?;
        seen::open(&tx, clock.now()).await?;
        Store::commit(tx).await?;
        let limits = Limits {
            event_bytes: config.max_event_bytes,
            body_bytes: config.max_body_bytes,
            events: config.max_batch_events,
        };
        let backlog = Backlog::new(feed.clone(), config.max_lag);
        Ok(Self {
            rate: Rate::new(cache.clone(), clock.clone(), config.max_events_per_second),
            queues: Queues::new(&store, bell.clone(), config.max_waiting_events, backlog),
            max_age: std::time::Duration::from_secs(config.live_max_age_s),
            guard: config.catalog.guard(),
            erasures: Arc::new(config.erasure.clone()),
            costs: Shelf::new(store.clone()),
            plans: Plans::new(store.clone()),
            book: Book::new(store.clone(), config),
            keys,
            metrics: Metrics::default(),
            takings: Takings::default(),
            hints: Hints::default(),
            store,
            feed,
            clock,
            bell,
            cache,
            limits,
        })
    }

    /// How many committers there are; each has to be run.
    pub fn lanes(&self) -> usize {
        self.queues.lanes()
    }

    /// Runs the committer of one lane.
    ///
    /// # Errors
    /// Never.
    pub async fn run_lane(self, number: usize, stop: CancellationToken) -> anyhow::Result<()> {
        Lane::new(self, number).run(stop).await
    }

    /// Keeps house until told to stop.
    ///
    /// # Errors
    /// Never.
    pub async fn keep_house(self, stop: CancellationToken) -> anyhow::Result<()> {
        house::run(&self, &self.bell, &self.clock, &stop).await;
        Ok(())
    }

    /// What is kept of what was read.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How much may come at once.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A page of rejected events, newest first; of one cause, if one is given.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn rejected(
        &self,
        workspace: &Workspace,
        cause: Option<&str>,
        before: Option<(i64, uuid::Uuid)>,
        limit: u64,
    ) -> Result<Vec<rejected::Rejected>> {
        Ok(rejected::list(self.store.read(), workspace, cause, before, limit).await?)
    }

    /// Counts of a workspace by name.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn counts(&self, workspace: &Workspace) -> Result<BTreeMap<String, i64>> {
        Ok(counters::read(self.store.read(), workspace).await?)
    }

    /// The settings of a workspace, and whether its currency is decided.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn workspace(&self, workspace: &Workspace) -> Result<(Arc<Settings>, bool)> {
        self.book.with_currency(workspace).await
    }

    /// Changes the settings of a workspace.
    ///
    /// # Errors
    /// What [`Book::change`] refuses.
    pub async fn change_workspace(&self, workspace: &Workspace, change: Change) -> Result<Arc<Settings>> {
        self.book.change(workspace, change).await
    }
}
