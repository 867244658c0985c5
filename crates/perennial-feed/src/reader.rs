//! A service's reader: a fold and the workers that drive it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use perennial_api::feed::v1 as wire;
use perennial_api::feed::v1::feed_service_client::FeedServiceClient;
use perennial_api::profile::v1::ReadFactsRequest;
use perennial_api::profile::v1::privacy_service_client::PrivacyServiceClient;
use perennial_api::profile::v1::profile_service_client::ProfileServiceClient;
use perennial_rpc::Transport;
use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{Clock, ProfileId, Timestamp, Workspace, from_micros, micros};
use prost::Message as _;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::keep::{self, Key};
use crate::lane::Lane;
use crate::parked::{self, ParkedProfile};
use crate::{Bell, Feed, FeedError, Fold, PARTITIONS, Record, Topic};

/// A feed to read from. The first of a reader's sources is ingestion's.
#[derive(Clone)]
pub struct Source {
    /// The feed's name.
    pub name: Arc<str>,
    /// Speaks to the process that owns it.
    pub client: FeedServiceClient<Transport>,
    /// Whether that is this process, whose bell rings at its news.
    pub local: bool,
    /// Where the feed itself is found, once it is there, if it is in this process: then records are handed over as they are.
    pub(crate) here: Here,
}

/// A place for a feed of this process, shared by all who read it.
pub type Here = Arc<OnceLock<Feed>>;

impl Source {
    /// A feed owned by the process behind `transport`.
    #[must_use]
    pub fn new(name: &str, transport: Transport, local: bool) -> Self {
        let client = FeedServiceClient::new(transport).max_decoding_message_size(64 << 20);
        Self { name: name.into(), client, local, here: Here::default() }
    }

    /// The same, which reads the feed itself as soon as it is in its place, and nothing is encoded in between.
    #[must_use]
    pub fn at(mut self, here: Here) -> Self {
        self.here = here;
        self
    }
}

/// What a [`Reader`] is made of.
pub struct ReaderParts<F: Fold> {
    /// The fold.
    pub fold: F,
    /// The service's own feed, to which the fold appends.
    pub feed: Feed,
    /// The service's database, with [`crate::FOLD_MIGRATIONS`] and [`crate::OUTBOX_MIGRATIONS`].
    pub store: Store,
    /// Where the records come from: ingestion first, then those that derive from it, each after what it derives from.
    pub sources: Vec<Source>,
    /// Where facts are read again for recomputing; none if the fold never recomputes.
    pub facts: Option<Transport>,
    /// Where receipts for erasures go: reaches `perennial.profile.v1.PrivacyService`. None sends none.
    pub receipts: Option<Transport>,
    /// The clock.
    pub clock: Clock,
    /// The bell.
    pub bell: Bell,
}

/// A service's reader. Its [`tasks`](Reader::tasks) do the work; its methods ask for more.
pub struct Reader<F: Fold> {
    pub(crate) name: Arc<str>,
    pub(crate) fold: Arc<F>,
    pub(crate) feed: Feed,
    pub(crate) store: Store,
    pub(crate) sources: Vec<Source>,
    facts: Option<ProfileServiceClient<Transport>>,
    pub(crate) receipts: Option<PrivacyServiceClient<Transport>>,
    pub(crate) clock: Clock,
    pub(crate) bell: Bell,
    /// Changes whenever a lane of this process has come further.
    pub(crate) moved: watch::Sender<u64>,
    held: AtomicI64,
    rests: AtomicBool,
    desk: Mutex<Desk>,
    /// Records that concern nobody here, passed over by lanes of this process whose checkpoints follow a little later.
    passed: Mutex<BTreeMap<(Arc<str>, u16), u64>>,
}

#[derive(Default)]
struct Desk {
    requests: BTreeMap<i64, VecDeque<Request>>,
    /// Errands that were begun here, by lane.
    errands: BTreeMap<i64, BTreeSet<String>>,
    done: Vec<(String, oneshot::Sender<()>)>,
}

