//! What a feed keeps in memory: heads (only where this process is the only writer), records that it appended recently, and
//! who waits.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use perennial_types::{ProfileId, Workspace};

use super::Appended;
use super::rows::Head;
use crate::{Erasure, PARTITIONS, Progress, Record};

/// Records kept in memory for each partition, so that readers close to the head cost no query of them.
const TAIL: usize = 2_048;

#[derive(Default)]
pub(super) struct Memory {
    /// Only on SQLite, where this process is the only writer.
    pub(super) heads: Vec<Head>,
    /// Unbroken runs of records that this process appended; nothing, where another one appended since.
    pub(super) tails: Vec<VecDeque<Record>>,
    pub(super) demands: BTreeMap<u16, Progress>,
}

impl Memory {
    /// Empties a profile's records.
    pub(super) fn forget(&mut self, workspace: &Workspace, profile: ProfileId, through: u64) {
        let partition = profile.partition(PARTITIONS);
        let Some(tail) = self.tails.get_mut(usize::from(partition)) else { return };
        let theirs = |it: &&mut Record| {
            it.seq <= through
                && it.profile == profile
                && it.workspace == *workspace
                && it.kind != Erasure::KIND
        };
        for record in tail.iter_mut().filter(theirs) {
            record.profile = ProfileId::nobody(partition, PARTITIONS);
            record.payload = Bytes::new();
        }
    }

    /// Empties records by their places.
    pub(super) fn forget_places(&mut self, partition: u16, seqs: &[u64]) {
        let Some(tail) = self.tails.get_mut(usize::from(partition)) else { return };
        for record in tail.iter_mut().filter(|it| seqs.contains(&it.seq)) {
            record.profile = ProfileId::nobody(partition, PARTITIONS);
            record.payload = Bytes::new();
        }
    }

    /// Takes in what was committed. Two commits may be announced in the other order, so heads only move forward and
    /// a tail is always an unbroken run.
    pub(super) fn remember(&mut self, appended: Appended) {
        for head in appended.heads {
            if let Some(kept) = self.heads.iter_mut().find(|it| it.partition == head.partition) {
                kept.seq = kept.seq.max(head.seq);
                kept.time = kept.time.max(head.time);
                kept.progress = kept.progress.max(head.progress);
            }
        }
        for record in appended.records {
            let Some(tail) = self.tails.get_mut(usize::from(record.profile.partition(PARTITIONS))) else {
                continue;
            };
            match tail.back().map(|last| last.seq) {
                Some(last) if record.seq <= last && !replaces(tail, &record) => continue,
                // A database that lost its end is written to again.
                Some(last) if record.seq <= last => tail.clear(),
                Some(last) if record.seq > last + 1 => tail.clear(),
                _ => {}
            }
            tail.push_back(record);
            if tail.len() > TAIL {
                tail.pop_front();
            }
        }
    }

    /// The last record in memory of a partition.
    pub(super) fn last(&self, partition: u16) -> u64 {
        let tail = self.tails.get(usize::from(partition));
        tail.and_then(VecDeque::back).map_or(0, |it| it.seq)
    }

    /// Forgets the records of a partition that has fewer than there are here: its database lost its end.
    pub(super) fn lost(&mut self, partition: u16) {
        if let Some(tail) = self.tails.get_mut(usize::from(partition)) {
            tail.clear();
        }
    }
}

/// Whether a tail has another record in the place of this one.
fn replaces(tail: &VecDeque<Record>, record: &Record) -> bool {
    let place = tail.front().and_then(|first| record.seq.checked_sub(first.seq));
    let there = place.and_then(|it| tail.get(usize::try_from(it).ok()?));
    there.is_some_and(|it| it != record)
}
