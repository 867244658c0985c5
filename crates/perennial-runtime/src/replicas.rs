//! Wake-ups between replicas of one service: whoever waits at one of them hears at once what another has committed. Without
//! the shared cache, or while it is away, each looks for itself now and then.

use std::sync::Arc;

use futures::future::join_all;
use perennial_cache::{Cache, Wake};
use perennial_feed::{Bell, PARTITIONS, Topic};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What this process's services tell their replicas, and hear of them.
pub struct Replicas {
    /// Told from the others, so that nobody answers an own call.
    id: String,
    feeds: Vec<Arc<str>>,
    bell: Bell,
    cache: Cache,
}

impl Replicas {
    pub fn new(feeds: Vec<String>, bell: Bell, cache: Cache) -> Self {
        let id = Uuid::now_v7().simple().to_string();
        Self { id, feeds: feeds.into_iter().map(Into::into).collect(), bell, cache }
    }

    /// Tells and hears until told to stop.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.hear() => {}
            _ = join_all(self.feeds.iter().map(|it| self.tell(it))) => {}
        }
        Ok(())
    }

    async fn tell(&self, feed: &str) {
        let mut told = self.bell.rings(feed);
        loop {
            self.bell.rung(feed, told).await;
            let news = self.bell.own_news(feed, told);
            told = news.count;
            for partition in news.partitions {
                self.cache.wake(&format!("{feed}/{partition}/{}", self.id)).await;
            }
        }
    }

    async fn hear(&self) {
        let mut news = self.cache.news();
        loop {
            match news.next().await {
                Wake::Channel(channel) => {
                    if let Some((feed, partition)) = self.heard(&channel) {
                        self.bell.echo(&Topic::Feed(feed, partition));
                    }
                }
                Wake::Anywhere => {
                    for feed in &self.feeds {
                        (0..PARTITIONS).for_each(|it| self.bell.echo(&Topic::Feed(feed.clone(), it)));
                    }
                }
            }
        }
    }

    /// What a replica said about a feed of ours.
    fn heard(&self, channel: &str) -> Option<(Arc<str>, u16)> {
        let mut parts = channel.split('/');
        let (feed, partition, from) = (parts.next()?, parts.next()?, parts.next()?);
        let feed = self.feeds.iter().find(|it| &***it == feed)?;
        Some((feed.clone(), partition.parse().ok()?)).filter(|_| from != self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::Clock;

    #[tokio::test]
    async fn a_replica_hears_what_the_others_tell_and_not_itself() {
        let cache = Cache::memory(1_024);
        let bells = [(); 2].map(|()| Bell::new(Clock::system()));
        let feeds = || vec!["ingestion".to_owned()];
        let [one, other] = bells.clone().map(|bell| Replicas::new(feeds(), bell, cache.clone()));
        let stop = CancellationToken::new();
        let told = async {
            let [before, after] = bells.clone().map(|it| it.rings("ingestion"));
            // Nobody hears what is said before he listens.
            tokio::task::yield_now().await;
            bells[0].ring(&Topic::Feed("ingestion".into(), 7));
            bells[1].rung("ingestion", after).await;
            assert_eq!(bells[1].news("ingestion", after).partitions, [7]);
            tokio::task::yield_now().await;
            assert_eq!(bells[0].rings("ingestion"), before + 1, "an echo is no news");
            stop.cancel();
        };
        let (first, second, ()) = tokio::join!(one.run(stop.clone()), other.run(stop.clone()), told);
        first.and(second).unwrap();
    }
}
