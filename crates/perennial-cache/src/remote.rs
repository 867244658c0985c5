//! The cache in Redis.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, Pipeline};

use crate::CacheError;
use crate::config::shown;
use crate::lease::LEASE;

/// A cache that answers later than this is no help.
const PATIENCE: Duration = Duration::from_millis(250);

/// After a failure nobody else waits for it: for this long Redis is not asked.
const PAUSE: Duration = Duration::from_millis(500);

/// Wake-ups are published under this name and a colon.
pub const WAKE: &str = "perennial-wake";

/// What stands there, or else the lease.
const LEASE_OR_GET: &str = "local found = redis.call('GET', KEYS[1]) \
                            if found then return found end \
                            redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
                            return ARGV[1]";

/// Puts a value if the lease still stands there.
const FILL: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end";

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
        let mut command = redis::cmd("SET");
        command.arg(name).arg(value).arg("PX").arg(millis(lifetime));
        self.ask(&command).await
    }

    /// What stands under each name; where nothing does, `token` is put.
    pub async fn lease(&self, names: &[String], token: &[u8]) -> Result<Vec<Bytes>, Away> {
        let mut pipe = redis::pipe();
        for name in names {
            pipe.cmd("EVAL").arg(LEASE_OR_GET).arg(1).arg(name).arg(token).arg(millis(LEASE));
        }
        let found: Vec<Vec<u8>> = self.ask_all(&pipe).await?;
        Ok(found.into_iter().map(Bytes::from).collect())
    }

    /// Puts each value where its lease still stands.
    pub async fn fill(&self, fills: &[(String, Bytes, Bytes)], lifetime: Duration) -> Result<(), Away> {
        let mut pipe = redis::pipe();
        for (name, lease, value) in fills {
            let put = pipe.cmd("EVAL").arg(FILL).arg(1).arg(name);
            put.arg(lease.as_ref()).arg(value.as_ref()).arg(millis(lifetime)).ignore();
        }
        self.ask_all(&pipe).await
    }

    /// Adds to a number that stands under a name.
    pub async fn add(&self, name: &str, amount: u64, lifetime: Duration) -> Result<u64, Away> {
        let mut pipe = redis::pipe();
        pipe.cmd("INCRBY").arg(name).arg(i64::try_from(amount).unwrap_or(i64::MAX));
        pipe.cmd("PEXPIRE").arg(name).arg(millis(lifetime)).ignore();
        let (sum,): (i64,) = self.ask_all(&pipe).await?;
        Ok(u64::try_from(sum).unwrap_or_default())
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
        let mut connection = self.connection()?;
        self.heard(command.query_async(&mut connection).await)
    }

    async fn ask_all<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, Away> {
        let mut connection = self.connection()?;
        self.heard(pipe.query_async(&mut connection).await)
    }

    fn connection(&self) -> Result<ConnectionManager, Away> {
        let is_paused = uptime() < self.paused_until.load(Ordering::Relaxed);
        if is_paused { Err(Away) } else { Ok(self.connection.clone()) }
    }

    fn heard<T>(&self, answer: redis::RedisResult<T>) -> Result<T, Away> {
        match answer {
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

fn millis(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX))
}

/// Milliseconds since this process first asked; at least one.
fn uptime() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}
