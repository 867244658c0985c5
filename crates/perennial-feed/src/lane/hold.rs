//! How a lane takes hold of its partitions, and lets go of them with a commit: what is in memory is only as good as the
//! checkpoints it was loaded with.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{Backend, DatabaseTransaction, Store};

use super::{Fetched, Lane, store_fault};
use crate::batch::Outcome;
use crate::bell::LOOK;
use crate::keep::{self, Errand, Key, Move};
use crate::{FeedError, Fold, Progress, erasure, parting};

impl<F: Fold> Lane<F> {
    pub(super) async fn load(&mut self) -> Result<(), FeedError> {
        let reader = self.reader.clone();
        let partitions: Vec<u16> = self.parts.keys().copied().collect();
        let feeds: Vec<&str> = reader.sources.iter().map(|it| &*it.name).collect();
        let tx = reader.store.write().await?;
        keep::ensure_checkpoints(&tx, &reader.name, &feeds, &partitions).await?;
        let checkpoints = keep::lock_checkpoints(&tx, &reader.name, &partitions).await?;
        let heads = reader.feed.heads_in(&tx, &partitions).await?;
        for (partition, part) in &mut self.parts {
            part.progress = heads.get(partition).map_or(Progress::START, |it| it.progress);
            part.written = part.progress;
            for (source, fetched) in reader.sources.iter().zip(&mut part.sources) {
                let (epoch, seq) =
                    checkpoints.get(&(source.name.to_string(), *partition)).cloned().unwrap_or_default();
                *fetched =
                    Fetched { epoch, stored: seq, applied: seq, last: seq, head: seq, ..Fetched::default() };
            }
        }
        self.next_due = reader.unless_resting(keep::next_due(&tx, &self.shelves).await?);
        let errands = keep::errands(&tx, &self.shelves).await?;
        Store::commit(tx).await?;
        self.take_errands(errands, &BTreeSet::new());
        self.looked = reader.clock.now();
        self.parked = reader.parked_in(&partitions).await?;
        self.partings = parting::due(reader.store.read(), partitions.into_iter()).await?;
        self.asked.clear();
        self.loaded = true;
        Ok(())
    }

    /// Looks up errands that were begun here; and, where other processes may have begun some or set timers, those too.
    pub(super) async fn look(&mut self) -> Result<(), FeedError> {
        let rung = self.reader.errands_rung(self.number);
        let shared =
            self.reader.store.backend() == Backend::Postgres && self.reader.clock.simulation().is_none();
        let now = self.reader.clock.now();
        let looks = shared && self.looked.checked_add(LOOK).is_ok_and(|it| it <= now);
        if !rung.is_empty() || looks {
            let errands = keep::errands(self.reader.store.read(), &self.shelves).await?;
            self.take_errands(errands, &rung);
        }
        if looks {
            self.next_due = keep::next_due(self.reader.store.read(), &self.shelves).await?;
            self.looked = now;
        }
        Ok(())
    }

    /// Takes errands as they are written down. Those that were known, or rung for, and are there no more are done: by
    /// another process.
    pub(super) fn take_errands(&mut self, errands: Vec<Errand>, rung: &BTreeSet<String>) {
        let known = std::mem::replace(&mut self.errands, errands);
        let rung = rung.iter().flat_map(|name| self.shelves.iter().map(|it| (name.as_str(), *it)));
        let expected: BTreeSet<(&str, i64)> =
            known.iter().map(|it| (it.name.as_str(), it.shelf)).chain(rung).collect();
        for (name, shelf) in expected {
            if !self.errands.iter().any(|it| it.name == name && it.shelf == shelf) {
                self.reader.errand_done(name);
            }
        }
    }

    /// Begins a transaction that holds this lane, or fails if the lane has moved without us: then everything in memory
    /// is stale.
    pub(crate) async fn begin(&mut self) -> Result<DatabaseTransaction, FeedError> {
        let reader = self.reader.clone();
        let partitions: Vec<u16> = self.parts.keys().copied().collect();
        let tx = reader.store.write().await?;
        let checkpoints = keep::lock_checkpoints(&tx, &reader.name, &partitions).await?;
        let heads = reader.feed.heads_in(&tx, &partitions).await?;
        for (partition, part) in &self.parts {
            // Timers fire without moving a checkpoint, but never without moving the progress.
            if heads.get(partition).map(|it| it.progress) != Some(part.written) {
                return Err(FeedError::Fenced);
            }
            for (source, fetched) in reader.sources.iter().zip(&part.sources) {
                let key = (source.name.to_string(), *partition);
                if checkpoints.get(&key).is_none_or(|(_, seq)| *seq != fetched.stored) {
                    return Err(FeedError::Fenced);
                }
            }
        }
        self.heads = heads;
        Ok(tx)
    }

