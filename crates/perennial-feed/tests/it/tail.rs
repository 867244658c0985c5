//! What a feed hands out from memory while other processes write to the same database.

use perennial_feed::{Bell, Cursor, FEED_MIGRATIONS, Feed, FeedKind, PARTITIONS};
use perennial_store::{Store, execute};
use perennial_testing::{TestDatabase, databases};
use perennial_types::{Clock, ProfileId, SimulatedClock, from_micros};

use crate::ledger::told;

/// One process's feed.
struct Process {
    store: Store,
    feed: Feed,
    ana: ProfileId,
}

impl Process {
    async fn start(home: &TestDatabase) -> Self {
        let clock = Clock::simulated(SimulatedClock::at(from_micros(1_000)));
        let store = Store::open(&home.config, "ingestion", &FEED_MIGRATIONS).await.unwrap();
        let bell = Bell::new(clock.clone());
        let feed = Feed::open("ingestion", FeedKind::Source, store.clone(), clock, bell).await.unwrap();
        Self { store, feed, ana: ProfileId(uuid::Uuid::from_u128(7)) }
    }

    async fn append(&self, number: i64) {
        let tx = self.store.write().await.unwrap();
        let appended = self.feed.append(&tx, vec![told(self.ana, number, 0)]).await.unwrap();
        Store::commit(tx).await.unwrap();
        self.feed.announce(appended);
    }

    /// The payloads of all records after a place, as a reader gets them who asks until it has come to the head.
    async fn read(&self, mut after_seq: u64) -> Vec<Vec<u8>> {
        let partition = self.ana.partition(PARTITIONS);
        let mut payloads = Vec::new();
        loop {
            let cursor = Cursor { partition, after_seq, complete_after: None };
            let found = self.feed.read(&[cursor], 2).await.unwrap().remove(0);
            if after_seq >= found.head_seq {
                return payloads;
            }
            let seqs: Vec<u64> = found.records.iter().map(|it| it.seq).collect();
            assert!(!seqs.is_empty(), "nothing after {after_seq} of {}", found.head_seq);
            assert_eq!(seqs, (after_seq + 1..=after_seq + seqs.len() as u64).collect::<Vec<_>>());
            after_seq += seqs.len() as u64;
            payloads.extend(found.records.iter().map(|it| it.payload.to_vec()));
        }
    }
}

#[tokio::test]
async fn two_processes_that_append_in_turn_both_hand_out_everything() {
    for home in databases().into_iter().filter(|it| it.config.url.starts_with("postgres")) {
        let (one, other) = (Process::start(&home).await, Process::start(&home).await);
        let expected: Vec<Vec<u8>> =
            (1..=7).map(|number| told(one.ana, number, 0).payload.to_vec()).collect();
        for number in 1..=7 {
            let process = if [3, 4, 6].contains(&number) { &other } else { &one };
            process.append(number).await;
            for process in [&one, &other] {
                let known = usize::try_from(number).unwrap();
                for after in 0..=known {
                    let found = process.read(after as u64).await;
                    assert_eq!(found, expected[after..known], "after {after} of {number}");
                }
            }
        }
        // A failover to a database that has lost the end, which another process then writes to, or this one.
        for writer in [&other, &one] {
            for sql in ["DELETE FROM feed_record WHERE seq > 4", "UPDATE feed_head SET seq = 4 WHERE seq > 4"]
            {
                execute(one.store.read(), "the end of the feed", sql, vec![]).await.unwrap();
            }
            for process in [&one, &other] {
                assert_eq!(process.read(3).await, expected[3..4]);
            }
            writer.append(9).await;
            writer.append(10).await;
            let written = [9, 10].map(|number| told(one.ana, number, 0).payload.to_vec());
            for process in [&one, &other] {
                assert_eq!(process.read(4).await, written);
            }
        }
    }
}

#[tokio::test]
async fn a_process_that_writes_over_a_lost_end_hands_out_what_it_wrote_last() {
    for home in databases().into_iter().filter(|it| it.config.url.starts_with("postgres")) {
        let one = Process::start(&home).await;
        for number in 1..=6 {
            one.append(number).await;
        }
        for sql in ["DELETE FROM feed_record WHERE seq > 4", "UPDATE feed_head SET seq = 4 WHERE seq > 4"] {
            execute(one.store.read(), "the end of the feed", sql, vec![]).await.unwrap();
        }
        for number in 11..=12 {
            one.append(number).await;
        }
        let written = [11, 12].map(|number| told(one.ana, number, 0).payload.to_vec());
        assert_eq!(one.read(4).await, written);
    }
}