pub(crate) enum Request {
    Retry(Key, oneshot::Sender<Result<(u32, String), FeedError>>),
    Refold(Vec<Key>, oneshot::Sender<Result<(), FeedError>>),
}

/// A worker's name and its work, which ends when the token is cancelled.
pub type Task = (String, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);

impl<F: Fold> Reader<F> {
    /// A reader; nothing runs until its tasks do.
    #[must_use]
    pub fn new(parts: ReaderParts<F>) -> Arc<Self> {
        let ReaderParts { fold, feed, store, sources, facts, receipts, clock, bell } = parts;
        Arc::new(Self {
            name: feed.name().into(),
            fold: Arc::new(fold),
            feed,
            store,
            sources,
            facts: facts.map(|it| ProfileServiceClient::new(it).max_decoding_message_size(64 << 20)),
            receipts: receipts.map(PrivacyServiceClient::new),
            clock,
            bell,
            rests: AtomicBool::new(false),
            moved: watch::Sender::new(0),
            held: AtomicI64::new(i64::MAX),
            desk: Mutex::default(),
            passed: Mutex::default(),
        })
    }

    /// The fold itself.
    #[must_use]
    pub fn fold(&self) -> &F {
        &self.fold
    }

    /// Leaves timers unfired, as long as no record of their profile comes after them: for a process that takes in what
    /// others wrote, but does nothing of its own accord. Call it before the tasks run.
    pub fn rest(&self) {
        self.rests.store(true, Ordering::SeqCst);
    }

    /// When the next timer fires, if timers fire here at all.
    pub(crate) fn unless_resting(&self, due: Option<Timestamp>) -> Option<Timestamp> {
        due.filter(|_| !self.rests.load(Ordering::SeqCst))
    }

    /// The work: one task a lane, and one that sends receipts for erasures. Several processes may run them on one PostgreSQL; the checkpoint lets only one of them
    /// commit each batch.
    pub fn tasks(self: &Arc<Self>, stop: &CancellationToken) -> Vec<Task> {
        let lanes = self.store.lanes(PARTITIONS);
        let mut tasks: Vec<Task> = (0_i64..)
            .zip(lanes)
            .map(|(number, partitions)| {
                let feeds = self.sources.iter().flat_map(|source| {
                    partitions.iter().map(|partition| Topic::Feed(source.name.clone(), *partition))
                });
                let demands = partitions.iter().map(|it| self.feed.demand_topic(*it));
                let topics: Vec<Topic> = feeds.chain(demands).chain([self.desk_topic(number)]).collect();
                let name = format!("{} lane {number}", self.name);
                let listener = self.bell.listener(name.clone(), topics).beside_others(&self.store);
                let lane = Lane::new(self.clone(), number, &partitions, listener);
                let task: Task = (name, Box::pin(lane.run(stop.clone())));
                task
            })
            .collect();
        tasks.push(crate::erasure::receipts(self, stop));
        tasks
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk_topic(&self, lane: i64) -> Topic {
        Topic::other(&format!("{} desk {lane}", self.name))
    }

    /// The topic that rings when a command for `target` is in the outbox.
    #[must_use]
    pub fn outbox_topic(&self, target: &str) -> Topic {
        outbox_topic(&self.name, target)
    }

    /// Holds the world before `instant`: nothing at or after it is applied or fired, until the hold is moved or lifted.
    /// A simulation uses it so that what happens at a fixed instant (a new model) comes before everything else then.
    pub fn hold(&self, instant: Option<Timestamp>) {
        self.held.store(instant.map_or(i64::MAX, micros), Ordering::SeqCst);
        self.ring_lanes();
    }

    pub(crate) fn held(&self) -> Option<Timestamp> {
        Some(self.held.load(Ordering::SeqCst)).filter(|it| *it != i64::MAX).map(from_micros)
    }

    fn ring_lanes(&self) {
        for lane in (0_i64..).take(self.store.lanes(PARTITIONS).len()) {
            self.bell.ring(&self.desk_topic(lane));
        }
    }

    /// Begins an errand in the caller's transaction: [`Fold::visit`] will see every profile of the workspace once, as of
    /// `at`. Starting it again begins anew. Call [`Reader::errand_started`] after the commit.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn start_errand(
        &self,
        tx: &DatabaseTransaction,
        workspace: &Workspace,
        name: &str,
        at: Timestamp,
    ) -> Result<(), FeedError> {
        Ok(keep::start_errand(tx, workspace, name, at).await?)
    }

