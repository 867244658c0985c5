//! What a lane does next: fetch from all sources, and pick what they agree is ready.

use std::collections::BTreeMap;

use perennial_api::feed::v1 as wire;
use perennial_rpc::status;
use perennial_types::{Timestamp, from_micros, micros};
use tonic::{Code, Status};
use tracing::warn;

use super::{Asked, FETCHED, Lane, Part};
use crate::batch::{Incoming, PartitionBatch};
use crate::bell::LOOK;
use crate::{Cursor, FeedError, Fold, PartitionRecords, Progress, Source, Unmerge};

impl<F: Fold> Lane<F> {
    /// How complete this lane wants to be: as far as its timers and its readers need.
    fn wanted(&self, partition: u16, now: Timestamp) -> Option<Timestamp> {
        let due = self.next_due.filter(|due| *due <= now).map(|_| now);
        let demand = self.reader.feed.demanded(partition).instant;
        let demanded = (demand <= now
            && self.parts.get(&partition).is_some_and(|it| it.progress.instant < demand))
        .then_some(now);
        due.max(demanded)
    }

    pub(super) async fn fetch(&mut self) -> Result<(), FeedError> {
        let now = self.reader.clock.now();
        let was_away = std::mem::take(&mut self.away);
        let wanted: BTreeMap<u16, Option<Timestamp>> =
            self.parts.keys().map(|it| (*it, self.wanted(*it, now))).collect();
        for (index, source) in self.reader.clone().sources.iter().enumerate() {
            let rung = self.reader.bell.last_ring(&source.name, self.parts.keys().copied());
            let (mut cursors, mut missing, mut drained) = (Vec::new(), Vec::new(), true);
            for (partition, part) in &self.parts {
                let Some(fetched) = part.sources.get(index) else { continue };
                if fetched.buffer.len() >= 2 * FETCHED && fetched.claim.is_some_and(|it| it > part.progress) {
                    drained = false;
                    continue;
                }
                let instant = wanted.get(partition).copied().flatten();
                // What lies ready of ingestion waits until the others have taken it in, too.
                let seq = if index == 0 { 0 } else { part.sources.first().map_or(0, |it| it.last) };
                let complete_after = (instant.is_some() || seq > 0)
                    .then(|| wire::Progress { seq, instant_micros: instant.map_or(i64::MIN, micros) });
                let claimed =
                    |it: &wire::Progress| fetched.claim.is_some_and(|claim| claim.reaches((*it).into()));
                missing.push(complete_after.filter(|it| !claimed(it)));
                drained &= fetched.last == fetched.head && fetched.claim.is_some();
                cursors.push(wire::Cursor {
                    partition: (*partition).into(),
                    after_seq: fetched.last,
                    complete_after,
                });
            }
            let asks = Asked { rung, missing };
            let fresh = |at: Timestamp| {
                self.rings_always(source) || at.checked_add(LOOK).is_ok_and(|until| until > now)
            };
            let known = self.asked.get(&index).is_some_and(|(it, at)| *it == asks && fresh(*at));
            if cursors.is_empty() || (drained && known) {
                continue;
            }
            let epoch = self.parts.values().filter_map(|it| it.sources.get(index)).map(|it| it.epoch.clone());
            let epoch = epoch.max().unwrap_or_default();
            match read(source, &self.reader.name, epoch, cursors).await {
                Ok(answer) => {
                    self.receive(index, &source.name, answer?)?;
                    // Asked for once, completeness rings when it is there.
                    self.asked.insert(index, (asks, now));
                }
                Err(status) => {
                    let (feed, reason) = (source.name.to_string(), status.message().to_owned());
                    let gone = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
                    if index == 0 || !gone || self.reader.fold.patience().is_none() {
                        return Err(FeedError::Peer { feed, reason });
                    }
                    if !was_away {
                        warn!(consumer = %self.reader.name, %feed, %reason, "a source is away: what it derives may be stale");
                    }
                    self.away = true;
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, feed: &str, answer: Answer) -> Result<(), FeedError> {
        for records in answer.partitions {
            let partition = records.partition;
            let Some(fetched) = self.parts.get_mut(&partition).and_then(|it| it.sources.get_mut(index))
            else {
                continue;
            };
            if !fetched.epoch.is_empty() && fetched.epoch != answer.epoch {
                let known = fetched.epoch.clone();
                return Err(FeedError::Epoch { feed: feed.to_owned(), known, found: answer.epoch });
            }
            fetched.epoch.clone_from(&answer.epoch);
            if records.head_seq < fetched.last {
                let (head, seq) = (records.head_seq, fetched.last);
                return Err(FeedError::Behind { feed: feed.to_owned(), partition, head, seq });
            }
            if records.first_seq > fetched.last + 1 {
                let (first, next) = (records.first_seq, fetched.last + 1);
                return Err(FeedError::Trimmed { feed: feed.to_owned(), partition, first, next });
            }
            fetched.head = records.head_seq;
            for record in records.records {
                if record.min_reader > crate::READER_VERSION {
                    let needs = record.min_reader;
                    return Err(FeedError::TooNew {
                        feed: feed.to_owned(),
                        kind: record.kind.into_owned(),
                        needs,
                    });
                }
                fetched.last = record.seq;
                fetched.buffer.push_back(record);
            }
            let claim = records.progress;
            fetched.claim = Some(fetched.claim.map_or(claim, |it: Progress| it.max(claim)));
        }
        Ok(())
    }

    /// How far every source has come, in one partition.
    fn fresh(part: &Part) -> Progress {
        let claims = part.sources.iter().map(|it| it.claim.unwrap_or(part.progress));
        claims.min().unwrap_or(part.progress)
    }

    /// Notes since when the next step of a partition is kept waiting, for a fold that does not wait forever.
    pub(super) fn watch(&mut self) {
        if self.reader.fold.patience().is_none() {
            return;
        }
        let (now, due) = (self.reader.clock.now(), self.next_due);
        for part in self.parts.values_mut() {
            let fresh = Self::fresh(part);
            let told = part.sources.first().and_then(|it| it.buffer.iter().find(|it| it.origin > fresh));
            let due = due.filter(|due| *due <= now && *due > fresh.instant);
            let next = [told.map(|it| it.origin.instant), due].into_iter().flatten().min();
            part.kept_waiting = next.map(|next| {
                let since = part.kept_waiting.filter(|(known, _)| *known == next).map(|it| it.1);
                (next, since.unwrap_or(now))
            });
        }
    }

    /// When the fold's patience ends for a partition.
    fn patient_until(&self, part: &Part) -> Option<Timestamp> {
        let (_, since) = part.kept_waiting?;
        since.checked_add(self.reader.fold.patience()?).ok()
    }

    /// When the fold's patience ends next.
    pub(super) fn impatient_at(&self) -> Option<Timestamp> {
        let now = self.reader.clock.now();
        self.parts.values().filter_map(|it| self.patient_until(it)).filter(|it| *it > now).min()
    }

    /// Picks what is ready: records that every source has passed, and the instant through which timers may fire. If the
    /// fold's patience is at its end, ingestion alone says what is ready.
    pub(super) fn plan(&self) -> Option<(BTreeMap<u16, PartitionBatch>, Timestamp)> {
        let now = self.reader.clock.now();
        let held = self.reader.held().map(|it| from_micros(micros(it) - 1));
        let mut room = self.most;
        let mut batches = BTreeMap::new();
        let mut due_through = Timestamp::MIN;
        for (partition, part) in &self.parts {
            let impatient = self.patient_until(part).is_some_and(|it| it <= now);
            let claims = if impatient { part.sources.get(..1) } else { part.sources.get(..) };
            let claims = claims.unwrap_or_default().iter().map(|it| it.claim);
            let Some(mut ready) = claims.min().flatten() else { continue };
            if let Some(held) = held {
                ready.instant = ready.instant.min(held);
            }
            let fresh = impatient.then(|| Self::fresh(part));
            let mut batch = PartitionBatch { fresh, ..PartitionBatch::default() };
            // Before the batch, ingestion stands where our progress says.
            batch.positions.push((Timestamp::MIN, part.progress.seq));
            let mut cursors: Vec<_> = part.sources.iter().map(|it| it.buffer.iter().peekable()).collect();
            loop {
                let next = cursors
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(rank, it)| it.peek().map(|record| (record.origin, rank)))
                    .min();
                let Some((origin, rank)) = next else { break };
                if origin > ready || held.is_some_and(|held| origin.instant > held) {
                    ready = ready.min(Progress::before(origin, rank == 0));
                    break;
                }
                if room == 0 {
                    ready = ready.min(Progress::before(origin, rank == 0));
                    break;
                }
                room -= 1;
                let (Some(source), Some(record)) =
                    (self.reader.sources.get(rank), cursors.get_mut(rank).and_then(Iterator::next))
                else {
                    break;
                };
                if rank == 0 {
                    batch.positions.push((record.time, record.seq));
                }
                let rank = u8::try_from(rank).unwrap_or(u8::MAX);
                // Whether it matters is for the definitions to say, which are read later.
                let feed = source.name.clone();
                batch.records.push(Incoming { feed, rank, record: record.clone(), matters: true });
                if record.kind == Unmerge::KIND {
                    // Its profile is recomputed before anything else befalls it.
                    ready = ready.min(origin);
                    break;
                }
            }
            let ready = ready.max(part.progress);
            batch.progress = Some(ready);
            let demanded = self.reader.feed.demanded(*partition);
            let awaited = !part.progress.reaches(demanded) && ready > part.progress;
            due_through = due_through.max(ready.instant);
            let due = self.next_due.is_some_and(|due| due <= ready.instant && due <= now);
            if !batch.records.is_empty() || awaited || due {
                batches.insert(*partition, batch);
            }
        }
        (!batches.is_empty()).then_some((batches, due_through))
    }
}

/// What a source answers.
struct Answer {
    epoch: String,
    partitions: Vec<PartitionRecords>,
}

/// Reads on from a source: from the feed itself if it is here, else from the process that has it. An answer that cannot be
/// understood is an error within.
async fn read(
    source: &Source,
    consumer: &str,
    epoch: String,
    cursors: Vec<wire::Cursor>,
) -> Result<Result<Answer, FeedError>, Status> {
    if let Some(feed) = source.here.get() {
        let cursor = |it: &wire::Cursor| Cursor {
            partition: u16::try_from(it.partition).unwrap_or(u16::MAX),
            after_seq: it.after_seq,
            complete_after: it.complete_after.map(Into::into),
        };
        let cursors: Vec<Cursor> = cursors.iter().map(cursor).collect();
        let partitions = feed.read(&cursors, FETCHED).await.map_err(|error| status(&error))?;
        feed.answered(consumer, &cursors, &partitions);
        return Ok(Ok(Answer { epoch: feed.epoch().to_owned(), partitions }));
    }
    let request = wire::ReadRequest {
        feed: source.name.to_string(),
        epoch,
        cursors,
        max_records: u32::try_from(FETCHED).unwrap_or(u32::MAX),
        wait_ms: 0,
        consumer: consumer.to_owned(),
    };
    let wire::ReadResponse { epoch, partitions } = source.client.clone().read(request).await?.into_inner();
    let partitions = partitions.into_iter().map(PartitionRecords::try_from).collect::<Result<_, _>>();
    Ok(partitions.map(|partitions| Answer { epoch, partitions }))
}

/// Holds everything at or after `instant` back for a later batch.
pub(super) fn cut_at(batches: &mut BTreeMap<u16, PartitionBatch>, instant: Timestamp) {
    let last = from_micros(micros(instant) - 1);
    for batch in batches.values_mut() {
        let keep = batch.records.partition_point(|it| it.record.origin.instant < instant);
        if let Some(first) = batch.records.get(keep) {
            let before = Progress::before(first.record.origin, first.rank == 0);
            batch.progress = batch.progress.map(|it| it.min(before));
        }
        batch.records.truncate(keep);
        batch.progress = batch.progress.map(|it| Progress { seq: it.seq, instant: it.instant.min(last) });
    }
}
