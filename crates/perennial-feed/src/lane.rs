//! One worker of a reader: it fetches from all sources, waits until they agree on how far the world is, and applies
//! what is ready in one transaction that first moves the checkpoints.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use perennial_api::feed::v1 as wire;
use perennial_store::Backend;
use perennial_types::{Clock, Timestamp, from_micros, micros};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

mod hold;
mod passing;
mod plan;

use plan::cut_at;

use crate::feed::rows::Head;

use crate::batch::{Batch, Incoming, PartitionBatch};
use crate::keep::{self, Key};
use crate::parting::Parting;
use crate::reader::Reader;
use crate::{FeedError, Fold, Listener, Merge, Progress, Record, Source, erasure};

/// Records applied in one transaction, at most: what a transaction costs by itself is shared by them.
const MOST_RECORDS: usize = 2_000;
/// Records fetched of one partition at a time.
const FETCHED: usize = 500;
/// Profiles visited in one transaction, at most.
const MOST_VISITS: usize = 500;
/// Profiles whose timers fire in one transaction, at most (more only if they are due at the very same instant).
const MOST_DUE: usize = 500;

/// When a source that did not answer is asked again, if the fold may go on without it.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Lane<F: Fold> {
    reader: Arc<Reader<F>>,
    number: i64,
    /// Where the timers and errands of its partitions are kept.
    shelves: Vec<i64>,
    listener: Listener,
    parts: BTreeMap<u16, Part>,
    next_due: Option<Timestamp>,
    parked: BTreeSet<Key>,
    errands: Vec<keep::Errand>,
    /// Profiles to recompute before anything else, as a merge of theirs was undone.
    partings: Vec<Parting>,
    /// After a batch that could not be written: one record at a time until it is past.
    most: usize,
    condemned: Option<(Key, String)>,
    /// The next batch is run with care: the last one stumbled.
    careful: bool,
    loaded: bool,
    /// The own feed's heads, as they were when the lane was last taken hold of.
    heads: BTreeMap<u16, Head>,
    /// Records that concern nobody here were passed over; by then the checkpoints have to say so.
    unsaved: Option<Timestamp>,
    /// When timers and errands were last looked up, where another process may set some, too.
    looked: Timestamp,
    /// A source did not answer, and the fold may go on without it.
    away: bool,
    /// What was last asked of each source, and when.
    asked: BTreeMap<usize, (Asked, Timestamp)>,
    /// The definitions as they were last read: good for a guess.
    book: Option<Arc<F::Book>>,
}

