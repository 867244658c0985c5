//! A service's own feed: appending in the transaction of the change, reading from any position.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use perennial_store::{Backend, DatabaseTransaction, Store, Value, column, execute, insert_rows, query};
use perennial_types::{Clock, Timestamp, micros};
use tokio::sync::Notify;

mod erase;
mod lag;
mod memory;
pub(crate) mod rows;

pub use erase::Places;
pub use lag::Lag;
use lag::Readers;
use memory::Memory;
use rows::Head;

use crate::{Bell, Erasure, FeedError, NewRecord, Progress, Record, Topic, Unmerge};

/// How many partitions a feed has: fixed when its tables are first made, alike in all services.
pub const PARTITIONS: u16 = 16;

/// Clocks of several machines differ. Somebody who asks for completeness through an instant that is so little ahead of this
/// clock has read it from a clock that is ahead.
const SKEW: Duration = Duration::from_secs(5);

/// Where a feed's completeness comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// Ingestion's: its own positions are the measure of all others.
    Source,
    /// Any other service's: it is as complete as what it has read.
    Derived,
}

/// A service's own feed. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    kind: FeedKind,
    epoch: String,
    store: Store,
    clock: Clock,
    bell: Bell,
    memory: Mutex<Memory>,
    readers: Mutex<Readers>,
    /// Told whenever less is left for a reader.
    caught_up: Notify,
}

/// One partition's question to [`Feed::read`].
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// The partition.
    pub partition: u16,
    /// The last record the reader has.
    pub after_seq: u64,
    /// It is news, too, when the feed is complete through here.
    pub complete_after: Option<Progress>,
}

/// One partition's answer.
#[derive(Clone, Debug)]
pub struct PartitionRecords {
    /// The partition.
    pub partition: u16,
    /// Records after the cursor, in order.
    pub records: Vec<Record>,
    /// The partition's last record.
    pub head_seq: u64,
    /// The first one still kept.
    pub first_seq: u64,
    /// What the records here reflect.
    pub progress: Progress,
}

/// What was appended in a transaction; give it to [`Feed::announce`] after the commit.
#[derive(Debug, Default)]
#[must_use = "announce it after the commit, or readers wait for nothing"]
pub struct Appended {
    heads: Vec<Head>,
    records: Vec<Record>,
}

impl Appended {
    /// The records with their places, in order within each partition.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl Feed {
    /// Opens the feed whose tables ([`crate::FEED_MIGRATIONS`]) are in `store`, making its partitions at the first time.
    ///
    /// # Errors
    /// If the database refuses, or holds another number of partitions than this version knows.
    pub async fn open(
        name: &str,
        kind: FeedKind,
        store: Store,
        clock: Clock,
        bell: Bell,
    ) -> Result<Self, FeedError> {
        let tx = store.write().await?;
        if store.backend() == Backend::Postgres {
            execute(&tx, "opening the feed", "SELECT pg_advisory_xact_lock(7036874417767)", vec![]).await?;
        }
        let rows = query(&tx, "the feed's epoch", "SELECT epoch, partitions FROM feed_epoch", vec![]).await?;
        let epoch = if let Some(row) = rows.first() {
            let partitions: i64 = column(row, 1)?;
            if partitions != i64::from(PARTITIONS) {
                let reason =
                    format!("it was made with {partitions} partitions, this version uses {PARTITIONS}");
                return Err(FeedError::Malformed { what: "the feed", reason });
            }
            column(row, 0)?
        } else {
            let epoch = perennial_types::new_id(clock.now()).hyphenated().to_string();
            let sql = "INSERT INTO feed_epoch (epoch, partitions) VALUES ($1, $2)";
            let values = vec![epoch.clone().into(), i64::from(PARTITIONS).into()];
            execute(&tx, "making the feed", sql, values).await?;
            let start = micros(Timestamp::MIN);
            let head = |it: u16| {
                let zero = || Value::from(0_i64);
                vec![i64::from(it).into(), zero(), 1_i64.into(), start.into(), zero(), start.into()]
            };
            insert_rows(&tx, &rows::HEADS, (0..PARTITIONS).map(head).collect(), "").await?;
            epoch
        };
        let heads = rows::load_heads(&tx, None).await?;
        Store::commit(tx).await?;
        let mut memory =
            Memory { tails: vec![VecDeque::new(); usize::from(PARTITIONS)], ..Memory::default() };
        if store.backend() == Backend::Sqlite {
            memory.heads = heads;
        }
        let memory = Mutex::new(memory);
        let (readers, caught_up) = (Mutex::default(), Notify::new());
        let name = name.into();
        Ok(Self(Arc::new(Inner { name, kind, epoch, store, clock, bell, memory, readers, caught_up })))
    }

