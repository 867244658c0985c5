//! The cache in Redis.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue};

use crate::CacheError;
use crate::config::shown;

/// A cache that answers later than this is no help.
const PATIENCE: Duration = Duration::from_millis(250);

/// After a failure nobody else waits for it: for this long Redis is not asked.
const PAUSE: Duration = Duration::from_millis(500);

/// Wake-ups are published under this name and a colon.
pub const WAKE: &str = "perennial-wake";

#[derive(Clone)]
pub struct Redis {
    client: Client,
    connection: ConnectionManager,
    /// Milliseconds since `start` before which Redis is not asked; zero while all is well.
    paused_until: Arc<AtomicU64>,
}

/// Redis refused, did not answer, or is not asked at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Away;

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", self.client.get_connection_info().addr())
            .finish_non_exhaustive()
    }
}

impl Redis {
    pub fn new(url: &str) -> Result<Self, CacheError> {
        let refused = |source| CacheError::Url { url: shown(url), source };
        let client = Client::open(url).map_err(refused)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(refused)?;
        Ok(Self { client, connection, paused_until: Arc::default() })
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub async fn get(&self, names: &[String]) -> Result<Vec<Option<Bytes>>, Away> {
        let mut command = redis::cmd("MGET");
        command.arg(names);
        let found: Vec<Option<Vec<u8>>> = self.ask(&command).await?;
        Ok(found.into_iter().map(|it| it.map(Bytes::from)).collect())
    }

    pub async fn put(&self, name: &str, value: &[u8], lifetime: Duration) -> Result<(), Away> {
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX));
        let mut command = redis::cmd("SET");
        command.arg(name).arg(value).arg("PX").arg(millis);
        self.ask(&command).await
    }

    pub async fn forget(&self, names: &[String]) -> Result<(), Away> {
        let mut command = redis::cmd("UNLINK");
        command.arg(names);
        self.ask(&command).await
    }

    pub async fn wake(&self, channel: &str) -> Result<(), Away> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(format!("{WAKE}:{channel}")).arg("");
        self.ask(&command).await
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        if uptime() < self.paused_until.load(Ordering::Relaxed) {
            return Err(Away);
        }
        let mut connection = self.connection.clone();
        match command.query_async(&mut connection).await {
            Ok(answer) => {
                if self.paused_until.swap(0, Ordering::Relaxed) != 0 {
                    tracing::info!("the cache is back");
                }
                Ok(answer)
            }
            Err(error) => {
                let until = uptime() + u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
                // Said once when it goes, not once a call.
                if self.paused_until.swap(until, Ordering::Relaxed) == 0 {
                    tracing::warn!(%error, "the cache does not answer: going on without it");
                }
                Err(Away)
            }
        }
    }
}

/// Milliseconds since this process first asked; at least one.
fn uptime() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}
