//! A process with segmentation, a feed of facts, and scores as the test tells them, on its own database and clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use perennial_api::feed::v1 as feed;
use perennial_api::feed::v1::feed_service_client::FeedServiceClient;
use perennial_api::ingestion::v1::ProfileUpdated;
use perennial_api::scoring::v1::ScoreUpdated;
use perennial_api::segmentation::v1 as wire;
use perennial_api::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use perennial_feed::{
    FEED_MIGRATIONS, FOLD_MIGRATIONS, Feed, FeedKind, Fold, FoldFault, Merge, NewRecord, OUTBOX_MIGRATIONS,
    PARTITIONS, Personal, Reader, ReaderParts, Record, Turn,
};
use perennial_rpc::{Transport, facts};
use perennial_runtime::{ClockConfig, Config, Host, Process, Service};
use perennial_store::{DatabaseConfig, DatabaseTransaction, Store};
use perennial_types::{
    Fact, FactKind, MergeId, ProfileId, Properties, Scalar, Timestamp, Workspace, from_micros, micros, new_id,
};
use prost::Message;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};
use uuid::Uuid;

pub const START: &str = "2026-03-02T09:00:00Z";
pub const DAY: i64 = 86_400_000_000;

pub struct World {
    pub client: SegmentationServiceClient<Transport>,
    pub host: Host,
    feed: Feed,
    store: Store,
    _folder: tempfile::TempDir,
    stop: CancellationToken,
    process: JoinSet<anyhow::Result<()>>,
}

/// Passes on the scores that a test tells, as scoring's feed does.
struct Scores;

#[async_trait]
impl Fold for Scores {
    type State = ();
    type Row = ();
    type Book = ();

    async fn book(&self, _: &DatabaseTransaction) -> Result<Arc<()>, FoldFault> {
        Ok(Arc::new(()))
    }

    fn apply(&self, (): &(), turn: &mut Turn<()>, (): &mut (), record: &Record) -> Result<(), FoldFault> {
        if record.kind == "score" {
            turn.append(
                "score_updated",
                &ScoreUpdated::decode(record.payload.clone()).map_err(FoldFault::poison)?,
            );
        }
        Ok(())
    }

    fn fire(&self, (): &(), _: &mut Turn<()>, (): &mut (), _: &str) -> Result<(), FoldFault> {
        Ok(())
    }

    fn merge(&self, (): &(), _: &mut Turn<()>, (): &mut (), (): ()) -> Result<(), FoldFault> {
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        &[]
    }

    async fn write(&self, _: &DatabaseTransaction, _: Vec<()>) -> Result<(), FoldFault> {
        Ok(())
    }
}

/// A world on each database there is.
pub async fn worlds() -> Vec<World> {
    let mut worlds = vec![world(None).await];
    if let Some(url) = std::env::var_os("PERENNIAL_TEST_POSTGRES") {
        worlds.push(world(url.into_string().ok()).await);
    }
    worlds
}

