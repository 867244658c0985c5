//! Reading through the cache without ever keeping what is no longer so.
//!
//! Who finds nothing leases the place, reads the database, and fills the place if the lease still stands there. Whoever
//! changes the database forgets the place after the commit, and the lease with it: so what was read before a change is
//! never kept after it. (Leases as in Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, §3.2.1.)

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use perennial_types::Workspace;
use uuid::Uuid;

use crate::{Backend, Cache, name};

/// How long a lease stands: who takes longer to read fills nothing.
pub const LEASE: Duration = Duration::from_secs(5);

/// What stands in a place begins with one of these.
const TAKEN: u8 = 0;
const FILLED: u8 = 1;

/// What was found under some keys, and the leases on the places that were empty.
#[derive(Debug)]
pub struct Looked {
    /// The values, in the order of the keys; none where the database has to be asked.
    pub values: Vec<Option<Bytes>>,
    names: Vec<String>,
    leases: Vec<Option<Bytes>>,
}

impl Cache {
    /// The values of some keys, and leases on the places of those that are missing. Read these from the database only
    /// now, and give them to [`Cache::fill`].
    pub async fn look<K: AsRef<str>>(&self, workspace: &Workspace, keys: &[K]) -> Looked {
        let names: Vec<String> = keys.iter().map(|key| name(workspace, key.as_ref())).collect();
        let (values, leases) = self.lease(&names).await;
        Looked { values, names, leases }
    }

    /// Keeps what was missing, each value with its place among the keys, for at most `lifetime`; but nothing whose key
    /// was forgotten since the look.
    pub async fn fill(
        &self,
        looked: &Looked,
        found: impl IntoIterator<Item = (usize, Bytes)>,
        lifetime: Duration,
    ) {
        let mut fills = Vec::new();
        for (place, value) in found {
            if let (Some(name), Some(Some(lease))) = (looked.names.get(place), looked.leases.get(place)) {
                let mut filled = BytesMut::with_capacity(1 + value.len());
                filled.put_u8(FILLED);
                filled.put_slice(&value);
                fills.push((name.clone(), lease.clone(), filled.freeze()));
            }
        }
        if fills.is_empty() || lifetime.is_zero() {
            return;
        }
        match &self.backend {
            Backend::Memory(memory) => memory.fill(fills, lifetime).await,
            Backend::Redis(redis) => self.or_nothing(redis.fill(&fills, lifetime).await),
        }
    }

    /// What is kept; and for what is not, a lease, unless somebody else has it.
    async fn lease(&self, names: &[String]) -> (Vec<Option<Bytes>>, Vec<Option<Bytes>>) {
        if names.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut token = BytesMut::with_capacity(17);
        token.put_u8(TAKEN);
        token.put_slice(Uuid::now_v7().as_bytes());
        let token = token.freeze();
        let mut found = match &self.backend {
            Backend::Memory(memory) => memory.lease(names, &token).await,
            Backend::Redis(redis) => self.or_nothing(redis.lease(names, &token).await),
        };
        // Redis is away: nothing is kept, and nothing will be.
        found.resize(names.len(), Bytes::from_static(&[TAKEN]));
        let values: Vec<Option<Bytes>> =
            found.iter().map(|it| (it.first() == Some(&FILLED)).then(|| it.slice(1..))).collect();
        self.count(values.iter().flatten().count(), names.len());
        (values, found.into_iter().map(|it| (it == token).then_some(it)).collect())
    }
}
