//! One batch of a fold, in memory: records in, states and effects out. Knows no database; that is `keep`'s part.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use perennial_types::{MergeId, ProfileId, Timestamp, Workspace};
use tracing::error;
use uuid::Uuid;

use crate::fold::{Command, Timer, Timers};
use crate::keep::{Kept, Key, Transfers};
use crate::parting::Parting;
use crate::{
    Erasure, FeedError, Fold, FoldFault, Merge, NewRecord, PARTITIONS, Progress, Record, Turn, Unmerge,
};

/// A record that cannot be applied is tried this often before its profile is parked.
const TRIES: u32 = 3;

/// More timers of one profile than this in one batch can only be a fold that keeps setting timers for the past.
const MOST_TIMERS: u32 = 10_000;

/// A record and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) feed: Arc<str>,
    pub(crate) rank: u8,
    pub(crate) record: Record,
    /// Whether it is worth a turn under the definitions in force.
    pub(crate) matters: bool,
}

/// One partition's part of a batch.
#[derive(Debug, Default)]
pub(crate) struct PartitionBatch {
    pub(crate) records: Vec<Incoming>,
    pub(crate) progress: Option<Progress>,
    /// How far every source has come; beyond it steps are stale.
    pub(crate) fresh: Option<Progress>,
    /// Position and time of ingestion's records: those before the batch (one entry is enough) and those in it.
    pub(crate) positions: Vec<(Timestamp, u64)>,
}

impl PartitionBatch {
    /// Whether some source has not come as far as that.
    fn is_stale(&self, origin: Progress) -> bool {
        self.fresh.is_some_and(|fresh| origin > fresh)
    }

    /// The position of a timer that fires at `instant`: after every ingestion record received before it.
    fn position(&self, instant: Timestamp, set: u64) -> u64 {
        let before = self.positions.partition_point(|(time, _)| *time < instant);
        let seq = before.checked_sub(1).and_then(|it| self.positions.get(it)).map_or(0, |(_, seq)| *seq);
        seq.max(set)
    }
}

/// What a profile that was merged away leaves for the survivor: nothing yet if it was parked.
pub(crate) struct Departure<S> {
    pub(crate) workspace: Workspace,
    pub(crate) merge: MergeId,
    pub(crate) profile: ProfileId,
    pub(crate) left: Option<Kept<S>>,
}

/// Everything a batch leaves behind.
pub(crate) struct Outcome<F: Fold> {
    pub(crate) states: BTreeMap<Key, Slot<F::State>>,
    pub(crate) records: Vec<(Progress, NewRecord)>,
    pub(crate) rows: Vec<F::Row>,
    pub(crate) commands: Vec<Command>,
    pub(crate) departed: Vec<Departure<F::State>>,
    pub(crate) arrived: Vec<(Workspace, MergeId)>,
    pub(crate) parked: BTreeMap<Key, String>,
    pub(crate) waiting: Vec<Incoming>,
    /// How many records of each partition were taken in; the rest wait for another partition's transfer.
    pub(crate) taken: BTreeMap<u16, usize>,
    /// What the batch was made of.
    pub(crate) partitions: BTreeMap<u16, PartitionBatch>,
    /// Profiles whose person was erased, and by which erasure.
    pub(crate) erased: BTreeMap<Key, Uuid>,
    /// Profiles to recompute, as a merge of theirs was undone.
    pub(crate) partings: Vec<Parting>,
}

impl<F: Fold> Outcome<F> {
    /// Nothing yet.
    pub(crate) fn nothing() -> Self {
        Self {
            states: BTreeMap::new(),
            records: Vec::new(),
            rows: Vec::new(),
            commands: Vec::new(),
            departed: Vec::new(),
            arrived: Vec::new(),
            parked: BTreeMap::new(),
            waiting: Vec::new(),
            taken: BTreeMap::new(),
            partitions: BTreeMap::new(),
            erased: BTreeMap::new(),
            partings: Vec::new(),
        }
    }
}

/// A profile in the batch.
pub(crate) struct Slot<S> {
    /// It has a row.
    pub(crate) exists: bool,
    pub(crate) now: Kept<S>,
    pub(crate) gone: bool,
}