    /// Wakes the lanes for an errand that was committed. The receiver hears when all lanes of this process are through.
    pub fn errand_started(&self, name: &str) -> Vec<oneshot::Receiver<()>> {
        let mut heard = Vec::new();
        {
            let mut desk = self.desk();
            for (lane, partitions) in (0_i64..).zip(self.store.lanes(PARTITIONS)) {
                desk.errands.entry(lane).or_default().insert(name.to_owned());
                for _ in keep::shelves(self.store.backend(), partitions) {
                    let (done, hear) = oneshot::channel();
                    desk.done.push((name.to_owned(), done));
                    heard.push(hear);
                }
            }
        }
        self.ring_lanes();
        heard
    }

    pub(crate) fn errands_rung(&self, lane: i64) -> BTreeSet<String> {
        self.desk().errands.remove(&lane).unwrap_or_default()
    }

    pub(crate) fn errand_done(&self, name: &str) {
        let mut desk = self.desk();
        if let Some(index) = desk.done.iter().position(|it| it.0 == name) {
            let (_, done) = desk.done.remove(index);
            let _ = done.send(());
        }
    }

    fn lane_of(&self, profile: ProfileId) -> i64 {
        let partition = profile.partition(PARTITIONS);
        let lanes = self.store.lanes(PARTITIONS);
        let lane = lanes.iter().position(|it| it.contains(&partition)).unwrap_or_default();
        i64::try_from(lane).unwrap_or_default()
    }

    pub(crate) fn ask(&self, lane: i64, request: Request) {
        self.desk().requests.entry(lane).or_default().push_back(request);
        self.bell.ring(&self.desk_topic(lane));
    }

    pub(crate) fn next_request(&self, lane: i64) -> Option<Request> {
        self.desk().requests.get_mut(&lane)?.pop_front()
    }

    /// Recomputes profiles from empty by their facts (the meaning; folding is the fast path). Returns when it is done.
    ///
    /// # Errors
    /// If facts cannot be read or the database refuses.
    pub async fn refold(&self, workspace: &Workspace, profiles: &[ProfileId]) -> Result<(), FeedError> {
        let mut by_lane: BTreeMap<i64, Vec<Key>> = BTreeMap::new();
        for profile in profiles {
            by_lane.entry(self.lane_of(*profile)).or_default().push((workspace.clone(), *profile));
        }
        let mut answers = Vec::new();
        for (lane, keys) in by_lane {
            let (send, receive) = oneshot::channel();
            self.ask(lane, Request::Refold(keys, send));
            answers.push(receive);
        }
        for answer in answers {
            answer.await.map_err(|_| self.stopped())??;
        }
        Ok(())
    }

