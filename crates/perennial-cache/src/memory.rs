//! The cache in this process.

use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;
use tokio::sync::broadcast;

use crate::lease::LEASE;

/// How many wake-ups a slow listener may be behind before it is told to look everywhere.
const BACKLOG: usize = 1_024;

#[derive(Clone, Debug)]
pub struct Memory {
    entries: Cache<String, Entry>,
    wakes: broadcast::Sender<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Bytes,
    lifetime: Duration,
}

/// Each entry has its own lifetime, from when it was put.
struct Lifetime;

impl Expiry<String, Entry> for Lifetime {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.lifetime)
    }
}

impl Memory {
    pub fn new(bytes: u64) -> Self {
        let weight =
            |key: &String, entry: &Entry| u32::try_from(key.len() + entry.value.len()).unwrap_or(u32::MAX);
        let entries = Cache::builder().max_capacity(bytes).weigher(weight).expire_after(Lifetime).build();
        Self { entries, wakes: broadcast::Sender::new(BACKLOG) }
    }

    pub async fn get(&self, names: &[String]) -> Vec<Option<Bytes>> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(self.entries.get(name).await.map(|it| it.value));
        }
        found
    }

    pub async fn put(&self, name: String, value: Bytes, lifetime: Duration) {
        self.entries.insert(name, Entry { value, lifetime }).await;
    }

    /// What stands under each name; where nothing does, `token` is put.
    pub async fn lease(&self, names: &[String], token: &Bytes) -> Vec<Bytes> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let vacant = async { Entry { value: token.clone(), lifetime: LEASE } };
            found.push(self.entries.entry_by_ref(name).or_insert_with(vacant).await.into_value().value);
        }
        found
    }

    /// Puts each value where its lease still stands.
    pub async fn fill(&self, fills: Vec<(String, Bytes, Bytes)>, lifetime: Duration) {
        for (name, lease, value) in fills {
            let put = |standing: Option<moka::Entry<String, Entry>>| {
                let stands = standing.is_some_and(|it| it.value().value == lease);
                std::future::ready(if stands { Op::Put(Entry { value, lifetime }) } else { Op::Nop })
            };
            self.entries.entry(name).and_compute_with(put).await;
        }
    }

    /// Adds to a number that stands under a name.
    pub async fn add(&self, name: String, amount: u64, lifetime: Duration) -> u64 {
        let added = |standing: Option<moka::Entry<String, Entry>>| {
            let number = |it: Entry| it.value.as_ref().try_into().map_or(0, u64::from_be_bytes);
            let sum = standing.map_or(0, |it| number(it.into_value())).saturating_add(amount);
            std::future::ready(Entry { value: Bytes::copy_from_slice(&sum.to_be_bytes()), lifetime })
        };
        let now = self.entries.entry(name).and_upsert_with(added).await.into_value().value;
        now.as_ref().try_into().map_or(0, u64::from_be_bytes)
    }

    pub async fn forget(&self, names: &[String]) {
        for name in names {
            self.entries.invalidate(name).await;
        }
    }

    pub fn wake(&self, channel: &str) {
        // An error only says that nobody listens.
        drop(self.wakes.send(channel.to_owned()));
    }

    pub fn subscribe(&self) -> broadcast::Receiver<String> {
        self.wakes.subscribe()
    }
}
