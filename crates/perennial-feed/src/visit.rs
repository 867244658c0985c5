//! Steps that no record and no timer cause: errands (visit everybody), retries of parked profiles, recomputations.

use std::collections::{BTreeMap, BTreeSet};

use perennial_types::{Timestamp, micros};
use tracing::error;

use crate::batch::{Batch, Incoming, Outcome, PartitionBatch, Slot, guarded};
use crate::fold::{Timer, Timers};
use crate::keep::{self, Errand, Kept, Key};
use crate::lane::{Lane, store_fault};
use crate::reader::Request;
use crate::{FeedError, Fold, FoldFault, PARTITIONS, Parted, Progress, Record, Turn, parked};

/// Profiles recomputed in one transaction, at most.
const MOST_REFOLDED: usize = 100;

/// Visits loaded profiles on an errand.
pub(crate) fn visits<F: Fold>(
    lane: &Lane<F>,
    book: &F::Book,
    states: BTreeMap<Key, Kept<F::State>>,
    errand: &Errand,
) -> Outcome<F> {
    let mut out = Outcome::nothing();
    let fold = lane.reader().fold.clone();
    for (key, loaded) in states {
        if lane.is_parked(&key) {
            continue;
        }
        let progress = lane.progress(key.1.partition(PARTITIONS));
        let origin = Progress { seq: progress.seq, instant: progress.instant.max(errand.at) };
        let mut turn = turn::<F>(lane, &key, origin, loaded.timers.clone());
        turn.at = errand.at;
        let mut state = loaded.state.clone();
        match guarded(|| fold.visit(book, &mut turn, &mut state, &errand.name)) {
            Ok(()) => {
                let timers = std::mem::take(&mut turn.timers);
                keep_turn(&mut out, turn);
                let now = Kept { state, timers, ..loaded };
                out.states.insert(key, Slot { exists: true, now, gone: false });
            }
            Err(reason) => {
                error!(consumer = %lane.reader().name, profile = %key.1, errand = %errand.name, %reason, "profile parked");
                out.parked.insert(key.clone(), reason);
                out.states.insert(key, Slot { exists: true, now: loaded, gone: false });
            }
        }
    }
    out
}

pub(crate) fn keep_turn<F: Fold>(out: &mut Outcome<F>, turn: Turn<F::Row>) {
    out.records.extend(turn.records);
    out.rows.extend(turn.rows);
    out.commands.extend(turn.commands);
}

fn turn<F: Fold>(lane: &Lane<F>, key: &Key, origin: Progress, timers: Timers) -> Turn<F::Row> {
    let mut turn = Turn::new(key.0.clone(), key.1, lane.clock().now());
    turn.source = lane.reader().name.clone();
    turn.origin = origin;
    turn.timers = timers;
    turn
}

impl<F: Fold> Lane<F> {
    /// Does what somebody asked this lane to do, and answers. If the lane has moved without us, it is asked again once
    /// the lane is loaded anew.
    pub(crate) async fn serve(&mut self, request: Request) {
        match request {
            Request::Retry(key, answer) => {
                let result = self.retry(&key).await;
                self.reload_unless(result.is_ok());
                if matches!(result, Err(FeedError::Fenced)) {
                    return self.postpone(Request::Retry(key, answer));
                }
                let _ = answer.send(result);
            }
            Request::Refold(keys, answer) => {
                let mut result = Ok(());
                for (done, chunk) in keys.chunks(MOST_REFOLDED).enumerate() {
                    result = self.refold(chunk).await;
                    if matches!(result, Err(FeedError::Fenced)) {
                        self.reload_unless(false);
                        let left = keys.into_iter().skip(done * MOST_REFOLDED).collect();
                        return self.postpone(Request::Refold(left, answer));
                    }
                    if result.is_err() {
                        break;
                    }
                }
                self.reload_unless(result.is_ok());
                let _ = answer.send(result);
            }
        }
    }

    fn postpone(&self, request: Request) {
        self.reader().ask(self.number(), request);
    }

    /// Applies a parked profile's records again, in order. Answers how many were applied, and what stopped it.
    async fn retry(&mut self, key: &Key) -> Result<(u32, String), FeedError> {
        let reader = self.reader().clone();
        let tx = self.begin().await?;
        let mut waiting = parked::records(&tx, key).await?;
        let partition = key.1.partition(PARTITIONS);
        let progress = self.progress(partition);
        let keys: BTreeSet<Key> = [key.clone()].into();
        let mut merges = BTreeSet::new();
        for it in waiting.iter().filter(|it| it.record.kind == crate::Merge::INTO) {
            merges.insert((key.0.clone(), crate::Merge::decode(&it.record.payload)?.id));
        }
        let book = reader.fold.book(&tx).await.map_err(store_fault)?;
        let count = waiting.len();
        for it in &mut waiting {
            it.matters = self.matters(&book, &it.record);
        }
        let batch = PartitionBatch {
            records: waiting,
            progress: Some(progress),
            fresh: None,
            positions: vec![(progress.instant, progress.seq)],
        };
        let mut out = Batch {
            fold: &*reader.fold,
            book: &book,
            name: reader.name.clone(),
            partitions: [(partition, batch)].into(),
            states: keep::load(&tx, &keys).await?,
            transfers: keep::transfers(&tx, &merges).await?,
            erased: BTreeSet::new(),
            parked: BTreeSet::new(),
            due: vec![key.clone()],
            condemned: None,
            careful: true,
        }
        .run()?;
        // What comes late is history to everybody downstream, and reflects no more than the present.
        for (origin, record) in &mut out.records {
            *origin = progress;
            record.historical = true;
        }
        parked::release(&tx, key).await?;
        let left = out.waiting.len();
        let stopped = out.parked.get(key).cloned().unwrap_or_default();
        let released = stopped.is_empty().then(|| key.clone());
        self.commit_request(tx, out, released).await?;
        Ok((u32::try_from(count - left).unwrap_or(u32::MAX), stopped))
    }

