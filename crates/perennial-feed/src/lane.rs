//! One worker of a reader: it fetches from all sources, waits until they agree on how far the world is, and applies
//! what is ready in one transaction that first moves the checkpoints.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use perennial_api::feed::v1 as wire;
use perennial_store::{Backend, Store};
use perennial_types::{Clock, Timestamp, from_micros, micros};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

mod plan;

use plan::cut_at;

use crate::feed::rows::Head;

use crate::batch::{Batch, Incoming, Outcome, PartitionBatch};
use crate::keep::{self, Key, Move};
use crate::reader::Reader;
use crate::{FeedError, Fold, Listener, Merge, Progress, Record, Source};

/// Records applied in one transaction, at most.
const MOST_RECORDS: usize = 500;
/// Profiles whose timers fire in one transaction, at most (more only if they are due at the very same instant).
const MOST_DUE: usize = 500;
/// How long a checkpoint may lag behind records that concern nobody here.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a source that did not answer is asked again, if the fold may go on without it.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Lane<F: Fold> {
    reader: Arc<Reader<F>>,
    number: i64,
    listener: Listener,
    parts: BTreeMap<u16, Part>,
    next_due: Option<Timestamp>,
    parked: BTreeSet<Key>,
    errands: Vec<keep::Errand>,
    /// After a batch that could not be written: one record at a time until it is past.
    most: usize,
    condemned: Option<(Key, String)>,
    loaded: bool,
    /// The own feed's heads, as they were when the lane was last taken hold of.
    heads: BTreeMap<u16, Head>,
    /// Records that concern nobody here were passed over; by then the checkpoints have to say so.
    unsaved: Option<Timestamp>,
    /// A source did not answer, and the fold may go on without it.
    away: bool,
    /// What was last asked of each source.
    heard: BTreeMap<usize, Heard>,
    /// The definitions as they were last read: good for a guess.
    book: Option<Arc<F::Book>>,
}

/// How often a source had rung before it was asked, and what completeness was wanted of each partition.
type Heard = (u64, Vec<Option<wire::Progress>>);

struct Part {
    sources: Vec<Fetched>,
    progress: Progress,
    /// The progress that is written down; the rest follows with the next batch, or a little later.
    written: Progress,
    /// A step that is kept waiting by a source that is behind: its instant, and since when it waits.
    kept_waiting: Option<(Timestamp, Timestamp)>,
}

#[derive(Default)]
struct Fetched {
    epoch: String,
    /// What the checkpoint says.
    stored: u64,
    applied: u64,
    last: u64,
    head: u64,
    claim: Option<Progress>,
    buffer: VecDeque<Record>,
}

