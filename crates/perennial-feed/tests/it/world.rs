//! A little world: an ingestion feed, two readers of it (one derives from the other), a simulated clock.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use perennial_api::profile::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use perennial_api::profile::v1::{
    BatchGetContactsRequest, BatchGetContactsResponse, BatchGetProfilesRequest, BatchGetProfilesResponse,
    GetProfileRequest, ListProfilesRequest, ListProfilesResponse, LookupProfileRequest, Profile,
    ReadFactsRequest, ReadFactsResponse,
};
use perennial_feed::{
    AnyReader, Bell, Cursor, Erasure, FEED_MIGRATIONS, FOLD_MIGRATIONS, Feed, FeedKind, Here, Merge,
    NewRecord, OUTBOX_MIGRATIONS, PARTITIONS, Reader, ReaderParts, Record, Source,
};
use perennial_rpc::Transport;
use perennial_store::{Backend, DatabaseConfig, Store};
use perennial_testing::{Office, TestDatabase};
use perennial_types::{Clock, MergeId, ProfileId, SimulatedClock, Workspace, from_micros};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::ledger::{LEDGER_MIGRATIONS, Ledger};

/// One process of the world: it dies when dropped or killed, and another may be started on the same home.
pub struct World {
    pub clock: SimulatedClock,
    pub bell: Bell,
    pub ingestion: Feed,
    pub first: Arc<Reader<Ledger>>,
    pub second: Arc<Reader<Ledger>>,
    pub first_store: Store,
    pub second_store: Store,
    pub office: Office,
    ingestion_store: Store,
    feeds: [Feed; 2],
    around: Around,
    firsts: Vec<tokio::task::JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    stop: CancellationToken,
}

/// What the readers of a process have in common.
struct Around {
    config: DatabaseConfig,
    transport: Transport,
    beside: Here,
    clock: Clock,
    bell: Bell,
    patience: Option<Duration>,
}

impl Around {
    /// The first reader (of ingestion), or the second, which reads the first, too.
    fn reader(&self, feed: Feed, store: Store) -> Arc<Reader<Ledger>> {
        let derives = feed.name() == "first";
        let source = |name: &str| Source::new(name, self.transport.clone(), true);
        // The first reads the feed itself, the second over the wire, as in one process and in several.
        let sources = if derives {
            vec![source("ingestion").at(self.beside.clone())]
        } else {
            vec![source("ingestion"), source("first")]
        };
        Reader::new(ReaderParts {
            fold: Ledger { derives, patience: self.patience.filter(|_| !derives) },
            feed,
            store,
            sources,
            facts: Some(self.transport.clone()),
            receipts: Some(self.transport.clone()),
            clock: self.clock.clone(),
            bell: self.bell.clone(),
        })
    }

    async fn store(&self, name: &str, lanes: u16) -> Store {
        let folding =
            [&FEED_MIGRATIONS[..], &FOLD_MIGRATIONS[..], &OUTBOX_MIGRATIONS[..], &LEDGER_MIGRATIONS[..]]
                .concat();
        let config = DatabaseConfig { lanes: lanes.try_into().ok(), ..self.config.clone() };
        Store::open(&config, name, &folding).await.unwrap()
    }
}

pub fn main() -> Workspace {
    Workspace::parse("main").unwrap()
}

impl World {
    pub async fn start(home: &TestDatabase, clock: &SimulatedClock) -> Self {
        Self::patient(home, clock, None).await
    }