    /// Recomputes profiles from empty by their facts, and leaves the difference behind as corrections.
    async fn refold(&mut self, keys: &[Key]) -> Result<(), FeedError> {
        let reader = self.reader().clone();
        let mut facts: BTreeMap<&Key, Vec<Record>> = BTreeMap::new();
        self.ensure_loaded().await?;
        for key in keys.iter().filter(|it| !self.is_parked(it)) {
            let up_to = self.progress(key.1.partition(PARTITIONS)).seq;
            // Whoever is erased meanwhile stays as they are until that comes here.
            if let Some(read) = reader.facts(key, up_to).await? {
                facts.insert(key, read);
            }
        }
        let tx = self.begin().await?;
        let book = reader.fold.book(&tx).await.map_err(store_fault)?;
        let olds = keep::load::<F::State>(&tx, &keys.iter().cloned().collect()).await?;
        let mut out = Outcome::<F>::nothing();
        for (key, records) in facts {
            let Some(old) = olds.get(key) else { continue };
            let progress = self.progress(key.1.partition(PARTITIONS));
            match self.recompute(&book, key, records, (&old.state, None), progress) {
                Ok((now, turn)) => {
                    keep_turn(&mut out, turn);
                    let now = Kept { written: old.written.clone(), ..now };
                    out.states.insert(key.clone(), Slot { exists: true, now, gone: false });
                }
                Err(reason) => {
                    error!(consumer = %reader.name, profile = %key.1, %reason, "profile parked while recomputing");
                    out.parked.insert(key.clone(), reason);
                    out.states.insert(key.clone(), Slot { exists: true, now: old.clone(), gone: false });
                }
            }
        }
        self.commit_request(tx, out, None).await
    }

    /// Runs a profile's facts again from empty; `old` is what was known of it, and how a merge of it was undone.
    pub(crate) fn recompute(
        &self,
        book: &F::Book,
        key: &Key,
        mut records: Vec<Record>,
        (old, parted): (&F::State, Option<&Parted<F::State>>),
        progress: Progress,
    ) -> Result<Recomputed<F>, String> {
        // In the order in which they were received, as the fold saw them; facts of merged profiles fall into place.
        records.sort_by_key(|it| (micros(it.time), it.profile, it.seq));
        let mut replay =
            Replay { lane: self, book, key, state: F::State::default(), timers: Timers::default() };
        for record in records.iter().filter(|it| self.matters(book, it)) {
            replay.fire_while(|it| it.precedes(record.origin, true))?;
            replay.step(record.origin, record.time, |fold, book, turn, state| {
                fold.apply(book, turn, state, record)
            })?;
        }
        replay.fire_while(|it| it.instant() <= progress.instant)?;
        let Replay { mut state, mut timers, .. } = replay;
        timers.rebase(|set| Progress { seq: set.seq.min(progress.seq), ..set });
        let mut turn = turn::<F>(self, key, progress, timers);
        turn.historical = true;
        turn.correction = true;
        let mut old = old.clone();
        guarded(|| {
            if let Some(parted) = parted {
                self.reader().fold.parted(book, &mut turn, &mut old, parted)?;
            }
            self.reader().fold.refolded(book, &mut turn, &old, &mut state)
        })?;
        let timers = std::mem::take(&mut turn.timers);
        Ok((Kept { state, timers, written: None }, turn))
    }
}

/// A recomputed profile, and what the difference leaves behind.
pub(crate) type Recomputed<F> = (Kept<<F as Fold>::State>, Turn<<F as Fold>::Row>);

/// A profile's history run again from empty; what its steps leave behind is dropped.
struct Replay<'a, F: Fold> {
    lane: &'a Lane<F>,
    book: &'a F::Book,
    key: &'a Key,
    state: F::State,
    timers: Timers,
}

impl<F: Fold> Replay<'_, F> {
    fn step(
        &mut self,
        origin: Progress,
        at: Timestamp,
        run: impl FnOnce(&F, &F::Book, &mut Turn<F::Row>, &mut F::State) -> Result<(), FoldFault>,
    ) -> Result<(), String> {
        let mut turn = turn::<F>(self.lane, self.key, origin, std::mem::take(&mut self.timers));
        turn.source = "ingestion".into();
        turn.at = at;
        turn.historical = true;
        let done = guarded(|| run(&self.lane.reader().fold, self.book, &mut turn, &mut self.state));
        self.timers = std::mem::take(&mut turn.timers);
        done
    }

    fn fire_while(&mut self, ready: impl Fn(&Timer) -> bool) -> Result<(), String> {
        while let Some((name, timer)) = self.timers.next().filter(|(_, it)| ready(it)) {
            let name = name.to_owned();
            self.timers.0.remove(&name);
            let origin = Progress { seq: timer.set.seq, instant: timer.instant() };
            self.step(origin, timer.due, |fold, book, turn, state| fold.fire(book, turn, state, &name))?;
        }
        Ok(())
    }
}

impl<F: Fold> std::fmt::Debug for Lane<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Incoming {
    pub(crate) fn key(&self) -> Key {
        (self.record.workspace.clone(), self.record.profile)
    }
}