    /// The feed's name: its service's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What changes when the feed is restored from a backup.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// The topic that rings when `partition` has news.
    #[must_use]
    pub fn topic(&self, partition: u16) -> Topic {
        Topic::Feed(self.0.name.clone(), partition)
    }

    /// The topic that rings when somebody waits for `partition` to become more complete.
    #[must_use]
    pub fn demand_topic(&self, partition: u16) -> Topic {
        Topic::Demand(self.0.name.clone(), partition)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Readers> {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends ingestion's records: locks their partitions' heads, numbers them, and stamps them with the time of
    /// receipt, which never decreases within a partition. Do this last in the transaction: heads are held, in their order,
    /// until it ends.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn append(
        &self,
        tx: &DatabaseTransaction,
        records: Vec<NewRecord>,
    ) -> Result<Appended, FeedError> {
        let mut partitions: BTreeMap<u16, Vec<NewRecord>> = BTreeMap::new();
        for record in records {
            partitions.entry(record.profile.partition(PARTITIONS)).or_default().push(record);
        }
        let wanted: Vec<u16> = partitions.keys().copied().collect();
        let mut heads = self.lock_heads(tx, &wanted).await?;
        let now = self.0.clock.now();
        let mut appended = Vec::new();
        for head in &mut heads {
            let time = head.time.max(now);
            head.time = time;
            for record in partitions.remove(&head.partition).unwrap_or_default() {
                head.seq += 1;
                let origin = Progress { seq: head.seq, instant: time };
                appended.push(stamp(record, head.seq, time, origin));
            }
            head.progress = Progress { seq: head.seq, instant: time };
        }
        self.write(tx, heads, appended).await
    }

    /// Appends derived records, each with what it reflects, and moves the partitions' progress. `heads` are as they were
    /// read when the lane was taken hold of; `records` must be in the order of their origins within a partition.
    ///
    /// # Errors
    /// If the database refuses.
    pub(crate) async fn append_derived(
        &self,
        tx: &DatabaseTransaction,
        heads: &BTreeMap<u16, Head>,
        records: Vec<(Progress, NewRecord)>,
        progress: &BTreeMap<u16, Progress>,
    ) -> Result<Appended, FeedError> {
        let mut changed: BTreeMap<u16, Head> = BTreeMap::new();
        let mut appended = Vec::with_capacity(records.len());
        for (origin, record) in records {
            let partition = record.profile.partition(PARTITIONS);
            let Some(head) = heads.get(&partition) else { continue };
            let head = changed.entry(partition).or_insert(*head);
            head.seq += 1;
            head.time = head.time.max(origin.instant);
            appended.push(stamp(record, head.seq, origin.instant, origin));
        }
        for (partition, reached) in progress {
            let Some(head) = heads.get(partition) else { continue };
            if *reached > head.progress {
                changed.entry(*partition).or_insert(*head).progress = *reached;
            }
        }
        self.write(tx, changed.into_values().collect(), appended).await
    }

    async fn lock_heads(&self, tx: &DatabaseTransaction, partitions: &[u16]) -> Result<Vec<Head>, FeedError> {
        Ok(rows::load_heads(tx, Some(partitions)).await?)
    }

    async fn write(
        &self,
        tx: &DatabaseTransaction,
        heads: Vec<Head>,
        records: Vec<Record>,
    ) -> Result<Appended, FeedError> {
        rows::save_records(tx, &records).await?;
        rows::save_heads(tx, &heads).await?;
        Ok(Appended { heads, records })
    }

    /// Tells readers, after the commit, what was appended.
    pub fn announce(&self, appended: Appended) {
        let rung: Vec<u16> = appended.heads.iter().map(|it| it.partition).collect();
        self.memory().remember(appended);
        for partition in rung {
            self.0.bell.ring(&self.topic(partition));
        }
    }

    /// Tells readers that partitions are complete further than is written down: only on SQLite, where everybody who
    /// reads this loses it together with this process.
    pub(crate) fn progressed(&self, progress: &BTreeMap<u16, Progress>) {
        let mut rung = Vec::new();
        {
            let mut memory = self.memory();
            for head in &mut memory.heads {
                if let Some(reached) = progress.get(&head.partition).filter(|it| **it > head.progress) {
                    head.progress = *reached;
                    rung.push(head.partition);
                }
            }
        }
        for partition in rung {
            self.0.bell.ring(&self.topic(partition));
        }
    }

    /// Reads what is after the cursors, at most `max` records of each. Does not wait. Where a cursor waits for more
    /// completeness than there is, the feed moves on to the present instant (ingestion) or asks its service's reader to.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn read(&self, cursors: &[Cursor], max: usize) -> Result<Vec<PartitionRecords>, FeedError> {
        let known: Vec<u64> = {
            let memory = self.memory();
            cursors.iter().map(|it| memory.last(it.partition)).collect()
        };
        let mut heads = self.heads(cursors).await?;
        for (head, known) in heads.iter().zip(known) {
            if head.seq < known {
                self.memory().lost(head.partition);
            }
        }
        let wanting: Vec<(u16, Progress)> = cursors
            .iter()
            .zip(&heads)
            .filter_map(|(cursor, head)| {
                Some((cursor.partition, cursor.complete_after?)).filter(|it| !head.progress.reaches(it.1))
            })
            .collect();
        if !wanting.is_empty() {
            match self.0.kind {
                FeedKind::Source => {
                    // Completeness through an instant that is still to come cannot be had yet; unless somebody's clock is
                    // a little ahead: then what comes now counts as received no earlier than by that clock.
                    let now = self.0.clock.now();
                    let skew = if self.0.clock.simulation().is_some() { Duration::ZERO } else { SKEW };
                    let latest = now.checked_add(skew).unwrap_or(now);
                    let wants_time = |it: &&(u16, Progress)| {
                        it.1.instant <= latest
                            && heads.iter().any(|head| head.partition == it.0 && head.time < it.1.instant)
                    };
                    let wanted: Vec<(u16, Timestamp)> =
                        wanting.iter().filter(wants_time).map(|it| (it.0, it.1.instant)).collect();
                    if let Some(through) = wanted.iter().map(|it| it.1).max() {
                        let partitions: Vec<u16> = wanted.into_iter().map(|it| it.0).collect();
                        self.complete_through(&partitions, now.max(through)).await?;
                        heads = self.heads(cursors).await?;
                    }
                }
                FeedKind::Derived => self.demand(&wanting),
            }
        }
        let mut found = BTreeMap::new();
        let mut forgotten = Vec::new();
        for (place, (cursor, head)) in cursors.iter().zip(&heads).enumerate() {
            if cursor.after_seq >= head.seq {
                continue;
            }
            match self.remembered(cursor, head.seq, max) {
                Some(records) => _ = found.insert(place, records),
                None => forgotten.push((place, cursor)),
            }
        }
        found.extend(rows::load_records(self.0.store.read(), &forgotten, max).await?);
        let answer =
            |(place, (cursor, head))| self.answer(head, cursor, found.remove(&place).unwrap_or_default());
        Ok(cursors.iter().zip(heads).enumerate().map(answer).collect())
    }

