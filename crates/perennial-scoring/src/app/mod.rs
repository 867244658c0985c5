//! The use cases: one method each.

mod fitting;
mod looking_back;
mod models;
mod runs;
mod scores;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use perennial_feed::{Bell, Cursor, Feed, PARTITIONS, Progress, Reader};
use perennial_store::Store;
use perennial_types::{Clock, Timestamp, from_micros, micros};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub use fitting::FitRequest;
pub use looking_back::{TestRequest, Tested};
pub use runs::{Job, Runner, Standing};
pub use scores::{Explanation, MemberForecast, Score, Summary, unknown};

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::worker::ScoreFold;

/// How long one waits for scores to take in what was received.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything a use case needs.
pub struct App {
    pub(crate) store: Store,
    pub(crate) reader: Arc<Reader<ScoreFold>>,
    pub(crate) feed: Feed,
    pub(crate) clock: Clock,
    pub(crate) bell: Bell,
    pub(crate) settings: Arc<Settings>,
    /// Fits and backtests that are asked for.
    jobs: UnboundedSender<Job>,
    /// One fit or backtest at a time: each holds all purchase days of a workspace in memory.
    fitting: tokio::sync::Mutex<()>,
    /// Where a simulation is held back until a scheduled fit is published.
    held: AtomicI64,
}

impl App {
    /// The use cases over a reader and its store, and the fits that will be asked for: a [`Runner`] does them.
    #[must_use]
    pub fn new(
        store: Store,
        reader: Arc<Reader<ScoreFold>>,
        feed: Feed,
        clock: Clock,
        bell: Bell,
        settings: Arc<Settings>,
    ) -> (Self, UnboundedReceiver<Job>) {
        let fitting = tokio::sync::Mutex::new(());
        let (jobs, asked) = unbounded_channel();
        let held = AtomicI64::new(i64::MAX);
        (Self { store, reader, feed, clock, bell, settings, jobs, fitting, held }, asked)
    }

    /// Holds the world before an instant, if the clock is a simulated one.
    pub(crate) fn hold(&self, instant: Timestamp) {
        if self.clock.simulation().is_some() {
            self.held.store(micros(instant), Ordering::SeqCst);
            self.reader.hold(Some(instant));
        }
    }

    /// Waits until everything received until an instant is in the scores.
    pub(crate) async fn catch_up(&self, through: Timestamp) -> Result<()> {
        let last = self.held.load(Ordering::SeqCst).saturating_sub(1);
        let through = through.min(from_micros(last));
        let topics = (0..PARTITIONS).map(|it| self.feed.topic(it));
        let listener = self.bell.listener("scoring waits for its lanes", topics);
        let complete_after = Some(Progress { seq: 0, instant: through });
        let cursors: Vec<Cursor> = (0..PARTITIONS)
            .map(|partition| Cursor { partition, after_seq: u64::MAX, complete_after })
            .collect();
        let caught_up = async {
            loop {
                let answers = self.feed.read(&cursors, 0).await?;
                if answers.iter().all(|it| it.progress.instant >= through) {
                    return Ok(());
                }
                // Another process may hold a lane; its commits do not ring here.
                let _ = tokio::time::timeout(Duration::from_millis(250), listener.idle(None)).await;
            }
        };
        tokio::time::timeout(PATIENCE, caught_up).await.unwrap_or(Err(Error::Behind))
    }
}