    /// Applies a parked profile's records again. Answers how many were applied and what stopped it, if anything.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn retry(&self, workspace: &Workspace, profile: ProfileId) -> Result<(u32, String), FeedError> {
        let (send, receive) = oneshot::channel();
        self.ask(self.lane_of(profile), Request::Retry((workspace.clone(), profile), send));
        receive.await.map_err(|_| self.stopped())?
    }

    fn stopped(&self) -> FeedError {
        FeedError::Peer { feed: self.name.to_string(), reason: "its reader stops".to_owned() }
    }

    pub(crate) async fn facts(&self, key: &Key, up_to: u64) -> Result<Option<Vec<Record>>, FeedError> {
        let Some(client) = &self.facts else {
            let reason = "this reader has no way to read facts again".to_owned();
            return Err(FeedError::Peer { feed: "ingestion".to_owned(), reason });
        };
        let name = format!("{}/profiles/{}", key.0.resource(), key.1);
        let mut records = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ReadFactsRequest { name: name.clone(), up_to_seq: up_to, page_size: 0, page_token };
            let page = match client.clone().read_facts(request).await {
                Ok(page) => page.into_inner(),
                Err(status) if status.code() == tonic::Code::NotFound => return Ok(None),
                Err(status) => {
                    let reason = status.message().to_owned();
                    return Err(FeedError::Peer { feed: "ingestion".to_owned(), reason });
                }
            };
            for record in page.records {
                let record = wire::Record::decode(record.as_slice())
                    .map_err(|error| FeedError::Malformed { what: "a fact", reason: error.to_string() })?;
                records.push(Record::try_from(record)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(Some(records));
            }
            page_token = page.next_page_token;
        }
    }

    pub(crate) async fn parked_in(&self, partitions: &[u16]) -> Result<BTreeSet<Key>, FeedError> {
        Ok(parked::keys(self.store.read(), partitions).await?)
    }

    /// Parked profiles of a workspace after a given one, in order of their ids.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn parked(
        &self,
        workspace: &Workspace,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<ParkedProfile>, FeedError> {
        Ok(parked::list(self.store.read(), workspace, after, most).await?)
    }

    /// Says that a lane of this process has come to a record without writing it down yet.
    pub(crate) fn passed_over(&self, feed: &Arc<str>, partition: u16, seq: u64) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.insert((feed.clone(), partition), seq);
        drop(passed);
        self.has_moved();
    }

    pub(crate) fn has_moved(&self) {
        self.moved.send_modify(|it| *it = it.wrapping_add(1));
    }

    /// Where the reader stands: feed, partition, last record applied, or passed over since it concerns nobody here.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn positions(&self) -> Result<Vec<(String, u16, u64)>, FeedError> {
        let checkpoints = keep::checkpoints(self.store.read(), &self.name).await?;
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead =
            |feed: &str, partition| passed.get(&(feed.into(), partition)).copied().unwrap_or_default();
        let place = |((feed, partition), (_, seq)): ((String, u16), (String, u64))| {
            let seq = seq.max(ahead(&feed, partition));
            (feed, partition, seq)
        };
        Ok(checkpoints.into_iter().map(place).collect())
    }

    /// The states of some profiles, as JSON: what this service knows of each.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn states(
        &self,
        workspace: &Workspace,
        profiles: &[ProfileId],
    ) -> Result<BTreeMap<ProfileId, F::State>, FeedError> {
        let keys = profiles.iter().map(|it| (workspace.clone(), *it)).collect();
        let states = keep::load(self.store.read(), &keys).await?;
        Ok(states.into_iter().map(|((_, profile), kept)| (profile, kept.state)).collect())
    }

    /// States of a workspace after a profile, in order of their profiles; at most `most`.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn states_after(
        &self,
        workspace: &Workspace,
        after: Option<ProfileId>,
        most: usize,
    ) -> Result<Vec<(ProfileId, F::State)>, FeedError> {
        Ok(keep::page(self.store.read(), workspace, after, most).await?)
    }

    /// How many profiles of a workspace have a state.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn count_states(&self, workspace: &Workspace) -> Result<u64, FeedError> {
        Ok(keep::count(self.store.read(), workspace).await?)
    }
}

/// The topic of a service's outbox for a target.
pub(crate) fn outbox_topic(service: &str, target: &str) -> Topic {
    Topic::other(&format!("{service} outbox {target}"))
}
