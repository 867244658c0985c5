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

/// Where the missing values of a read through stand, and how they are to be filled.
type Leases = Vec<Option<Bytes>>;

impl Cache {
    /// The values of some keys: those that are kept, and for the others what `load` finds, given their places in `keys`
    /// and answering in the same order. What it finds is kept for at most `lifetime`, unless the key was forgotten
    /// since; what it does not find is not kept.
    ///
    /// # Errors
    /// What `load` failed with.
    pub async fn through<K: AsRef<str>, E>(
        &self,
        workspace: &Workspace,
        keys: &[K],
        lifetime: Duration,
        load: impl AsyncFnOnce(&[usize]) -> Result<Vec<Option<Bytes>>, E>,
    ) -> Result<Vec<Option<Bytes>>, E> {
        let names: Vec<String> = keys.iter().map(|key| name(workspace, key.as_ref())).collect();
        let (mut values, leases) = self.lease(&names).await;
        let missing: Vec<usize> = (0..values.len()).filter(|&it| values[it].is_none()).collect();
        if missing.is_empty() {
            return Ok(values);
        }
        let mut fills = Vec::new();
        for (&place, loaded) in missing.iter().zip(load(&missing).await?) {
            if let (Some(lease), Some(value)) = (&leases[place], &loaded) {
                let mut filled = BytesMut::with_capacity(1 + value.len());
                filled.put_u8(FILLED);
                filled.put_slice(value);
                fills.push((names[place].clone(), lease.clone(), filled.freeze()));
            }
            values[place] = loaded;
        }
        if !fills.is_empty() && !lifetime.is_zero() {
            match &self.backend {
                Backend::Memory(memory) => memory.fill(fills, lifetime).await,
                Backend::Redis(redis) => self.or_nothing(redis.fill(&fills, lifetime).await),
            }
        }
        Ok(values)
    }

    /// What is kept; and for what is not, a lease, unless somebody else has it.
    async fn lease(&self, names: &[String]) -> (Vec<Option<Bytes>>, Leases) {
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
