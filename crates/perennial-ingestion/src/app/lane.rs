//! One committer a lane: it drains its queue, and commits what it finds in one transaction. Senders are answered when
//! all of theirs is committed.

use perennial_cache::Cache;
use perennial_feed::{Feed, Merge};
use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{Clock, Identifier, ProfileId, Timestamp, Workspace, micros};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use tokio_util::sync::CancellationToken;

use super::App;
use super::book::Book;
use super::hints::Hints;
use super::pass::{Effects, Pass, Taken, merge_record, profile_record};
use super::profiles::profile_key;
use super::queue::{Job, Queue, Queues};
use crate::domain::event::Event;
use crate::domain::normalise::former;
use crate::error::{Error, Result};
use crate::store::{counters, erasures, events, merges, profiles, seen};

/// How often a batch is tried before its senders are told to send again.
const TRIES: usize = 4;
/// How often a job may be handed from lane to lane.
const HOPS: usize = 32;

/// How far an attempt came with a job.
struct Reached {
    outcomes: Vec<(usize, Taken)>,
    elsewhere: Option<u16>,
}

/// What others in this process hear of a workspace's profiles after the commit.
struct News {
    /// Cached profiles that are true no more.
    keys: Vec<String>,
    /// Identifiers, and whose they are now.
    gained: Vec<(Identifier, ProfileId)>,
}

/// A lane's committer.
pub struct Lane {
    queues: Queues,
    number: usize,
    store: Store,
    feed: Feed,
    book: Book,
    cache: Cache,
    clock: Clock,
    takings: Takings,
    hints: Hints,
}

/// Numbers events in the order in which they are taken in: microseconds, and never the same twice.
#[derive(Clone, Default)]
pub struct Takings(Arc<AtomicI64>);

impl Takings {
    /// Not by when the event was received: one that was refused is sent in again long after that.
    fn next(&self, now: Timestamp) -> i64 {
        let after = |last: i64| micros(now).max(last.saturating_add(1));
        let last = self.0.fetch_update(Relaxed, Relaxed, |last| Some(after(last)));
        after(last.unwrap_or_default())
    }
}