/// What a source was last asked: as long as that would be asked again, and nothing rang, it has nothing new to tell.
#[derive(PartialEq)]
struct Asked {
    /// The count of its last ring before.
    rung: u64,
    /// What completeness was wanted of each partition.
    missing: Vec<Option<wire::Progress>>,
}

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
        let shelves = keep::shelves(reader.store.backend(), partitions.iter().copied());
        Self {
            reader,
            number,
            shelves: shelves.into_iter().collect(),
            listener,
            parts,
            next_due: None,
            parked: BTreeSet::new(),
            errands: Vec::new(),
            partings: Vec::new(),
            most: MOST_RECORDS,
            condemned: None,
            careful: false,
            loaded: false,
            heads: BTreeMap::new(),
            unsaved: None,
            looked: Timestamp::MIN,
            away: false,
            asked: BTreeMap::new(),
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
                    // Whoever holds the lane may let go of it at any moment.
                    let longest = if matches!(error, FeedError::Fenced) { 4 } else { 8 };
                    let pause = Duration::from_millis(50 << failures.min(longest));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Waits for a ring or for the next timer.
    async fn wait(&self) {
        let held = self.reader.held();
        // A timer that is due already waits for the sources to come that far: they ring.
        let now = self.reader.clock.now();
        let due = self.next_due.filter(|due| *due > now && held.is_none_or(|held| *due < held));
        let again = self.away.then(|| now.checked_add(AGAIN).ok()).flatten();
        // A reader whose clock is ahead of ours waits for an instant that is still to come here.
        let demands = self.parts.keys().map(|it| self.reader.feed.demanded(*it).instant);
        let ahead = demands.filter(|it| *it > now && held.is_none_or(|held| *it < held)).min();
        let due = [due, self.unsaved, again, self.impatient_at(), ahead].into_iter().flatten().min();
        self.listener.idle(due).await;
    }

    /// Whether all that a source has to tell rings here: it lives in this process and nobody else writes to its database,
    /// or time is simulated, which only one process of each service may do.
    fn rings_always(&self, source: &Source) -> bool {
        let alone = self.reader.store.backend() == Backend::Sqlite && source.local;
        alone || self.reader.clock.simulation().is_some()
    }

    /// Does one batch; false if there was nothing to do.
    async fn work(&mut self) -> Result<bool, FeedError> {
        if !self.loaded {
            self.load().await?;
        }
        self.look().await?;
        if let Some(request) = self.reader.next_request(self.number) {
            self.serve(request).await;
            return Ok(true);
        }
        if !self.partings.is_empty() {
            self.part().await?;
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
            || self.careful
            || !self.partings.is_empty()
            || self.most < MOST_RECORDS
            || self.next_due.is_some_and(|due| due <= now)
            || self.parts.values().any(|part| part.sources.iter().any(more))
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
            let mut found = keep::due(&tx, &self.shelves, due_through, MOST_DUE + 1).await?;
            if let Some((_, cut)) = found.get(MOST_DUE).cloned() {
                if found.first().is_some_and(|(_, first)| *first == cut) {
                    // All at one instant: they fire together.
                    found = keep::due(&tx, &self.shelves, cut, usize::MAX).await?;
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
        let mut merges = BTreeMap::new();
        for incoming in batches.values_mut().flat_map(|it| &mut it.records) {
            incoming.matters = self.matters(&book, &incoming.record);
            if !incoming.matters {
                continue;
            }
            keys.insert((incoming.record.workspace.clone(), incoming.record.profile));
            if incoming.record.kind == Merge::INTO {
                let merge = Merge::decode(&incoming.record.payload)?;
                merges.insert((incoming.record.workspace.clone(), merge.id), merge.from);
            }
        }
        let states = keep::load(&tx, &keys).await?;
        let transfers = keep::transfers(&tx, &merges.keys().cloned().collect()).await?;
        // Whoever was erased left nothing for the survivor.
        let absent = merges.into_iter().filter(|((_, merge), _)| !transfers.contains_key(merge));
        let erased =
            erasure::of(&tx, absent.map(|((workspace, _), from)| (workspace, from)).collect()).await?;
        let batch = Batch {
            fold: &*reader.fold,
            book: &book,
            name: reader.name.clone(),
            partitions: batches,
            states,
            transfers,
            erased,
            parked: self.parked.clone(),
            due,
            condemned: self.condemned.clone(),
            careful: self.careful,
        };
        let outcome = match batch.run() {
            Ok(outcome) => outcome,
            Err(FeedError::Stumbled) => {
                self.careful = true;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };

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
                self.careful = false;
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

    /// Visits some profiles on the oldest errand that the present progress has reached.
    async fn visit(&mut self) -> Result<bool, FeedError> {
        if self.errands.is_empty() {
            return Ok(false);
        }
        let reader = self.reader.clone();
        let tx = self.begin().await?;
        // Another process may have come further with them, or to their end.
        let errands = keep::errands(&tx, &self.shelves).await?;
        self.take_errands(errands, &BTreeSet::new());
        let Some(errand) = self.errands.first().cloned() else { return Ok(false) };
        let keys = keep::next_visits(&tx, &errand, MOST_VISITS).await?;
        let book = reader.fold.book(&tx).await.map_err(store_fault)?;
        let states = keep::load(&tx, &keys.iter().cloned().collect()).await?;
        let visits = crate::visit::visits(self, &book, states, &errand);
        let moves = Vec::new();
        let progress = self.parts.iter().map(|(partition, part)| (*partition, part.progress)).collect();
        let last = (keys.len() == MOST_VISITS).then(|| keys.last().map(|it| it.1)).flatten();
        keep::advance_errand(&tx, &errand, last).await?;
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

    pub(crate) fn partitions(&self) -> impl Iterator<Item = u16> {
        self.parts.keys().copied()
    }

    pub(crate) fn partings(&self) -> &[Parting] {
        &self.partings
    }

    pub(crate) fn set_partings(&mut self, partings: Vec<Parting>) {
        self.partings = partings;
    }

    pub(crate) fn is_parked(&self, key: &Key) -> bool {
        self.parked.contains(key)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.reader.clock
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
