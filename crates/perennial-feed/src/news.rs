//! News between processes: that a feed's partitions have changed, never how. A process that reads a feed of another one has
//! one ear there, which wakes all its readers; the records themselves they fetch by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use perennial_api::feed::v1::AwaitNewsRequest;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::reader::Task;
use crate::{Bell, Source, Topic};

/// How long a call waits for news.
const WAIT: Duration = Duration::from_secs(20);

/// What has rung of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Grows with every ring; 1 before the first.
    pub count: u64,
    /// The partitions that rang.
    pub partitions: Vec<u16>,
}

/// What rang of one feed, and when.
#[derive(Debug)]
pub(crate) struct Ledger {
    count: u64,
    all: BTreeMap<u16, u64>,
    ours: BTreeMap<u16, u64>,
    /// How much of another process's news was echoed here.
    pub(crate) heard: Option<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        // Nobody has heard of anything at 0.
        Self { count: 1, all: BTreeMap::new(), ours: BTreeMap::new(), heard: None }
    }
}

impl Ledger {
    pub(crate) fn rang(&mut self, partition: u16, ours: bool) {
        self.count += 1;
        self.all.insert(partition, self.count);
        if ours {
            self.ours.insert(partition, self.count);
        }
    }

    pub(crate) fn last_ring(&self, partitions: impl Iterator<Item = u16>) -> u64 {
        partitions.filter_map(|it| self.all.get(&it).copied()).max().unwrap_or_default()
    }

    pub(crate) fn news(&self, after: u64) -> News {
        self.after(&self.all, after)
    }

    pub(crate) fn own_news(&self, after: u64) -> News {
        self.after(&self.ours, after)
    }

    fn after(&self, rings: &BTreeMap<u16, u64>, after: u64) -> News {
        let partitions = rings.iter().filter(|(_, last)| **last > after).map(|(partition, _)| *partition);
        News { count: self.count, partitions: partitions.collect() }
    }
}

/// The task that listens at a feed of another process, and rings here when it rings there. One for each feed and process.
#[must_use]
pub fn ear(source: Source, bell: Bell, stop: &CancellationToken) -> Task {
    let stop = stop.clone();
    let name = format!("news of {}", source.name);
    // From now on nobody may take this process for quiet who knows of news that it has not heard.
    bell.heard(&source.name, 0);
    let work = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen(source, bell) => {}
        }
    };
    (name, Box::pin(work))
}

async fn listen(source: Source, bell: Bell) {
    let (mut process, mut count, mut failures) = (String::new(), 0, 0_u32);
    loop {
        let request = AwaitNewsRequest {
            feed: source.name.to_string(),
            process: process.clone(),
            count,
            wait_ms: u32::try_from(WAIT.as_millis()).unwrap_or(u32::MAX),
        };
        match source.client.clone().await_news(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                for partition in answer.partitions.iter().filter_map(|it| u16::try_from(*it).ok()) {
                    bell.echo(&Topic::Feed(source.name.clone(), partition));
                }
                // Only now: whoever knows that the news was heard has to find its listeners busy.
                bell.heard(&source.name, answer.count);
                (process, count, failures) = (answer.process, answer.count, 0);
            }
            Err(status) => {
                // Readers find out by themselves that it is away, and say so.
                debug!(feed = %source.name, reason = status.message(), "no news yet");
                failures += 1;
                tokio::time::sleep(Duration::from_millis(50 << failures.min(5))).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::{Clock, SimulatedClock, from_micros};

    #[tokio::test]
    async fn news_is_told_once_and_an_echo_is_not_told_on() {
        let bell = Bell::new(Clock::simulated(SimulatedClock::at(from_micros(0))));
        let topic = |partition| Topic::Feed("ingestion".into(), partition);
        let start = bell.rings("ingestion");
        assert_eq!(bell.news("ingestion", 0), News { count: start, partitions: vec![] });
        tokio::join!(bell.rung("ingestion", start), async {
            bell.ring(&topic(3));
            bell.echo(&topic(5));
            bell.ring(&topic(3));
        });
        let News { count, partitions } = bell.news("ingestion", start);
        assert_eq!((count, partitions), (start + 3, vec![3, 5]));
        assert_eq!(bell.own_news("ingestion", start).partitions, [3]);
        assert_eq!(bell.news("ingestion", count).partitions, Vec::<u16>::new());
        assert_eq!(bell.hearsay(), []);
    }
}