/// Why an attempt did not commit.
enum Failed {
    /// Another writer was quicker: read again and repeat.
    Overtaken,
    /// The database or the feed refused.
    Refused(Error),
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Lane {
    /// The committer of lane `number`.
    pub fn new(app: App, number: usize) -> Self {
        let App { queues, store, feed, book, cache, clock, takings, hints, .. } = app;
        Self { queues, number, store, feed, book, cache, clock, takings, hints }
    }

    /// Commits what comes until told to stop.
    ///
    /// # Errors
    /// Never; what fails is told to the senders.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let queues = self.queues.clone();
        let Some(queue) = queues.lane(self.number) else { return Ok(()) };
        let listener =
            queues.bell().listener(format!("ingestion lane {}", self.number), [queue.topic.clone()]);
        // A merge that a crash left half told is told before anything else.
        if let Err(Failed::Refused(error)) = self.attempt(queue, &[], false).await {
            tracing::warn!(error = %perennial_rpc::Chain(&error), "pending merges were not told at the start");
        }
        while !stop.is_cancelled() {
            let jobs = queue.take();
            if jobs.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = listener.idle(None) => {}
                }
                continue;
            }
            self.settle(queue, jobs).await;
        }
        queue.clear();
        Ok(())
    }

    /// Commits jobs together, or if that fails for a reason that will not pass, each alone, so that no job suffers from
    /// another.
    async fn settle(&self, queue: &Queue, jobs: Vec<Job>) {
        match self.persist(queue, &jobs).await {
            Ok(reached) => self.hand_on(jobs, reached),
            Err(error) if jobs.len() > 1 && !is_transient(&error) => {
                for job in jobs {
                    match self.persist(queue, std::slice::from_ref(&job)).await {
                        Ok(reached) => self.hand_on(vec![job], reached),
                        Err(error) => report(&error),
                    }
                }
            }
            Err(error) => report(&error),
        }
    }

    async fn persist(&self, queue: &Queue, jobs: &[Job]) -> Result<Vec<Reached>> {
        let mut last = Error::NotCommitted;
        // Where events are dealt out to lanes, nobody was known by what no hint tells of: that was looked up then.
        let mut looked_up = self.queues.lanes() > 1;
        for _ in 0..TRIES {
            let attempt = self.attempt(queue, jobs, looked_up).await;
            looked_up = false;
            match attempt {
                Ok(reached) => return Ok(reached),
                Err(Failed::Overtaken) => {}
                Err(Failed::Refused(error)) if is_transient(&error) => last = error,
                Err(Failed::Refused(error)) => return Err(error),
            }
        }
        Err(last)
    }

    fn hand_on(&self, jobs: Vec<Job>, reached: Vec<Reached>) {
        for (mut job, reached) in jobs.into_iter().zip(reached) {
            job.done += reached.outcomes.len();
            job.outcomes.extend(reached.outcomes);
            match reached.elsewhere {
                None => drop(job.reply.send(job.outcomes)),
                // Dropping it tells its sender to send again.
                Some(_) if job.hops >= HOPS => tracing::warn!("a job was handed on too often"),
                Some(partition) => {
                    job.hops += 1;
                    self.queues.push(partition, job);
                }
            }
        }
    }

    async fn attempt(
        &self,
        queue: &Queue,
        jobs: &[Job],
        looked_up: bool,
    ) -> std::result::Result<Vec<Reached>, Failed> {
        let tx = self.store.write().await?;
        let mut records = Vec::new();
        let mut written = Vec::new();
        let mut news: Vec<(&Workspace, News)> = Vec::new();
        let turn = seen::turn(&tx).await?;
        let mut told = merges::pending(&tx, &queue.partitions).await?;
        let mut reached: Vec<Reached> =
            jobs.iter().map(|_| Reached { outcomes: Vec::new(), elsewhere: None }).collect();
        for merged in &mut told {
            merged.told = Some(records.len());
            let merge = Merge { id: merged.id, from: merged.from, into: merged.into };
            records.push(merge_record(&merged.workspace, Merge::INTO, merge, merged.historical));
        }
        self.tell_survivors(&tx, &told, &mut records).await?;
        let mut workspaces: BTreeMap<&Workspace, Vec<usize>> = BTreeMap::new();
        for (n, job) in jobs.iter().enumerate() {
            workspaces.entry(&job.settings.workspace).or_default().push(n);
        }
        let mut counts = BTreeMap::new();
        for (workspace, members) in workspaces {
            let settings = jobs[members[0]].settings.clone();
            let todo: Vec<&Event> = members
                .iter()
                .flat_map(|n| jobs[*n].events[jobs[*n].done..].iter().map(|(_, event)| event))
                .collect();
            let (loaded, erased) = load(&tx, workspace, &todo, (&self.hints, looked_up)).await?;
            let mut hashes = todo.iter().map(|it| it.hash()).collect::<BTreeSet<_>>();
            let known = seen::claim(&tx, turn, &hashes).await?;
            hashes.retain(|it| !known.contains(it));
            let mut pass = Pass::new(&queue.partitions, settings, loaded, known).without(erased);
            pass.reserve(todo.len());
            let mut place = 0;
            for n in members {
                for (at, event) in &jobs[n].events[jobs[n].done..] {
                    if reached[n].elsewhere.is_none() {
                        match pass.take(place, event) {
                            Taken::Elsewhere(partition) => reached[n].elsewhere = Some(partition),
                            taken => reached[n].outcomes.push((*at, taken)),
                        }
                    }
                    place += 1;
                }
            }
            let (mut effects, changed) = pass.finish();
            let gained = effects.added.iter().map(|(identifier, profile)| (identifier, profile));
            let gained = gained.chain(&effects.moved).map(|(it, profile)| (it.clone(), *profile)).collect();
            for hash in &effects.hashes {
                hashes.remove(hash);
            }
            // Of what another lane goes on with, or nobody: it may come again.
            seen::release(&tx, turn, hashes.into_iter().collect()).await?;
            self.write(&tx, workspace, &mut effects, &changed).await?;
            let keys = changed.iter().map(|it| profile_key(it.id)).collect();
            news.push((workspace, News { keys, gained }));
            for (count, by) in &effects.counts {
                *counts.entry((workspace.clone(), *count)).or_default() += by;
            }
            let offset = records.len();
            records.append(&mut effects.records);
            told.extend(effects.merges.into_iter().map(|mut it| {
                it.told = it.told.map(|place| offset + place);
                it
            }));
            for (place, profile, first, many) in effects.logged {
                written.push((workspace, todo[place], profile, offset + first, many));
            }
        }
        let places = Places::of(&records);
        let appended = if records.is_empty() { None } else { Some(self.feed.append(&tx, records).await?) };
        let seqs = appended.as_ref().map(|it| places.seqs(it.records())).unwrap_or_default();
        let now = self.clock.now();
        let rows = written.into_iter().map(|(workspace, event, profile, first, many)| {
            let seq = seqs.get(first).copied().unwrap_or_default();
            events::row(workspace, event, self.takings.next(now), profile, seq, many)
        });
        events::insert(&tx, rows.collect()).await?;
        merges::write(&tx, &told, &seqs).await?;
        // Another replica counts in the same rows: they are held no longer than the commit takes.
        counters::add(&tx, i64::try_from(self.number).unwrap_or_default(), &counts).await?;
        Store::commit(tx).await?;
        // Before the senders are answered: who sent a change reads it.
        for (workspace, News { keys, gained }) in news {
            self.cache.forget(workspace, &keys).await;
            self.hints.keep(workspace, gained.iter().map(|(identifier, profile)| (identifier, profile)));
        }
        if let Some(appended) = appended {
            self.feed.announce(appended);
        }
        Ok(reached)
    }

    async fn write(
        &self,
        tx: &DatabaseTransaction,
        workspace: &Workspace,
        effects: &mut Effects,
        changed: &[profiles::Profile],
    ) -> std::result::Result<(), Failed> {
        let added = std::mem::take(&mut effects.added);
        let new = u64::try_from(added.len()).unwrap_or(u64::MAX);
        if profiles::add_identifiers(tx, workspace, added).await? != new {
            return Err(Failed::Overtaken);
        }
        let moved = std::mem::take(&mut effects.moved).into_iter().collect();
        profiles::move_identifiers(tx, workspace, moved).await?;
        profiles::save(tx, workspace, changed).await?;
        Ok(())
    }

    /// After a merge from another partition, others hear what is now known of the survivor.
    async fn tell_survivors(
        &self,
        tx: &DatabaseTransaction,
        told: &[merges::Merged],
        records: &mut Vec<perennial_feed::NewRecord>,
    ) -> std::result::Result<(), Failed> {
        let mut survivors: BTreeMap<&Workspace, BTreeSet<ProfileId>> = BTreeMap::new();
        for merged in told {
            survivors.entry(&merged.workspace).or_default().insert(merged.into);
        }
        for (workspace, ids) in survivors {
            let settings = self.book.settings_within(tx, workspace).await?;
            for profile in profiles::load(tx, workspace, ids.into_iter().collect(), false).await? {
                let reach = profile.person.reach(&profile.identifiers, &settings);
                let historical = told.iter().filter(|it| it.into == profile.id).all(|it| it.historical);
                records.push(profile_record(workspace, profile.id, &profile.draw_key, &reach, historical));
            }
        }
        Ok(())
    }
}

