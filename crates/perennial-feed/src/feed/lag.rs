//! How far readers of a feed are behind, as far as this process has seen: in memory only, for back-pressure.
//!
//! What counts is what was left for a reader when it last asked, not what came since: of several processes that serve one
//! feed each sees some of a reader's calls, and must not take one that asks elsewhere by now for one that is stuck.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perennial_types::Timestamp;

use super::{Feed, PartitionRecords};
use crate::Cursor;

/// Whoever asked nothing for so long does not count any more: a service that is gone must not stop the others for ever.
const HEARD: Duration = Duration::from_secs(60);

/// Readers that are remembered, at most.
const MOST: usize = 64;

/// A reader, and how much is left for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The reading service, as it named itself.
    pub consumer: Arc<str>,
    /// Records that it has not fetched, over all partitions.
    pub records: u64,
}

/// What was left for each reader in each partition, and when it was seen.
#[derive(Default)]
pub(super) struct Readers(BTreeMap<Arc<str>, BTreeMap<u16, Seen>>);

#[derive(Clone, Copy)]
struct Seen {
    left: u64,
    at: Timestamp,
}

impl Seen {
    fn counts(&self, now: Timestamp) -> bool {
        self.at.checked_add(HEARD).is_ok_and(|until| until > now)
    }
}

impl Readers {
    /// Notes what is left for a reader after an answer. True if that is less than before.
    fn heard(&mut self, consumer: &str, left: impl Iterator<Item = (u16, u64)>, now: Timestamp) -> bool {
        if !self.0.contains_key(consumer) {
            if self.0.len() >= MOST {
                self.0.retain(|_, seen| seen.values().any(|it| it.counts(now)));
            }
            if self.0.len() >= MOST {
                return false;
            }
        }
        let seen = self.0.entry(consumer.into()).or_default();
        let mut fell = false;
        for (partition, left) in left {
            let before = seen.insert(partition, Seen { left, at: now });
            fell |= before.is_some_and(|it| left < it.left);
        }
        fell
    }

    fn lags(&self, now: Timestamp) -> Vec<Lag> {
        let lag = |(consumer, seen): (&Arc<str>, &BTreeMap<u16, Seen>)| {
            let mut counting = seen.values().filter(|it| it.counts(now)).peekable();
            counting.peek()?;
            Some(Lag { consumer: consumer.clone(), records: counting.map(|it| it.left).sum() })
        };
        self.0.iter().filter_map(lag).collect()
    }
}

impl Feed {
    /// Notes that a reader was answered.
    pub(crate) fn answered(&self, consumer: &str, cursors: &[Cursor], answers: &[PartitionRecords]) {
        let left = cursors.iter().zip(answers).map(|(cursor, answer)| {
            let fetched = answer.records.last().map_or(cursor.after_seq, |it| it.seq);
            (answer.partition, answer.head_seq.saturating_sub(fetched))
        });
        let now = self.0.clock.now();
        if self.readers().heard(consumer, left, now) {
            self.0.caught_up.notify_waiters();
        }
    }

    /// What was left for each reader that named itself, when it last asked this process within the last minute.
    #[must_use]
    pub fn lags(&self) -> Vec<Lag> {
        self.readers().lags(self.0.clock.now())
    }

    /// The reader for whom the most is left.
    #[must_use]
    pub fn longest_lag(&self) -> Option<Lag> {
        self.lags().into_iter().max_by_key(|it| it.records)
    }

    /// Waits until less is left for some reader than at the time of this call.
    pub fn reader_caught_up(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.caught_up.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::from_micros;

    fn second(it: i64) -> Timestamp {
        from_micros(it * 1_000_000)
    }

    fn told(readers: &Readers, at: i64) -> Vec<(String, u64)> {
        readers.lags(second(at)).into_iter().map(|it| (it.consumer.to_string(), it.records)).collect()
    }

    #[test]
    fn lag_is_summed_over_partitions_and_falls_as_a_reader_catches_up() {
        let mut readers = Readers::default();
        assert!(!readers.heard("scoring", [(0, 7), (1, 5)].into_iter(), second(0)));
        assert!(!readers.heard("campaign", [(0, 1)].into_iter(), second(1)));
        assert_eq!(told(&readers, 2), [("campaign".to_owned(), 1), ("scoring".to_owned(), 12)]);
        assert!(readers.heard("scoring", [(1, 0)].into_iter(), second(3)));
        assert!(!readers.heard("scoring", [(1, 4)].into_iter(), second(4)));
        assert_eq!(told(&readers, 4), [("campaign".to_owned(), 1), ("scoring".to_owned(), 11)]);
    }

    #[test]
    fn who_is_not_heard_of_for_a_minute_does_not_count() {
        let mut readers = Readers::default();
        readers.heard("scoring", [(0, 7), (1, 5)].into_iter(), second(0));
        readers.heard("scoring", [(1, 6)].into_iter(), second(30));
        assert_eq!(told(&readers, 59), [("scoring".to_owned(), 13)]);
        // Partition 0 may be asked for at another replica by now.
        assert_eq!(told(&readers, 60), [("scoring".to_owned(), 6)]);
        assert_eq!(told(&readers, 90), []);
    }

    #[test]
    fn no_more_readers_are_remembered_than_there_is_room_for() {
        let mut readers = Readers::default();
        for n in 0..2 * MOST {
            readers.heard(&format!("r{n}"), [(0, 1)].into_iter(), second(0));
        }
        assert_eq!(readers.0.len(), MOST);
        readers.heard("late", [(0, 1)].into_iter(), second(61));
        assert_eq!(told(&readers, 61), [("late".to_owned(), 1)]);
        assert_eq!(readers.0.len(), 1);
    }
}
