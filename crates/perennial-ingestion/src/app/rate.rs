//! How many events a second a workspace may send: so that one shop's flood is not the others' delay.

use std::time::Duration;

use perennial_cache::Cache;
use perennial_types::{Clock, Workspace, micros};

use crate::error::{Error, Result};

/// Events are counted by windows of this many seconds, so that a short burst is none.
const WINDOW_S: u64 = 10;

/// The limit of every workspace, counted in the cache together with the other replicas.
#[derive(Clone)]
pub struct Rate {
    cache: Cache,
    clock: Clock,
    per_second: u64,
}

impl Rate {
    /// A limit of `per_second` events; 0 sets none.
    pub fn new(cache: Cache, clock: Clock, per_second: u64) -> Self {
        Self { cache, clock, per_second }
    }

    /// Counts events of a workspace.
    ///
    /// # Errors
    /// [`Error::TooFast`] if these are more than its senders may send now.
    pub async fn count(&self, workspace: &Workspace, events: usize) -> Result<()> {
        if self.per_second == 0 {
            return Ok(());
        }
        let second = u64::try_from(micros(self.clock.now()) / 1_000_000).unwrap_or_default();
        let window = second / WINDOW_S;
        let lifetime = Duration::from_secs(2 * WINDOW_S);
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        let sum = self.cache.add(workspace, &format!("rate/{window}"), events, lifetime).await;
        // The first batch of a window is taken however large: or one that is larger than the limit would never be.
        if sum <= self.per_second.saturating_mul(WINDOW_S) || sum == events {
            return Ok(());
        }
        let wait = Duration::from_secs(WINDOW_S - second % WINDOW_S);
        Err(Error::TooFast { per_second: self.per_second, wait })
    }
}
