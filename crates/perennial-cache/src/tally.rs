//! Counting together: how much all processes have used of something within a window of time.

use std::time::Duration;

use perennial_types::Workspace;

use crate::{Backend, Cache, name};

impl Cache {
    /// Adds `amount` to what a key has counted, and gives the sum. The count is forgotten `window` after it began, so let
    /// the key name the window. While Redis is away nothing is counted, and the sum is 0: what is limited by this is
    /// then not limited.
    pub async fn add(&self, workspace: &Workspace, key: &str, amount: u64, window: Duration) -> u64 {
        let name = name(workspace, key);
        match &self.backend {
            Backend::Memory(memory) => memory.add(name, amount, window).await,
            Backend::Redis(redis) => self.or_nothing(redis.add(&name, amount, window).await),
        }
    }
}
