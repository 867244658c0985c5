//! The clocks of all processes, moved together.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use perennial_api::clock::v1::clock_service_client::ClockServiceClient;
use perennial_api::clock::v1::{AdvanceClockRequest, ClockStatus, GetClockStatusRequest};
use perennial_rpc::{Transport, client, time};
use perennial_types::{Timestamp, micros};

use crate::session::told;

/// How long the processes may be busy with one step before that counts as stuck.
const STUCK: Duration = Duration::from_secs(120);

/// The simulated clocks of one process or several. They show the same time.
pub struct Clocks(Vec<ClockServiceClient<Transport>>);

impl Clocks {
    /// The clocks of the processes behind these transports.
    #[must_use]
    pub fn new(processes: impl IntoIterator<Item = Transport>) -> Self {
        Self(processes.into_iter().map(|it| client!(ClockServiceClient::new(it))).collect())
    }

    async fn statuses(&self) -> anyhow::Result<Vec<ClockStatus>> {
        let status = async |clock: &ClockServiceClient<Transport>| {
            let request = GetClockStatusRequest { wait_ms: 1_000 };
            Ok(clock.clone().get_clock_status(request).await.map_err(told)?.into_inner())
        };
        try_join_all(self.0.iter().map(status)).await
    }

    /// When the next timer of any process is due.
    ///
    /// # Errors
    /// If a process does not answer.
    pub async fn next_due(&self) -> anyhow::Result<Option<i64>> {
        let due =
            |it: &ClockStatus| time::from_wire(it.next_due_time.as_ref()?, "next_due_time").ok().map(micros);
        Ok(self.statuses().await?.iter().filter_map(due).min())
    }

    /// Waits until nothing is left to do: two equal answers of all processes that they are quiet, and have heard what the
    /// others tell.
    ///
    /// # Errors
    /// If a process does not answer or does not come to rest.
    pub async fn quiet(&self) -> anyhow::Result<()> {
        let mut moved = (Instant::now(), Vec::new());
        let mut before = None;
        loop {
            let statuses = self.statuses().await?;
            let now: Vec<u64> = statuses.iter().map(|it| it.activity).collect();
            let rests = is_at_rest(&statuses);
            if rests && before.as_ref() == Some(&now) {
                return Ok(());
            }
            if now != moved.1 {
                moved = (Instant::now(), now.clone());
            }
            before = rests.then_some(now);
            ensure!(moved.0.elapsed() < STUCK, "the services do not come to rest: run with -v to see why");
        }
    }

    /// Moves all clocks, and only then wakes whoever waited for that.
    ///
    /// # Errors
    /// If a process does not answer.
    pub async fn advance(&self, to: Timestamp) -> anyhow::Result<()> {
        for hold in [true, false] {
            let advance = async |clock: &ClockServiceClient<Transport>| {
                let request = AdvanceClockRequest { now: Some(time::to_wire(to)), hold };
                clock.clone().advance_clock(request).await.map_err(told)
            };
            try_join_all(self.0.iter().map(advance)).await?;
        }
        Ok(())
    }
}

/// Whether all are quiet, and nobody tells what somebody who listens has not heard.
fn is_at_rest(statuses: &[ClockStatus]) -> bool {
    let told =
        |feed: &str| statuses.iter().flat_map(|it| &it.told).find(|it| it.feed == feed).map(|it| it.count);
    statuses.iter().all(|it| it.quiet && it.heard.iter().all(|news| told(&news.feed) == Some(news.count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_api::clock::v1::FeedNews;

    #[test]
    fn news_that_is_still_on_its_way_is_work_left_to_do() {
        let news = |count| vec![FeedNews { feed: "ingestion".to_owned(), count }];
        let teller = ClockStatus { quiet: true, told: news(7), ..ClockStatus::default() };
        let listener = |count| ClockStatus { quiet: true, heard: news(count), ..ClockStatus::default() };
        assert!(!is_at_rest(&[teller.clone(), listener(6)]));
        assert!(is_at_rest(&[teller.clone(), listener(7)]));
        assert!(!is_at_rest(&[listener(7)]), "nobody knows what there is to hear");
        assert!(!is_at_rest(&[ClockStatus { quiet: false, ..teller }]));
    }
}