/// What a batch works on.
pub(crate) struct Batch<'a, F: Fold> {
    pub(crate) fold: &'a F,
    pub(crate) book: &'a F::Book,
    pub(crate) name: Arc<str>,
    pub(crate) partitions: BTreeMap<u16, PartitionBatch>,
    pub(crate) states: BTreeMap<Key, Kept<F::State>>,
    pub(crate) transfers: Transfers<F::State>,
    /// Profiles that were erased before, of those merged into others here.
    pub(crate) erased: BTreeSet<Key>,
    /// Profiles that are parked already.
    pub(crate) parked: BTreeSet<Key>,
    /// Profiles whose timers may be due.
    pub(crate) due: Vec<Key>,
    /// A profile to park at its first record, because writing what it left behind failed.
    pub(crate) condemned: Option<(Key, String)>,
    /// Each step works on a copy, so that one that fails harms its own profile alone. Copies cost as much as steps: nearly
    /// all batches do without, and are run again if a step fails.
    pub(crate) careful: bool,
}

impl<F: Fold> Batch<'_, F> {
    /// Applies records and fires timers in order; [`FeedError::Stumbled`] if it has to be done again with care.
    pub(crate) fn run(mut self) -> Result<Outcome<F>, FeedError> {
        let mut out = Outcome::nothing();
        for (key, now) in std::mem::take(&mut self.states) {
            out.states.insert(key, Slot { exists: true, now, gone: false });
        }
        let mut partitions = std::mem::take(&mut self.partitions);
        // A survivor's partition stops at a merge until the other's state is there, which may be in this very batch.
        let mut moved = true;
        while moved {
            moved = false;
            for (partition, batch) in &partitions {
                let taken = out.taken.entry(*partition).or_default();
                let mut next = *taken;
                while let Some(incoming) = batch.records.get(next) {
                    if !self.take(&mut out, batch, incoming)? {
                        break;
                    }
                    next += 1;
                    moved = true;
                }
                out.taken.insert(*partition, next);
            }
        }
        for (partition, batch) in &mut partitions {
            let taken = out.taken.get(partition).copied().unwrap_or_default();
            if let Some(first) = batch.records.get(taken) {
                let before = Progress::before(first.record.origin, first.rank == 0);
                batch.progress = Some(batch.progress.map_or(before, |it| it.min(before)));
            }
        }
        let touched: BTreeSet<Key> = out.states.keys().cloned().chain(self.due.iter().cloned()).collect();
        for key in touched {
            let Some(batch) = partitions.get(&key.1.partition(PARTITIONS)) else { continue };
            if let Some(progress) = batch.progress {
                self.fire_through(&mut out, batch, &key, |timer| timer.instant() <= progress.instant)?;
            }
        }
        // Downstream reads a partition in the order of origins.
        out.records.sort_by_key(|(origin, record)| (record.profile.partition(PARTITIONS), *origin));
        out.partitions = partitions;
        Ok(out)
    }

    fn is_parked(&self, out: &Outcome<F>, key: &Key) -> bool {
        self.parked.contains(key) || out.parked.contains_key(key)
    }

    /// Takes one record in; false if it has to wait for a transfer.
    fn take(
        &self,
        out: &mut Outcome<F>,
        batch: &PartitionBatch,
        incoming: &Incoming,
    ) -> Result<bool, FeedError> {
        let record = &incoming.record;
        let key: Key = (record.workspace.clone(), record.profile);
        if record.is_blank() {
            return Ok(true);
        }
        if out.erased.contains_key(&key) {
            // Somebody new under the same id: in a batch of their own.
            return Ok(false);
        }
        let is_condemned = self.condemned.as_ref().is_some_and(|(it, _)| *it == key);
        if record.kind == Erasure::KIND && !is_condemned {
            erase(out, key, Erasure::decode(&record.payload)?.id);
            return Ok(true);
        }
        let merge = match &*record.kind {
            Merge::AWAY | Merge::INTO => Some(Merge::decode(&record.payload)?),
            _ => None,
        };
        if let Some((condemned, reason)) = &self.condemned
            && *condemned == key
            && !self.is_parked(out, &key)
        {
            out.parked.insert(key.clone(), reason.clone());
        }
        if !incoming.matters && !self.is_parked(out, &key) {
            return Ok(true);
        }
        if self.is_parked(out, &key) {
            if let Some(merge) = merge.filter(|_| record.kind == Merge::AWAY) {
                // The survivor has to wait, too: it parks when it meets the empty transfer.
                out.departed.push(departure(&key, merge.id, None));
            }
            out.waiting.push(incoming.clone());
            return Ok(true);
        }
        let is_source = incoming.rank == 0;
        self.fire_through(out, batch, &key, |timer| timer.precedes(record.origin, is_source))?;
        if self.is_parked(out, &key) {
            out.waiting.push(incoming.clone());
            return Ok(true);
        }
        match merge {
            Some(merge) if record.kind == Merge::AWAY => {
                let kept = slot(out, &key).now.clone();
                let mut turn = self.turn(&key, batch, incoming, Timers::default());
                match guarded(|| self.fold.depart(self.book, &mut turn, &kept.state, merge.into)) {
                    Ok(()) => {
                        leave(out, turn);
                        slot(out, &key).gone = true;
                        out.departed.push(departure(&key, merge.id, Some(kept)));
                    }
                    Err(reason) => {
                        out.parked.insert(key.clone(), reason);
                        out.departed.push(departure(&key, merge.id, None));
                        out.waiting.push(incoming.clone());
                    }
                }
            }
            Some(merge) => {
                let brought =
                    out.departed.iter().rev().find(|it| it.merge == merge.id).map(|it| it.left.clone());
                let brought = brought.or_else(|| self.transfers.get(&merge.id).cloned());
                let from = (key.0.clone(), merge.from);
                let is_erased = || self.erased.contains(&from) || out.erased.contains_key(&from);
                match brought.or_else(|| is_erased().then(|| Some(Kept::default()))) {
                    None => return Ok(false),
                    Some(None) => {
                        let reason = format!("it waits for {}, merged into it, which is parked", merge.from);
                        out.parked.insert(key, reason);
                        out.waiting.push(incoming.clone());
                    }
                    Some(Some(from)) => {
                        slot(out, &key).now.timers.unite(from.timers, record.origin);
                        let arrived = (key.0.clone(), merge.id);
                        let outlasts = self.fold.outlasts(&from.state);
                        let merged = self.step(out, &key, batch, incoming, |fold, book, turn, state| {
                            fold.merge(book, turn, state, from.state.clone())
                        })?;
                        if merged && !outlasts {
                            out.departed.retain(|it| it.merge != merge.id);
                            out.arrived.push(arrived);
                        }
                    }
                }
            }
            None if record.kind == Unmerge::KIND => {
                out.partings.push((key, Unmerge::decode(&record.payload)?));
            }
            None => {
                self.step(out, &key, batch, incoming, |fold, book, turn, state| {
                    fold.apply(book, turn, state, record)
                })?;
            }
        }
        Ok(true)
    }

    /// Runs one step of the fold on the profile's state; keeps it if it went well, parks the profile if not.
    fn step(
        &self,
        out: &mut Outcome<F>,
        key: &Key,
        batch: &PartitionBatch,
        incoming: &Incoming,
        run: impl Fn(&F, &F::Book, &mut Turn<F::Row>, &mut F::State) -> Result<(), FoldFault>,
    ) -> Result<bool, FeedError> {
        let turn = |timers| self.turn(key, batch, incoming, timers);
        let Err(reason) = self.attempt(out, key, turn, run)? else { return Ok(true) };
        error!(consumer = %self.name, profile = %key.1, kind = %incoming.record.kind, %reason, "profile parked");
        out.parked.insert(key.clone(), reason);
        out.waiting.push(incoming.clone());
        Ok(false)
    }

    /// Tries a step; if it goes wrong, the state is as it was before, and why is said within.
    fn attempt(
        &self,
        out: &mut Outcome<F>,
        key: &Key,
        turn: impl Fn(Timers) -> Turn<F::Row>,
        run: impl Fn(&F, &F::Book, &mut Turn<F::Row>, &mut F::State) -> Result<(), FoldFault>,
    ) -> Result<Result<(), String>, FeedError> {
        let mut reason = String::new();
        for _ in 0..TRIES {
            let now = &mut slot(out, key).now;
            let (mut state, timers) = if self.careful {
                (now.state.clone(), now.timers.clone())
            } else {
                (std::mem::take(&mut now.state), std::mem::take(&mut now.timers))
            };
            let mut turn = turn(timers);
            match guarded(|| run(self.fold, self.book, &mut turn, &mut state)) {
                Ok(()) => {
                    now.state = state;
                    now.timers = std::mem::take(&mut turn.timers);
                    leave(out, turn);
                    return Ok(Ok(()));
                }
                Err(_) if !self.careful => return Err(FeedError::Stumbled),
                Err(failure) => reason = failure,
            }
        }
        Ok(Err(reason))
    }

    /// Fires the profile's timers, in due order, as long as `ready` holds for the next.
    fn fire_through(
        &self,
        out: &mut Outcome<F>,
        batch: &PartitionBatch,
        key: &Key,
        ready: impl Fn(&Timer) -> bool,
    ) -> Result<(), FeedError> {
        if self.is_parked(out, key) {
            return Ok(());
        }
        for fired in 0.. {
            let Some(current) = out.states.get(key).filter(|it| !it.gone) else { return Ok(()) };
            let Some((name, timer)) = current.now.timers.next().filter(|(_, it)| ready(it)) else {
                return Ok(());
            };
            let name = name.to_owned();
            if fired == MOST_TIMERS {
                out.parked
                    .insert(key.clone(), format!("its timer {name:?} is set again and again for the past"));
                return Ok(());
            }
            let instant = timer.instant();
            let origin = Progress { seq: batch.position(instant, timer.set.seq), instant };
            let turn = |mut timers: Timers| {
                timers.0.remove(&name);
                Turn {
                    workspace: key.0.clone(),
                    profile: key.1,
                    source: self.name.clone(),
                    at: timer.due,
                    origin,
                    stale: batch.fresh.is_some_and(|it| instant > it.instant),
                    historical: timer.historical,
                    correction: false,
                    timers,
                    records: Vec::new(),
                    rows: Vec::new(),
                    commands: Vec::new(),
                }
            };
            let fire = |fold: &F, book: &F::Book, turn: &mut Turn<F::Row>, state: &mut F::State| {
                fold.fire(book, turn, state, &name)
            };
            if let Err(reason) = self.attempt(out, key, turn, fire)? {
                error!(consumer = %self.name, profile = %key.1, timer = %name, %reason, "profile parked");
                out.parked.insert(key.clone(), reason);
                return Ok(());
            }
        }
        Ok(())
    }

    fn turn(&self, key: &Key, batch: &PartitionBatch, incoming: &Incoming, timers: Timers) -> Turn<F::Row> {
        Turn {
            workspace: key.0.clone(),
            profile: key.1,
            source: incoming.feed.clone(),
            at: incoming.record.time,
            origin: incoming.record.origin,
            historical: incoming.record.historical,
            stale: batch.is_stale(incoming.record.origin),
            correction: incoming.record.correction,
            timers,
            records: Vec::new(),
            rows: Vec::new(),
            commands: Vec::new(),
        }
    }
}