async fn world(postgres: Option<String>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let database = match postgres {
        None => DatabaseConfig { url: format!("sqlite:{}", folder.path().display()), ..Default::default() },
        Some(url) => {
            let schema_prefix = format!("t{}_", Uuid::now_v7().simple());
            DatabaseConfig { url, schema_prefix, ..Default::default() }
        }
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let clock = ClockConfig { simulated_from: Some(START.parse().unwrap()) };
    let config = Config { listen: any, http_listen: any, clock, ..Config::default() };
    let host = Host::new(&config, &["ingestion", "scoring", "segmentation"]).unwrap();
    let (clock, bell) = (host.clock.clone(), host.bell.clone());

    let store = Store::open(&database, "ingestion", &FEED_MIGRATIONS).await.unwrap();
    let feed =
        Feed::open("ingestion", FeedKind::Source, store.clone(), clock.clone(), bell.clone()).await.unwrap();
    let migrations: Vec<_> =
        FEED_MIGRATIONS.into_iter().chain(FOLD_MIGRATIONS).chain(OUTBOX_MIGRATIONS).collect();
    let scores = Store::open(&database, "scoring", &migrations).await.unwrap();
    let told =
        Feed::open("scoring", FeedKind::Derived, scores.clone(), clock.clone(), bell.clone()).await.unwrap();
    let reader = Reader::new(ReaderParts {
        fold: Scores,
        feed: told.clone(),
        store: scores,
        sources: vec![host.mesh.source("ingestion")],
        facts: None,
        receipts: None,
        clock,
        bell,
    });
    let segmentation = perennial_segmentation::Config { database: database.clone(), ..Default::default() };
    let services = vec![
        Service::new("ingestion")
            .feed(feed.clone())
            .grpc(perennial_testing::Facts(feed.clone()).server())
            .grpc(perennial_testing::Office::default().server()),
        Service::new("scoring").feed(told).reader(reader),
        perennial_segmentation::service(segmentation, &host).await.unwrap(),
    ];
    let process = Process::bind(&config, host.clone(), services).await.unwrap();
    let stop = CancellationToken::new();
    let transport = host.mesh.transport("perennial.segmentation.v1.SegmentationService");
    let mut running = JoinSet::new();
    running.spawn(process.serve(stop.clone()));
    let client = SegmentationServiceClient::new(transport);
    World { client, host, feed, store, _folder: folder, stop, process: running }
}

impl World {
    pub async fn end(mut self) {
        self.stop.cancel();
        self.process.join_next().await.unwrap().unwrap().unwrap();
    }

    pub fn now(&self) -> Timestamp {
        self.host.clock.now()
    }

    /// Until every background loop is idle.
    pub async fn settle(&self) {
        perennial_testing::quiet(&self.host.bell).await;
    }

    pub async fn advance(&self, by: i64) {
        self.settle().await;
        // From one due instant to the next, as a simulation's driver does.
        let end = micros(self.now()) + by;
        while let Some(due) = self.host.bell.next_due().map(micros).filter(|it| *it < end) {
            self.move_to(due.max(micros(self.now()))).await;
        }
        self.move_to(end).await;
    }

    async fn move_to(&self, to: i64) {
        self.host.clock.simulation().unwrap().advance(from_micros(to));
        self.host.bell.clock_moved();
        self.settle().await;
    }

    pub fn profile(&self) -> ProfileId {
        ProfileId::new(self.now())
    }

    pub async fn append(&self, records: Vec<NewRecord>) {
        // On PostgreSQL a transaction locks one partition's head.
        let mut by_partition: BTreeMap<u16, Vec<NewRecord>> = BTreeMap::new();
        for it in records {
            by_partition.entry(it.profile.partition(PARTITIONS)).or_default().push(it);
        }
        for records in by_partition.into_values() {
            let tx = self.store.write().await.unwrap();
            let appended = self.feed.append(&tx, records).await.unwrap();
            Store::commit(tx).await.unwrap();
            self.feed.announce(appended);
        }
        self.settle().await;
    }

    pub fn event(&self, profile: ProfileId, name: &str, properties: &[(&str, Scalar)]) -> NewRecord {
        self.fact(profile, name, FactKind::Tracked, properties)
    }

    pub fn fact(
        &self,
        profile: ProfileId,
        name: &str,
        kind: FactKind,
        properties: &[(&str, Scalar)],
    ) -> NewRecord {
        let at = self.now();
        let properties: Properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let fact = Fact { id: new_id(at), name: name.to_owned(), at, properties, kind };
        record(profile, facts::KIND, facts::encode(&fact).encode_to_vec())
    }

    pub async fn track(&self, profile: ProfileId, name: &str) {
        self.append(vec![self.event(profile, name, &[])]).await;
    }

    /// What ingestion tells of every profile that is new.
    pub fn met(&self, profile: ProfileId) -> NewRecord {
        record(profile, "profile", ProfileUpdated::default().encode_to_vec())
    }

    pub async fn known(&self, profile: ProfileId) {
        let told =
            ProfileUpdated { reachable: vec!["email".to_owned()], identified: true, ..Default::default() };
        self.append(vec![record(profile, "profile", told.encode_to_vec())]).await;
    }

    /// A fact of an import.
    pub fn imported(&self, profile: ProfileId, name: &str) -> NewRecord {
        NewRecord { historical: true, ..self.event(profile, name, &[]) }
    }

    pub async fn score(&self, profile: ProfileId, score: ScoreUpdated) {
        self.append(vec![record(profile, "score", score.encode_to_vec())]).await;
    }

    pub async fn merge(&self, from: ProfileId, into: ProfileId) {
        let merge = Merge { id: MergeId(new_id(self.now())), from, into };
        let payload = merge.encode().to_vec();
        self.append(vec![record(from, Merge::AWAY, payload.clone()), record(into, Merge::INTO, payload)])
            .await;
    }

    pub async fn create(&mut self, id: &str, rule: &str) -> wire::Segment {
        let created = self.try_create(id, rule, false).await.unwrap();
        self.settle().await;
        created
    }

    pub async fn try_create(
        &mut self,
        id: &str,
        rule: &str,
        validate_only: bool,
    ) -> Result<wire::Segment, Status> {
        let request = wire::CreateSegmentRequest {
            parent: "workspaces/main".to_owned(),
            segment_id: id.to_owned(),
            segment: Some(wire::Segment { rule: rule.to_owned(), ..Default::default() }),
            validate_only,
            ..Default::default()
        };
        self.client.create_segment(request).await.map(Response::into_inner)
    }

    pub async fn check(&mut self, profile: ProfileId, segment: &str) -> wire::CheckMembershipResponse {
        self.check_at(profile, segment, None).await
    }

    pub async fn check_at(
        &mut self,
        profile: ProfileId,
        segment: &str,
        as_of: Option<Timestamp>,
    ) -> wire::CheckMembershipResponse {
        let request = wire::CheckMembershipRequest {
            name: profile_name(profile),
            segment: segment_name(segment),
            as_of: as_of.map(perennial_rpc::time::to_wire),
        };
        self.client.check_membership(request).await.unwrap().into_inner()
    }

    pub async fn stage(&mut self, profile: ProfileId) -> wire::ProfileStage {
        let request = wire::GetStageRequest { name: profile_name(profile) };
        self.client.get_stage(request).await.unwrap().into_inner()
    }

    /// What segmentation told about segments: profile, segment, entered, historical.
    pub async fn told(&self) -> Vec<(ProfileId, String, bool, bool)> {
        let cursors = (0..PARTITIONS).map(|it| feed::Cursor {
            partition: it.into(),
            after_seq: 0,
            complete_after: None,
        });
        let request = feed::ReadRequest {
            feed: "segmentation".to_owned(),
            cursors: cursors.collect(),
            ..Default::default()
        };
        let mut client = FeedServiceClient::new(self.host.mesh.feed("segmentation"));
        let read = client.read(request).await.unwrap().into_inner();
        let records = read.partitions.into_iter().flat_map(|it| it.records);
        let records =
            records.map(|it| Record::try_from(it).unwrap()).filter(|it| it.kind == "segment_changed");
        records
            .map(|it| {
                let change = wire::SegmentChanged::decode(it.payload.clone()).unwrap();
                (it.profile, change.segment, change.entered, it.historical)
            })
            .collect()
    }
}

fn record(profile: ProfileId, kind: &'static str, payload: Vec<u8>) -> NewRecord {
    let workspace = Workspace::parse("main").unwrap();
    NewRecord { workspace, profile, kind, historical: false, correction: false, payload: payload.into() }
}

pub fn profile_name(profile: ProfileId) -> String {
    format!("workspaces/main/profiles/{profile}")
}

pub fn segment_name(segment: &str) -> String {
    format!("workspaces/main/segments/{segment}")
}

pub fn wire_time(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(perennial_rpc::time::to_wire(at))
}