    /// Checkpoints and progress after the batch. Only what moves is written: that nobody else has moved the rest was seen
    /// when the lane was taken hold of.
    pub(super) fn moves(&self, outcome: &Outcome<F>) -> (Vec<Move>, BTreeMap<u16, Progress>) {
        let mut moves = Vec::new();
        let mut progress = BTreeMap::new();
        for (partition, part) in &self.parts {
            let batch = outcome.partitions.get(partition);
            let taken = outcome.taken.get(partition).copied().unwrap_or_default();
            let records = batch.and_then(|it| it.records.get(..taken)).unwrap_or_default();
            for (source, fetched) in self.reader.sources.iter().zip(&part.sources) {
                let last = records.iter().rev().find(|it| it.feed == source.name).map(|it| it.record.seq);
                let to = last.unwrap_or(fetched.applied);
                if to != fetched.stored {
                    let (feed, epoch) = (source.name.to_string(), fetched.epoch.clone());
                    moves.push(Move { feed, partition: *partition, epoch, from: fetched.stored, to });
                }
            }
            let Some(batch) = batch else { continue };
            let mut reached = batch.progress.unwrap_or(part.progress);
            if let Some(first) = batch.records.get(taken) {
                reached = reached.min(Progress::before(first.record.origin, first.rank == 0));
            }
            progress.insert(*partition, reached.max(part.progress));
        }
        (moves, progress)
    }

    pub(super) async fn commit(
        &mut self,
        tx: DatabaseTransaction,
        moves: Vec<Move>,
        outcome: Outcome<F>,
        progress: &BTreeMap<u16, Progress>,
    ) -> Result<BTreeMap<u16, usize>, FeedError> {
        let reader = self.reader.clone();
        keep::move_checkpoints(&tx, &reader.name, &moves).await?;
        let mut parked: BTreeSet<Key> = self.parked.iter().chain(outcome.parked.keys()).cloned().collect();
        parked.retain(|it| !outcome.erased.contains_key(it));
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for (key, mut slot) in outcome.states {
            if outcome.erased.contains_key(&key) {
                continue;
            }
            if slot.gone {
                if slot.exists {
                    gone.push(key);
                }
            } else {
                if outcome.parked.contains_key(&key) {
                    // Its timers rest from now on, which no text tells of.
                    slot.now.written = None;
                }
                let is_parked = parked.contains(&key);
                changed.push((key, slot.now, is_parked));
            }
        }
        keep::save(&tx, &changed).await?;
        keep::remove(&tx, &gone).await?;
        keep::save_transfers(&tx, &outcome.departed).await?;
        keep::remove_transfers(&tx, &outcome.arrived).await?;
        let now = reader.clock.now();
        crate::parked::park(&tx, &outcome.parked, &outcome.waiting, now).await?;
        parting::save(&tx, &outcome.partings).await?;
        reader.fold.write(&tx, outcome.rows).await.map_err(store_fault)?;
        let targets: BTreeSet<&'static str> = outcome.commands.iter().map(|it| it.target).collect();
        keep::save_commands(&tx, outcome.commands).await?;
        for (key, id) in &outcome.erased {
            erasure::carry_out(&tx, &reader, key, *id, now).await?;
        }
        let appended = reader.feed.append_derived(&tx, &self.heads, outcome.records, progress).await?;
        let next_due = reader.unless_resting(keep::next_due(&tx, &self.shelves).await?);
        Store::commit(tx).await?;
        self.positions_saved(&moves, progress);
        self.next_due = next_due;
        self.parked = parked;
        self.partings.extend(outcome.partings);
        if !outcome.erased.is_empty() {
            reader.bell.ring(&reader.outbox_topic(erasure::RECEIPTS));
        }
        reader.feed.announce(appended);
        for target in targets {
            reader.bell.ring(&reader.outbox_topic(target));
        }
        reader.has_moved();
        Ok(outcome.taken)
    }

    /// Commits what a request (a retry, a recomputation) left behind.
    pub(crate) async fn commit_request(
        &mut self,
        tx: DatabaseTransaction,
        mut outcome: Outcome<F>,
        released: Option<Key>,
    ) -> Result<(), FeedError> {
        if let Some(key) = &released {
            self.parked.remove(key);
            // Its timers rest no more, which no text tells of.
            if let Some(slot) = outcome.states.get_mut(key) {
                slot.now.written = None;
            }
        }
        let progress = self.parts.iter().map(|(partition, part)| (*partition, part.progress)).collect();
        let moves = Vec::new();
        self.commit(tx, moves, outcome, &progress).await.map(|_| ())
    }
    pub(super) fn positions_saved(&mut self, moves: &[Move], progress: &BTreeMap<u16, Progress>) {
        for (partition, reached) in progress {
            if let Some(part) = self.parts.get_mut(partition) {
                part.written = part.written.max(*reached);
            }
        }
        for it in moves {
            let Some(part) = self.parts.get_mut(&it.partition) else { continue };
            for (source, fetched) in self.reader.sources.iter().zip(&mut part.sources) {
                if *source.name == *it.feed {
                    fetched.stored = it.to;
                }
            }
        }
        self.unsaved = None;
    }

    pub(super) fn advance(&mut self, taken: &BTreeMap<u16, usize>, progress: &BTreeMap<u16, Progress>) {
        for (partition, part) in &mut self.parts {
            if let Some(reached) = progress.get(partition) {
                part.progress = part.progress.max(*reached);
            }
            let mut left = taken.get(partition).copied().unwrap_or_default();
            while left > 0 {
                let next = part
                    .sources
                    .iter()
                    .enumerate()
                    .filter_map(|(rank, it)| it.buffer.front().map(|record| (record.origin, rank)))
                    .min();
                let Some(fetched) = next.and_then(|(_, rank)| part.sources.get_mut(rank)) else { break };
                if let Some(record) = fetched.buffer.pop_front() {
                    fetched.applied = record.seq;
                }
                left -= 1;
            }
        }
    }
}