fn slot<'a, F: Fold>(out: &'a mut Outcome<F>, key: &Key) -> &'a mut Slot<F::State> {
    out.states.entry(key.clone()).or_insert_with(|| Slot { exists: false, now: Kept::default(), gone: false })
}

/// Drops all that this batch made of a profile; what was there before goes with the commit.
fn erase<F: Fold>(out: &mut Outcome<F>, key: Key, erasure: Uuid) {
    slot(out, &key).gone = true;
    out.records.retain(|(_, it)| it.profile != key.1 || it.workspace != key.0);
    out.commands.retain(|it| it.profile != Some(key.1) || it.workspace != key.0);
    out.departed.retain(|it| it.profile != key.1 || it.workspace != key.0);
    out.waiting.retain(|it| it.key() != key);
    out.parked.remove(&key);
    out.erased.insert(key, erasure);
}

fn departure<S>(key: &Key, merge: MergeId, left: Option<Kept<S>>) -> Departure<S> {
    Departure { workspace: key.0.clone(), merge, profile: key.1, left }
}

fn leave<F: Fold>(out: &mut Outcome<F>, turn: Turn<F::Row>) {
    out.records.extend(turn.records);
    out.rows.extend(turn.rows);
    out.commands.extend(turn.commands);
}

/// Runs a step so that a panic in it is a fault of its record alone.
pub(crate) fn guarded(run: impl FnOnce() -> Result<(), FoldFault>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|fault| fault.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(format!("internal error: {}", text.unwrap_or_else(|| "a panic".to_owned())))
        }
    }
}