    fn answer(&self, head: Head, cursor: &Cursor, records: Vec<Record>) -> PartitionRecords {
        let last = records.last().map_or(cursor.after_seq, |it| it.seq);
        let progress = match records.last() {
            // More is to come, perhaps of the same origin.
            Some(record) if last < head.seq => match self.0.kind {
                FeedKind::Source => record.origin,
                FeedKind::Derived => Progress::before(record.origin, false).min(head.progress),
            },
            _ => head.progress,
        };
        PartitionRecords {
            partition: head.partition,
            // On PostgreSQL a later commit may have been seen by the second query: the head is at least that. A cursor
            // beyond the head is told so: its reader has to stop.
            head_seq: if records.is_empty() { head.seq } else { head.seq.max(last) },
            first_seq: head.first_seq,
            progress,
            records,
        }
    }

    async fn heads(&self, cursors: &[Cursor]) -> Result<Vec<Head>, FeedError> {
        let heads = match self.0.store.backend() {
            Backend::Sqlite => self.memory().heads.clone(),
            // All of them: sixteen rows cost less than a plan that finds some.
            Backend::Postgres => rows::load_heads(self.0.store.read(), None).await?,
        };
        cursors
            .iter()
            .map(|cursor| {
                heads.iter().find(|it| it.partition == cursor.partition).copied().ok_or_else(|| {
                    FeedError::Malformed {
                        what: "a cursor",
                        reason: format!(
                            "there is no partition {}: they are 0 to {}",
                            cursor.partition,
                            PARTITIONS - 1
                        ),
                    }
                })
            })
            .collect()
    }