/// Everything that the identifiers of events lead to, locked; and those profiles that events name and that were erased.
async fn load(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    todo: &[&Event],
    (hints, looked_up): (&Hints, bool),
) -> std::result::Result<(Vec<profiles::Profile>, HashSet<ProfileId>), Failed> {
    let former: Vec<_> =
        todo.iter().filter_map(|it| it.previous.as_deref()).flat_map(former).flatten().collect();
    let identifiers = todo.iter().flat_map(|it| &it.identifiers).chain(&former);
    let (hinted, mut unknown) = hints.find(workspace, identifiers);
    if looked_up {
        // If somebody was quicker since, adding them fails, and the next attempt looks them up.
        unknown.retain(|it| former.contains(it));
    }
    let mut owners = profiles::owners(tx, workspace, unknown).await?;
    let mut wanted: BTreeSet<ProfileId> = owners.values().chain(hinted.values()).copied().collect();
    wanted.extend(todo.iter().filter_map(|it| it.profile));
    let mut loaded = profiles::load(tx, workspace, wanted.iter().copied().collect(), true).await?;
    let by_id: HashMap<ProfileId, &profiles::Profile> = loaded.iter().map(|it| (it.id, it)).collect();
    let is_right = |(identifier, profile): &(&&Identifier, &ProfileId)| {
        let theirs =
            |it: &&profiles::Profile| it.merged_into.is_none() && it.identifiers.contains(**identifier);
        by_id.get(profile).is_some_and(theirs)
    };
    let wrong: Vec<&Identifier> = hinted.iter().filter(|it| !is_right(it)).map(|(it, _)| *it).collect();
    if !wrong.is_empty() {
        let right = profiles::owners(tx, workspace, wrong).await?;
        let more: BTreeSet<ProfileId> =
            right.values().filter(|it| !by_id.contains_key(it)).copied().collect();
        loaded.extend(profiles::load(tx, workspace, more.into_iter().collect(), true).await?);
        owners.extend(right);
    }
    hints.keep(workspace, &owners);
    // A profile may have been merged away between the two queries, or be named by an id of before its merge.
    loop {
        let found: HashSet<ProfileId> = loaded.iter().map(|it| it.id).collect();
        let missing: BTreeSet<ProfileId> =
            loaded.iter().filter_map(|it| it.merged_into).filter(|it| !found.contains(it)).collect();
        if missing.is_empty() {
            break;
        }
        let more = profiles::load(tx, workspace, missing.into_iter().collect(), true).await?;
        if more.is_empty() {
            // What they became was erased just now, and they are about to be.
            break;
        }
        loaded.extend(more);
    }
    let found: HashMap<ProfileId, Option<ProfileId>> =
        loaded.iter().map(|it| (it.id, it.merged_into)).collect();
    let mut lost: BTreeMap<ProfileId, ProfileId> = BTreeMap::new();
    for named in todo.iter().filter_map(|it| it.profile) {
        let mut end = named;
        while let Some(Some(into)) = found.get(&end) {
            end = *into;
        }
        if !found.contains_key(&end) {
            lost.insert(named, end);
        }
    }
    if lost.is_empty() {
        return Ok((loaded, HashSet::new()));
    }
    let erased = erasures::of_profiles(tx, workspace, lost.values().copied()).await?;
    let erased = lost.into_iter().filter(|(_, end)| erased.contains_key(end)).map(|(named, _)| named);
    Ok((loaded, erased.collect()))
}