impl<F: Fold> Lane<F> {
    pub(crate) fn new(reader: Arc<Reader<F>>, number: i64, partitions: &[u16], listener: Listener) -> Self {
        let parts = partitions
            .iter()
            .map(|it| {
                let sources = reader.sources.iter().map(|_| Fetched::default()).collect();
                (
                    *it,
                    Part { sources, progress: Progress::START, written: Progress::START, kept_waiting: None },
                )
            })
            .collect();
        Self {
            reader,
            number,
            listener,
            parts,
            next_due: None,
            parked: BTreeSet::new(),
            errands: Vec::new(),
            most: MOST_RECORDS,
            condemned: None,
            loaded: false,
            heads: BTreeMap::new(),
            unsaved: None,
            away: false,
            heard: BTreeMap::new(),
            book: None,
        }
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut failures: u32 = 0;
        while !stop.is_cancelled() {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.work() => worked,
            };
            match worked {
                Ok(true) => failures = 0,
                Ok(false) => {
                    failures = 0;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.wait() => {}
                    }
                }
                Err(error) => {
                    self.loaded = false;
                    failures += 1;
                    if matches!(error, FeedError::Fenced) {
                        debug!(consumer = %self.reader.name, lane = self.number, "lane is held by another worker");
                    } else if error.is_transient() {
                        warn!(consumer = %self.reader.name, lane = self.number, error = %chain(&error), "lane tries again");
                    } else {
                        error!(consumer = %self.reader.name, lane = self.number, error = %chain(&error), "lane stopped");
                    }
                    let pause = Duration::from_millis(50 << failures.min(8));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Waits for a ring, for the next timer, or (where commits of other processes do not ring here) a little while.
    async fn wait(&self) {
        let held = self.reader.held();
        // A timer that is due already waits for the sources to come that far: they ring.
        let now = self.reader.clock.now();
        let due = self.next_due.filter(|due| *due > now && held.is_none_or(|held| *due < held));
        let again = self.away.then(|| now.checked_add(AGAIN).ok()).flatten();
        let due = [due, self.unsaved, again, self.impatient_at()].into_iter().flatten().min();
        let everything_rings = self.reader.sources.iter().all(|it| self.rings(it));
        if everything_rings || self.reader.clock.simulation().is_some() {
            self.listener.idle(due).await;
        } else {
            let _ = tokio::time::timeout(self.reader.poll, self.listener.idle(due)).await;
        }
    }

    /// Whether a source rings for all it has to tell: it lives in this process, and nobody else can write to it.
    fn rings(&self, source: &Source) -> bool {
        self.reader.store.backend() == Backend::Sqlite && source.local
    }

    /// Does one batch; false if there was nothing to do.
    async fn work(&mut self) -> Result<bool, FeedError> {
        if !self.loaded {
            self.load().await?;
        }
        if self.reader.errands_rung(self.number) {
            self.errands = keep::errands(self.reader.store.read(), self.number).await?;
        }
        if let Some(request) = self.reader.next_request(self.number) {
            self.serve(request).await;
            return Ok(true);
        }
        self.fetch().await?;
        self.watch();
        let planned = self.plan();
        let visited = self.visit().await?;
        let Some((batches, due_through)) = planned else {
            if self.unsaved.is_some_and(|it| it <= self.reader.clock.now()) {
                self.save_positions().await?;
            }
            return Ok(visited);
        };
        let worked = if self.is_irrelevant(&batches, due_through).await? {
            self.pass_over(&batches);
            true
        } else {
            self.apply(batches, due_through).await?
        };
        Ok(visited || (worked && self.has_more()))
    }

    /// Whether there is more to do that nothing will ring for.
    fn has_more(&self) -> bool {
        let more = |it: &Fetched| !it.buffer.is_empty() || it.last < it.head;
        let now = self.reader.clock.now();
        self.condemned.is_some()
            || self.most < MOST_RECORDS
            || self.next_due.is_some_and(|due| due <= now)
            || self.parts.values().any(|part| part.sources.iter().any(more))
    }

    async fn load(&mut self) -> Result<(), FeedError> {
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
        self.next_due = keep::next_due(&tx, self.number).await?;
        self.errands = keep::errands(&tx, self.number).await?;
        Store::commit(tx).await?;
        self.parked = reader.parked_in(&partitions).await?;
        self.heard.clear();
        self.loaded = true;
        Ok(())
    }

    /// Begins a transaction that holds this lane, or fails if the lane has moved without us: then everything in memory
    /// is stale.
    pub(crate) async fn begin(&mut self) -> Result<perennial_store::DatabaseTransaction, FeedError> {
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

    async fn apply(
        &mut self,
        mut batches: BTreeMap<u16, PartitionBatch>,
        due_through: Timestamp,
    ) -> Result<bool, FeedError> {
        let reader = self.reader.clone();
        let tx = self.begin().await?;

        let mut due: Vec<Key> = Vec::new();
        if self.next_due.is_some_and(|it| it <= due_through) {
            let mut found = keep::due(&tx, self.number, due_through, MOST_DUE + 1).await?;
            if let Some((_, cut)) = found.get(MOST_DUE).cloned() {
                if found.first().is_some_and(|(_, first)| *first == cut) {
                    // All at one instant: they fire together.
                    found = keep::due(&tx, self.number, cut, usize::MAX).await?;
                    cut_at(&mut batches, from_micros(micros(cut) + 1));
                } else {
                    found.retain(|(_, at)| *at < cut);
                    cut_at(&mut batches, cut);
                }
            }
            due = found.into_iter().map(|(key, _)| key).collect();
        }

        let book = reader.fold.book(&tx).await.map_err(store_fault)?;
        self.book = Some(book.clone());
        let mut keys: BTreeSet<Key> = due.iter().cloned().collect();
        let mut merges = BTreeSet::new();
        for incoming in batches.values().flat_map(|it| &it.records) {
            if !self.matters(&book, &incoming.record) {
                continue;
            }
            keys.insert((incoming.record.workspace.clone(), incoming.record.profile));
            if incoming.record.kind == Merge::INTO {
                let merge = Merge::decode(&incoming.record.payload)?;
                merges.insert((incoming.record.workspace.clone(), merge.id));
            }
        }
        let states = keep::load(&tx, &keys).await?;
        let transfers = keep::transfers(&tx, &merges).await?;
        let outcome = Batch {
            fold: &*reader.fold,
            book: &book,
            name: reader.name.clone(),
            partitions: batches,
            states,
            transfers,
            parked: self.parked.clone(),
            due,
            condemned: self.condemned.clone(),
        }
        .run()?;

        let first = outcome.partitions.values().find_map(|it| it.records.first()).map(Incoming::key);
        let (moves, progress) = self.moves(&outcome);
        let progressed =
            progress.iter().any(|(p, it)| self.parts.get(p).is_some_and(|part| *it > part.progress));
        if moves.is_empty()
            && outcome.taken.values().all(|it| *it == 0)
            && outcome.states.is_empty()
            && !progressed
        {
            return Ok(false);
        }
        match self.commit(tx, moves, outcome, &progress).await {
            Ok(taken) => {
                self.most = (self.most * 2).min(MOST_RECORDS);
                self.condemned = None;
                self.advance(&taken, &progress);
                Ok(true)
            }
            Err(error) if !error.is_transient() && matches!(error, FeedError::Store(_)) => {
                // Something in the batch cannot be written. One record at a time finds it; then its profile is parked.
                warn!(consumer = %reader.name, error = %chain(&error), "a batch could not be written: one by one");
                if self.most == 1 {
                    self.condemned = first.map(|key| (key, chain(&error)));
                }
                self.most = 1;
                self.loaded = true;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Checkpoints and progress after the batch. Only what moves is written: that nobody else has moved the rest was seen
    /// when the lane was taken hold of.
    fn moves(&self, outcome: &Outcome<F>) -> (Vec<Move>, BTreeMap<u16, Progress>) {
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

    /// Whether nothing of a batch can matter: then it is passed over without a transaction, and the checkpoints follow
    /// a little later. So does the progress, where all who read it live and die with this process: after a crash
    /// the same records are passed over again.
    async fn is_irrelevant(
        &mut self,
        batches: &BTreeMap<u16, PartitionBatch>,
        due_through: Timestamp,
    ) -> Result<bool, FeedError> {
        let records = || batches.values().flat_map(|it| &it.records).map(|it| &it.record);
        let is_idle = self.parked.is_empty()
            && self.condemned.is_none()
            && self.next_due.is_none_or(|due| due > due_through)
            && batches.keys().all(|partition| {
                let demanded = self.reader.feed.demanded(*partition);
                let awaited = self.reader.store.backend() == Backend::Postgres
                    && self.parts.get(partition).is_some_and(|it| !it.progress.reaches(demanded));
                !awaited
            });
        if !is_idle {
            return Ok(false);
        }
        if !records().any(|it| it.is_merge() || self.reader.fold.concerns(it)) {
            return Ok(true);
        }
        let Some(guess) = &self.book else { return Ok(false) };
        if records().any(|it| self.matters(guess, it)) {
            return Ok(false);
        }
        // Only definitions read now, after the records came, can say that nothing asks for them.
        let tx = self.reader.store.write().await?;
        let book = self.reader.fold.book(&tx).await.map_err(store_fault)?;
        drop(tx);
        let irrelevant = !records().any(|it| self.matters(&book, it));
        self.book = Some(book);
        Ok(irrelevant)
    }

    /// Whether a record is worth a turn.
    pub(crate) fn matters(&self, book: &F::Book, record: &Record) -> bool {
        let fold = &self.reader.fold;
        record.is_merge() || (fold.concerns(record) && fold.matters(book, record))
    }

    fn pass_over(&mut self, batches: &BTreeMap<u16, PartitionBatch>) {
        let taken = batches.iter().map(|(partition, batch)| (*partition, batch.records.len())).collect();
        let mut progress = BTreeMap::new();
        if self.reader.store.backend() == Backend::Sqlite {
            progress = batches.iter().filter_map(|(it, batch)| Some((*it, batch.progress?))).collect();
            self.reader.feed.progressed(&progress);
        }
        self.advance(&taken, &progress);
        for partition in batches.keys() {
            let Some(part) = self.parts.get(partition) else { continue };
            for (source, fetched) in self.reader.sources.iter().zip(&part.sources) {
                self.reader.passed_over(&source.name, *partition, fetched.applied);
            }
        }
        let soon = self.reader.clock.now().checked_add(PATIENCE).ok();
        self.unsaved = self.unsaved.or(soon);
    }

    /// Writes down how far records that concern nobody here were passed over.
    async fn save_positions(&mut self) -> Result<(), FeedError> {
        let tx = self.begin().await?;
        let (moves, _) = self.moves(&Outcome::nothing());
        keep::move_checkpoints(&tx, &self.reader.name, &moves).await?;
        let progress = self.parts.iter().map(|(partition, part)| (*partition, part.progress)).collect();
        // Readers know it already.
        drop(self.reader.feed.append_derived(&tx, &self.heads, Vec::new(), &progress).await?);
        Store::commit(tx).await?;
        self.positions_saved(&moves, &progress);
        Ok(())
    }

    fn positions_saved(&mut self, moves: &[Move], progress: &BTreeMap<u16, Progress>) {
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

    async fn commit(
        &mut self,
        tx: perennial_store::DatabaseTransaction,
        moves: Vec<Move>,
        outcome: Outcome<F>,
        progress: &BTreeMap<u16, Progress>,
    ) -> Result<BTreeMap<u16, usize>, FeedError> {
        let reader = self.reader.clone();
        keep::move_checkpoints(&tx, &reader.name, &moves).await?;
        let parked: BTreeSet<Key> = self.parked.iter().chain(outcome.parked.keys()).cloned().collect();
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for (key, slot) in outcome.states {
            if slot.gone {
                if slot.loaded.is_some() {
                    gone.push(key);
                }
            } else if slot.is_changed() || outcome.parked.contains_key(&key) {
                let is_parked = parked.contains(&key);
                changed.push((key, slot.now, is_parked));
            }
        }
        let lane = self.number;
        keep::save(&tx, |_| lane, &changed).await?;
        keep::remove(&tx, &gone).await?;
        keep::save_transfers(&tx, &outcome.departed).await?;
        keep::remove_transfers(&tx, &outcome.arrived).await?;
        let now = reader.clock.now();
        crate::parked::park(&tx, &outcome.parked, &outcome.waiting, now).await?;
        reader.fold.write(&tx, outcome.rows).await.map_err(store_fault)?;
        let targets: BTreeSet<&'static str> = outcome.commands.iter().map(|it| it.target).collect();
        keep::save_commands(&tx, outcome.commands).await?;
        let appended = reader.feed.append_derived(&tx, &self.heads, outcome.records, progress).await?;
        let next_due = keep::next_due(&tx, self.number).await?;
        Store::commit(tx).await?;
        self.positions_saved(&moves, progress);
        self.next_due = next_due;
        self.parked = parked;
        reader.feed.announce(appended);
        for target in targets {
            reader.bell.ring(&reader.outbox_topic(target));
        }
        reader.has_moved();
        Ok(outcome.taken)
    }

    fn advance(&mut self, taken: &BTreeMap<u16, usize>, progress: &BTreeMap<u16, Progress>) {
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

    /// Visits some profiles on the oldest errand that the present progress has reached.
    async fn visit(&mut self) -> Result<bool, FeedError> {
        let Some(errand) = self.errands.first().cloned() else { return Ok(false) };
        let reader = self.reader.clone();
        let tx = self.begin().await?;
        let keys = keep::next_visits(&tx, self.number, &errand, MOST_RECORDS).await?;
        let book = reader.fold.book(&tx).await.map_err(store_fault)?;
        let states = keep::load(&tx, &keys.iter().cloned().collect()).await?;
        let visits = crate::visit::visits(self, &book, states, &errand);
        let moves = Vec::new();
        let progress = self.parts.iter().map(|(partition, part)| (*partition, part.progress)).collect();
        let last = (keys.len() == MOST_RECORDS).then(|| keys.last().map(|it| it.1)).flatten();
        keep::advance_errand(&tx, self.number, &errand, last).await?;
        self.commit(tx, moves, visits, &progress).await?;
        if last.is_none() {
            self.errands.remove(0);
            reader.errand_done(&errand.name);
        } else if let Some(errand) = self.errands.first_mut() {
            errand.after = last.map(|it| it.0);
        }
        Ok(true)
    }

    pub(crate) fn reload_unless(&mut self, well: bool) {
        self.loaded &= well;
    }

    pub(crate) async fn ensure_loaded(&mut self) -> Result<(), FeedError> {
        if self.loaded { Ok(()) } else { self.load().await }
    }

    pub(crate) fn number(&self) -> i64 {
        self.number
    }

    pub(crate) fn reader(&self) -> &Arc<Reader<F>> {
        &self.reader
    }

    pub(crate) fn progress(&self, partition: u16) -> Progress {
        self.parts.get(&partition).map_or(Progress::START, |it| it.progress)
    }

    pub(crate) fn is_parked(&self, key: &Key) -> bool {
        self.parked.contains(key)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.reader.clock
    }

    /// Commits what a request (a retry, a recomputation) left behind.
    pub(crate) async fn commit_request(
        &mut self,
        tx: perennial_store::DatabaseTransaction,
        outcome: Outcome<F>,
        released: Option<Key>,
    ) -> Result<(), FeedError> {
        if let Some(key) = &released {
            self.parked.remove(key);
        }
        let progress = self.parts.iter().map(|(partition, part)| (*partition, part.progress)).collect();
        let moves = Vec::new();
        self.commit(tx, moves, outcome, &progress).await.map(|_| ())
    }
}

pub(crate) fn store_fault(fault: crate::FoldFault) -> FeedError {
    match fault {
        crate::FoldFault::Store(error) => FeedError::Store(error),
        crate::FoldFault::Poison(reason) => FeedError::Malformed { what: "what a fold wrote", reason },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
