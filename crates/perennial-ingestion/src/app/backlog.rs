//! How much of the log may be left to the services that read it before senders are told to wait.

use perennial_feed::Feed;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};

/// When who waits for a reader looks again: it may be gone, and then no call of it tells.
const LOOK: Duration = Duration::from_secs(1);

/// The bound on what is left to readers, as far as they have asked this process (`perennial_feed::Feed::lags`).
pub struct Backlog {
    feed: Feed,
    most: u64,
    /// Senders are told to wait: said once in the log, and once when it is over.
    is_over: AtomicBool,
}

impl Backlog {
    /// A bound of `most` records; 0 sets none.
    pub fn new(feed: Feed, most: u64) -> Self {
        Self { feed, most, is_over: AtomicBool::new(false) }
    }

    /// Whether every reader has at most so much left.
    ///
    /// # Errors
    /// [`Error::Behind`] if one has more.
    pub fn check(&self) -> Result<()> {
        if self.most == 0 {
            return Ok(());
        }
        let over = self.feed.longest_lag().filter(|it| it.records > self.most);
        let was_over = self.is_over.swap(over.is_some(), Ordering::Relaxed);
        match over {
            None => {
                if was_over {
                    tracing::info!("readers have caught up: events are taken in again");
                }
                Ok(())
            }
            Some(lag) => {
                if !was_over {
                    let (consumer, records, most) = (&*lag.consumer, lag.records, self.most);
                    tracing::warn!(
                        consumer,
                        records,
                        most,
                        "a reader is too far behind: senders wait for it"
                    );
                }
                Err(Error::Behind { consumer: lag.consumer })
            }
        }
    }

    /// Waits until less is left than at the time of this call, or it is time to look again.
    pub fn falls(&self) -> impl Future<Output = ()> {
        let caught_up = self.feed.reader_caught_up();
        async move {
            // Either is a reason to look.
            let _ = tokio::time::timeout(LOOK, caught_up).await;
        }
    }
}