    /// A world whose second reader waits only so long for the first.
    pub async fn patient(home: &TestDatabase, clock: &SimulatedClock, patience: Option<Duration>) -> Self {
        let time = Clock::simulated(clock.clone());
        let bell = Bell::new(time.clone());
        let feed_only = FEED_MIGRATIONS;
        let ingestion_store = Store::open(&home.config, "ingestion", &feed_only).await.unwrap();
        let ingestion =
            Feed::open("ingestion", FeedKind::Source, ingestion_store.clone(), time.clone(), bell.clone())
                .await
                .unwrap();
        let office = Office::default();
        let around = Around {
            config: home.config.clone(),
            transport: perennial_rpc::local(Routes::default()),
            beside: Here::new(ingestion.clone().into()),
            clock: time.clone(),
            bell: bell.clone(),
            patience,
        };
        let lanes = home.config.lanes.map_or(1, NonZeroU16::get);
        let (first_store, second_store) =
            (around.store("first", lanes).await, around.store("second", lanes).await);
        let derived = async |name, store: &Store| {
            Feed::open(name, FeedKind::Derived, store.clone(), time.clone(), bell.clone()).await.unwrap()
        };
        let feeds = [derived("first", &first_store).await, derived("second", &second_store).await];
        let edge = perennial_feed::grpc::server([ingestion.clone(), feeds[0].clone()], vec![], bell.clone());
        let facts = ProfileServiceServer::new(Facts { ingestion: ingestion.clone() });
        let transport =
            perennial_rpc::local(Routes::new(edge).add_service(facts).add_service(office.server()));
        let around = Around { transport, ..around };
        let first = around.reader(feeds[0].clone(), first_store.clone());
        let second = around.reader(feeds[1].clone(), second_store.clone());
        let stop = CancellationToken::new();
        let firsts = first.tasks(&stop).into_iter().map(|(_, it)| spawn(it)).collect();
        let tasks = second.tasks(&stop).into_iter().map(|(_, it)| spawn(it)).collect();
        let clock = clock.clone();
        Self {
            clock,
            bell,
            ingestion,
            first,
            second,
            first_store,
            second_store,
            office,
            ingestion_store,
            feeds,
            around,
            firsts,
            tasks,
            stop,
        }
    }

    /// Starts another set of workers on the same partitions, as a second replica would, which may cut its lanes differently.
    pub async fn rival(&mut self, lanes: u16) {
        for (feed, store) in self.feeds.clone().into_iter().zip([&self.first_store, &self.second_store]) {
            let store = match store.backend() {
                Backend::Sqlite => store.clone(),
                Backend::Postgres => self.around.store(feed.name(), lanes).await,
            };
            let rivals = self.around.reader(feed, store).tasks(&self.stop);
            self.tasks.extend(rivals.into_iter().map(|(_, it)| spawn(it)));
        }
    }

    /// Ends the work of the first reader alone.
    pub async fn stall_first(&mut self) {
        for task in std::mem::take(&mut self.firsts) {
            task.abort();
            let _ = task.await;
        }
    }

    /// Ends all work between two instructions, as a crash would.
    pub async fn kill(self) {
        for task in self.firsts.iter().chain(&self.tasks) {
            task.abort();
        }
        for task in self.firsts.into_iter().chain(self.tasks) {
            let _ = task.await;
        }
    }

    /// Appends facts, in one transaction for each partition, as ingestion does.
    pub async fn append(&self, records: Vec<NewRecord>) {
        for partition in 0..PARTITIONS {
            let part: Vec<NewRecord> =
                records.iter().filter(|it| it.profile.partition(PARTITIONS) == partition).cloned().collect();
            if part.is_empty() {
                continue;
            }
            let tx = self.ingestion_store.write().await.unwrap();
            let appended = self.ingestion.append(&tx, part).await.unwrap();
            Store::commit(tx).await.unwrap();
            self.ingestion.announce(appended);
        }
    }

    /// Merges two profiles by ingestion's protocol: away at the one, then into at the other.
    pub async fn merge(&self, from: ProfileId, into: ProfileId) {
        let merge = Merge { id: MergeId(uuid::Uuid::now_v7()), from, into };
        let record = |profile, kind| NewRecord {
            workspace: main(),
            profile,
            kind,
            historical: false,
            correction: false,
            payload: merge.encode(),
        };
        self.append(vec![record(from, Merge::AWAY)]).await;
        self.append(vec![record(into, Merge::INTO)]).await;
    }

