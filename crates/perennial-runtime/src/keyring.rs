//! Keys that were good a moment ago: the process's one memory of them, for calls over gRPC and for events over HTTP.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use perennial_rpc::Identity;
use sha2::{Digest, Sha256};

/// How long a key that was good is taken for good: one that was ended by another process lives on for as long.
const FRESH: Duration = Duration::from_secs(5);
/// Most keys kept in memory.
const MOST: u64 = 10_000;
/// No key is longer, in bytes.
const LONGEST: usize = 200;

/// Remembers who holds which key, by the keys' hashes, and only of keys that were good. Clones share one memory.
#[derive(Clone, Debug)]
pub struct Keyring(Cache<[u8; 32], Identity>);

/// Why a key was not put on the ring.
enum Miss<E> {
    Unknown,
    Failed(Arc<E>),
}

impl Default for Keyring {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(FRESH).build())
    }
}

impl Keyring {
    /// Who holds a key, if it is good: as was found out a moment ago, or by `look_up`, which is handed the key's SHA-256.
    /// Those who show one key at the same time wait for one look-up.
    ///
    /// # Errors
    /// What `look_up` answers: that is no judgement on the key, and is not remembered.
    pub async fn holder<E, F>(
        &self,
        key: &str,
        look_up: impl FnOnce([u8; 32]) -> F,
    ) -> Result<Option<Identity>, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Option<Identity>, E>>,
    {
        if key.is_empty() || key.len() > LONGEST {
            return Ok(None);
        }
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let found = async {
            match look_up(hash).await {
                Ok(holder) => holder.ok_or(Miss::Unknown),
                Err(error) => Err(Miss::Failed(Arc::new(error))),
            }
        };
        match self.0.try_get_with(hash, found).await {
            Ok(holder) => Ok(Some(holder)),
            Err(miss) => match &*miss {
                Miss::Unknown => Ok(None),
                Miss::Failed(error) => Err(error.clone()),
            },
        }
    }

    /// Forgets all keys, since one of them was ended.
    pub fn forget(&self) {
        self.0.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_api::access::v1::Scope;
    use perennial_types::Workspace;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn only_good_keys_are_remembered_until_they_are_forgotten() {
        let (ring, asked) = (Keyring::default(), AtomicU32::new(0));
        let holder =
            Identity::Key { workspace: Workspace::parse("main").unwrap(), scopes: vec![Scope::Read] };
        let shown = async |key: &str, answer: Result<Option<Identity>, &'static str>| {
            let look_up = |_| {
                asked.fetch_add(1, Ordering::SeqCst);
                std::future::ready(answer)
            };
            ring.holder(key, look_up).await.map_err(|it| *it)
        };
        let good = Ok(Some(holder));
        assert_eq!(shown("ak_1", Err("away")).await, Err("away"));
        assert_eq!(shown("ak_1", Ok(None)).await, Ok(None));
        assert_eq!(shown("ak_1", good.clone()).await, good);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert_eq!(shown("ak_1", Ok(None)).await, good, "remembered, by every clone");
        assert_eq!(shown("ak_2", Ok(None)).await, Ok(None));
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        ring.clone().forget();
        assert_eq!(shown("ak_1", Ok(None)).await, Ok(None));
        assert_eq!(shown(&"k".repeat(LONGEST + 1), good).await, Ok(None));
        assert_eq!(shown("", Err("away")).await, Ok(None));
        assert_eq!(asked.load(Ordering::SeqCst), 5);
    }
}
