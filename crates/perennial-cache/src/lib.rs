//! A cache and a wake-up: in this process's memory, or in Redis. Never the truth: empty it at any moment and nothing is
//! lost or wrong, only slower.
//!
//! So nothing here fails. Whatever goes wrong with Redis is a miss, and is counted. Knows no service and no database.

mod config;
mod lease;
mod memory;
mod news;
mod remote;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use perennial_types::Workspace;

pub use config::{CacheError, Config};
pub use lease::Looked;
pub use news::{News, Wake};

/// Keeps values for a while, by workspace and key. Clones share what they keep.
#[derive(Clone, Debug)]
pub struct Cache {
    backend: Backend,
    tally: Arc<Tally>,
}

#[derive(Clone, Debug)]
enum Backend {
    Memory(memory::Memory),
    Redis(remote::Redis),
}

/// How a cache has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Values asked for and found.
    pub hits: u64,
    /// Values asked for and not found, those that an error hid included.
    pub misses: u64,
    /// Operations that Redis refused, did not answer in time, or was not asked because it had just failed.
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Tally {
    hits: AtomicU64,
    misses: AtomicU64,
    errors: AtomicU64,
}

impl Cache {
    /// Opens the cache that `config` describes. Does not wait for Redis: while that is away, everything is a miss.
    /// Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`CacheError`] if the URL is not one of a Redis.
    pub fn open(config: &Config) -> Result<Self, CacheError> {
        let backend = if config.is_memory() {
            Backend::Memory(memory::Memory::new(config.memory_bytes))
        } else {
            Backend::Redis(remote::Redis::new(&config.url)?)
        };
        Ok(Self { backend, tally: Arc::default() })
    }

    /// A cache of this process alone, of at most `bytes` bytes of keys and values.
    #[must_use]
    pub fn memory(bytes: u64) -> Self {
        Self { backend: Backend::Memory(memory::Memory::new(bytes)), tally: Arc::default() }
    }

    /// Whether other processes see the same cache and hear its wake-ups.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.backend, Backend::Redis(_))
    }

    /// The value of a key, if it is kept.
    pub async fn get(&self, workspace: &Workspace, key: &str) -> Option<Bytes> {
        self.get_many(workspace, &[key]).await.pop().flatten()
    }

    /// The values of many keys, in their order, in one round trip.
    pub async fn get_many<K: AsRef<str>>(&self, workspace: &Workspace, keys: &[K]) -> Vec<Option<Bytes>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let names: Vec<String> = keys.iter().map(|key| name(workspace, key.as_ref())).collect();
        let mut found = match &self.backend {
            Backend::Memory(memory) => memory.get(&names).await,
            Backend::Redis(redis) => self.or_nothing(redis.get(&names).await),
        };
        found.resize(keys.len(), None);
        self.count(found.iter().flatten().count(), keys.len());
        found
    }

    /// Keeps a value for at most `lifetime`; it may go sooner. A lifetime of zero keeps nothing.
    pub async fn put(&self, workspace: &Workspace, key: &str, value: impl Into<Bytes>, lifetime: Duration) {
        if lifetime.is_zero() {
            return self.forget(workspace, &[key]).await;
        }
        let name = name(workspace, key);
        match &self.backend {
            Backend::Memory(memory) => memory.put(name, value.into(), lifetime).await,
            Backend::Redis(redis) => self.or_nothing(redis.put(&name, &value.into(), lifetime).await),
        }
    }

    /// Forgets values, as far as Redis can be reached: what could not be forgotten lives on until its lifetime ends.
    pub async fn forget<K: AsRef<str>>(&self, workspace: &Workspace, keys: &[K]) {
        if keys.is_empty() {
            return;
        }
        let names: Vec<String> = keys.iter().map(|key| name(workspace, key.as_ref())).collect();
        match &self.backend {
            Backend::Memory(memory) => memory.forget(&names).await,
            Backend::Redis(redis) => self.or_nothing(redis.forget(&names).await),
        }
    }

    /// Tells everyone who listens to [`Cache::news`] that there is news on `channel`, such as `ingestion/3`.
    pub async fn wake(&self, channel: &str) {
        match &self.backend {
            Backend::Memory(memory) => memory.wake(channel),
            Backend::Redis(redis) => self.or_nothing(redis.wake(channel).await),
        }
    }

    /// Listens to all wake-ups from now on.
    #[must_use]
    pub fn news(&self) -> News {
        match &self.backend {
            Backend::Memory(memory) => News::here(memory.subscribe()),
            Backend::Redis(redis) => News::of_redis(redis.client()),
        }
    }

    /// Whether nothing can be kept here, since nobody has asked for anything yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let counts = self.counts();
        !self.is_shared() && counts.hits + counts.misses == 0
    }

    /// How the cache has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            hits: self.tally.hits.load(Ordering::Relaxed),
            misses: self.tally.misses.load(Ordering::Relaxed),
            errors: self.tally.errors.load(Ordering::Relaxed),
        }
    }

    fn count(&self, hits: usize, asked: usize) {
        self.tally.hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.tally.misses.fetch_add((asked - hits) as u64, Ordering::Relaxed);
    }

    fn or_nothing<T: Default>(&self, result: Result<T, remote::Away>) -> T {
        result.unwrap_or_else(|_| {
            self.tally.errors.fetch_add(1, Ordering::Relaxed);
            T::default()
        })
    }
}

/// The workspace comes first, and can hold no colon: no key of one workspace is a key of another.
fn name(workspace: &Workspace, key: &str) -> String {
    format!("{workspace}:{key}")
}