    /// Erases a person who was these profiles, by ingestion's protocol: their records lose what they told, and one says so.
    pub async fn erase(&self, profiles: &[ProfileId]) -> uuid::Uuid {
        let id = uuid::Uuid::now_v7();
        for profile in profiles {
            let places = self.ingestion.places(&main(), *profile).await.unwrap();
            let tx = self.ingestion_store.write().await.unwrap();
            self.ingestion.erase(&tx, &main(), *profile, &places).await.unwrap();
            let record = NewRecord {
                workspace: main(),
                profile: *profile,
                kind: Erasure::KIND,
                historical: false,
                correction: false,
                payload: Erasure { id }.encode(),
            };
            let appended = self.ingestion.append(&tx, vec![record]).await.unwrap();
            Store::commit(tx).await.unwrap();
            self.ingestion.forget(&main(), *profile, appended.records()[0].seq);
            self.ingestion.announce(appended);
        }
        id
    }

    /// Waits until nothing is left to do.
    pub async fn quiet(&self) {
        perennial_testing::quiet(&self.bell).await;
    }

    pub async fn advance(&self, micros: i64) {
        self.clock.advance(from_micros(micros));
        self.bell.clock_moved();
        self.quiet().await;
    }

    /// Every record of a feed, by partition.
    pub async fn records(feed: &Feed) -> Vec<Vec<Record>> {
        let mut all = Vec::new();
        for partition in 0..PARTITIONS {
            let cursor = Cursor { partition, after_seq: 0, complete_after: None };
            all.push(feed.read(&[cursor], usize::MAX >> 1).await.unwrap().remove(0).records);
        }
        all
    }

    pub async fn parked(&self) -> Vec<perennial_feed::ParkedProfile> {
        AnyReader::parked(&*self.first, &main(), uuid::Uuid::nil(), 1_000).await.unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "tests run the tasks themselves")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(work)
}

/// Reads facts again straight from the ingestion feed, following merges.
struct Facts {
    ingestion: Feed,
}

#[tonic::async_trait]
impl ProfileService for Facts {
    async fn read_facts(
        &self,
        request: Request<ReadFactsRequest>,
    ) -> Result<Response<ReadFactsResponse>, Status> {
        let request = request.into_inner();
        let (_, id) = perennial_types::parse_resource(&request.name, "profiles").unwrap();
        let all: Vec<Record> = World::records(&self.ingestion).await.into_iter().flatten().collect();
        let asked = ProfileId::parse(id).unwrap();
        let mut family = vec![asked];
        let mut next = 0;
        // What came to the profile itself counts up to the asked position; what its merged profiles brought, wholly.
        let counts = |it: &Record| it.profile != asked || it.seq <= request.up_to_seq;
        while let Some(into) = family.get(next).copied() {
            let merges = all.iter().filter(|it| it.kind == Merge::INTO && it.profile == into && counts(it));
            for record in merges {
                family.push(Merge::decode(&record.payload).unwrap().from);
            }
            next += 1;
        }
        let records = all
            .iter()
            .filter(|it| it.kind == "fact" && family.contains(&it.profile) && counts(it))
            .cloned()
            .map(|it| prost::Message::encode_to_vec(&perennial_api::feed::v1::Record::from(it)))
            .collect();
        Ok(Response::new(ReadFactsResponse { records, next_page_token: String::new() }))
    }

    async fn get_profile(&self, _: Request<GetProfileRequest>) -> Result<Response<Profile>, Status> {
        Err(Status::unimplemented("not in this world"))
    }

    async fn lookup_profile(&self, _: Request<LookupProfileRequest>) -> Result<Response<Profile>, Status> {
        Err(Status::unimplemented("not in this world"))
    }

    async fn list_profiles(
        &self,
        _: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        Err(Status::unimplemented("not in this world"))
    }

    async fn batch_get_profiles(
        &self,
        _: Request<BatchGetProfilesRequest>,
    ) -> Result<Response<BatchGetProfilesResponse>, Status> {
        Err(Status::unimplemented("not in this world"))
    }

    async fn batch_get_contacts(
        &self,
        _: Request<BatchGetContactsRequest>,
    ) -> Result<Response<BatchGetContactsResponse>, Status> {
        Err(Status::unimplemented("not in this world"))
    }
}