    /// Makes sure that nothing received before `now` can still appear: later commits are stamped `now` or later, and
    /// those already under way hold the heads that are taken here.
    async fn complete_through(&self, partitions: &[u16], now: Timestamp) -> Result<(), FeedError> {
        let tx = self.0.store.write().await?;
        let mut heads = self.lock_heads(&tx, partitions).await?;
        for head in &mut heads {
            head.time = head.time.max(now);
            head.progress = Progress { seq: head.seq, instant: head.time };
        }
        rows::save_heads(&tx, &heads).await?;
        Store::commit(tx).await?;
        self.memory().remember(Appended { heads, records: Vec::new() });
        Ok(())
    }

    fn demand(&self, wanting: &[(u16, Progress)]) {
        let mut rung = Vec::new();
        {
            let mut memory = self.memory();
            for (partition, wanted) in wanting {
                let demand = memory.demands.entry(*partition).or_insert(Progress::START);
                if !demand.reaches(*wanted) {
                    *demand = demand.union(*wanted);
                    rung.push(*partition);
                }
            }
        }
        for partition in rung {
            self.0.bell.ring(&self.demand_topic(partition));
        }
    }

    /// How complete somebody waits for `partition` to become.
    #[must_use]
    pub fn demanded(&self, partition: u16) -> Progress {
        self.memory().demands.get(&partition).copied().unwrap_or(Progress::START)
    }

    /// How complete the service's own reader says `partition` is.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn progress(&self, partition: u16) -> Result<Progress, FeedError> {
        let cursor = Cursor { partition, after_seq: 0, complete_after: None };
        Ok(self.heads(&[cursor]).await?.first().map_or(Progress::START, |it| it.progress))
    }

    /// The heads of some partitions, in the caller's transaction.
    pub(crate) async fn heads_in(
        &self,
        tx: &DatabaseTransaction,
        partitions: &[u16],
    ) -> Result<BTreeMap<u16, Head>, FeedError> {
        let heads = rows::load_heads(tx, None).await?;
        Ok(heads
            .into_iter()
            .filter(|it| partitions.contains(&it.partition))
            .map(|it| (it.partition, it))
            .collect())
    }

    fn remembered(&self, cursor: &Cursor, head: u64, max: usize) -> Option<Vec<Record>> {
        let memory = self.memory();
        let tail = memory.tails.get(usize::from(cursor.partition))?;
        let first = tail.front()?.seq;
        if cursor.after_seq + 1 < first {
            return None;
        }
        let skip = usize::try_from(cursor.after_seq + 1 - first).ok()?;
        // A commit that is announced between the reading of the heads and here must not be seen yet.
        let found: Vec<Record> =
            tail.iter().skip(skip).take_while(|it| it.seq <= head).take(max).cloned().collect();
        // What another process appended since is in the tables.
        (!found.is_empty()).then_some(found)
    }
}

fn stamp(record: NewRecord, seq: u64, time: Timestamp, origin: Progress) -> Record {
    Record {
        seq,
        workspace: record.workspace,
        profile: record.profile,
        kind: record.kind.into(),
        min_reader: match record.kind {
            Unmerge::KIND => Unmerge::MIN_READER,
            Erasure::KIND => Erasure::MIN_READER,
            _ => 1,
        },
        time,
        origin,
        historical: record.historical || record.correction,
        correction: record.correction,
        payload: record.payload,
    }
}
