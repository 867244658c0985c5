//! Wake-ups: that there is something new, never what.

use std::time::Duration;

use futures::StreamExt;
use redis::Client;
use redis::aio::PubSubStream;
use tokio::sync::broadcast;

use crate::remote::WAKE;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is news on this channel.
    Channel(String),
    /// Wake-ups may have been missed, or may be missed from now on (the listener was too slow, or Redis was away):
    /// look everywhere.
    Anywhere,
}

/// Listens to wake-ups. Drop it to stop.
#[derive(Debug)]
pub struct News(Source);

#[derive(Debug)]
enum Source {
    Here(broadcast::Receiver<String>),
    Redis { client: Client, stream: Option<Stream>, failures: u32 },
}

struct Stream(PubSubStream);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl News {
    pub(crate) fn here(receiver: broadcast::Receiver<String>) -> Self {
        Self(Source::Here(receiver))
    }

    pub(crate) fn of_redis(client: Client) -> Self {
        Self(Source::Redis { client, stream: None, failures: 0 })
    }

    /// Waits for the next wake-up. May be dropped while it waits and called again: nothing is lost by that.
    pub async fn next(&mut self) -> Wake {
        match &mut self.0 {
            Source::Here(receiver) => match receiver.recv().await {
                Ok(channel) => Wake::Channel(channel),
                Err(broadcast::error::RecvError::Lagged(_)) => Wake::Anywhere,
                // The cache is gone, and with it everyone who could wake.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            },
            Source::Redis { client, stream, failures } => {
                let Some(open) = stream else {
                    return reopen(client, stream, failures).await;
                };
                if let Some(message) = open.0.next().await {
                    let name = message.get_channel_name();
                    let channel =
                        name.strip_prefix(WAKE).and_then(|it| it.strip_prefix(':')).unwrap_or_default();
                    return Wake::Channel(channel.to_owned());
                }
                *stream = None;
                Wake::Anywhere
            }
        }
    }
}

/// Connects, again and again if it must. Once it listens, whatever came before has to be looked for.
async fn reopen(client: &Client, stream: &mut Option<Stream>, failures: &mut u32) -> Wake {
    loop {
        if *failures > 0 {
            let longest = Duration::from_secs(5);
            tokio::time::sleep(Duration::from_millis(50 << (*failures).min(8)).min(longest)).await;
        }
        match subscribe(client).await {
            Ok(open) => {
                *stream = Some(Stream(open));
                *failures = 0;
                return Wake::Anywhere;
            }
            Err(error) => {
                *failures += 1;
                tracing::debug!(%error, failures, "no wake-ups from the cache yet");
            }
        }
    }
}

async fn subscribe(client: &Client) -> redis::RedisResult<PubSubStream> {
    let mut connection = client.get_async_pubsub().await?;
    connection.psubscribe(format!("{WAKE}:*")).await?;
    Ok(connection.into_on_message())
}