/// Whether trying again may help.
pub(super) fn is_transient(error: &Error) -> bool {
    match error {
        Error::Store(error) => error.is_transient(),
        Error::Feed(error) => error.is_transient(),
        Error::NotCommitted => true,
        _ => false,
    }
}

fn report(error: &Error) {
    tracing::warn!(error = %perennial_rpc::Chain(error), "events were not committed; their senders are told to repeat");
}

/// Where records will stand, before they are numbered: the rank of each within its partition.
struct Places(Vec<(u16, usize)>);

impl Places {
    fn of(records: &[perennial_feed::NewRecord]) -> Self {
        let mut ranks: HashMap<u16, usize> = HashMap::new();
        let place = |it: &perennial_feed::NewRecord| {
            let partition = super::pass::partition(it.profile);
            let rank = ranks.entry(partition).or_default();
            *rank += 1;
            (partition, *rank - 1)
        };
        Self(records.iter().map(place).collect())
    }

    fn seqs(&self, appended: &[perennial_feed::Record]) -> Vec<u64> {
        let mut first: HashMap<u16, u64> = HashMap::new();
        for record in appended {
            first.entry(super::pass::partition(record.profile)).or_insert(record.seq);
        }
        let seq = |(partition, rank): &(u16, usize)| {
            first.get(partition).map_or(0, |it| it + u64::try_from(*rank).unwrap_or_default())
        };
        self.0.iter().map(seq).collect()
    }
}
