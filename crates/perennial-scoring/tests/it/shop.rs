//! A process that runs scoring beside a tiny ingestion: a feed of facts, and nothing else.

use std::time::Duration;

use perennial_api::scoring::v1::scoring_service_client::ScoringServiceClient;
use perennial_api::scoring::v1::{
    FitModelRequest, GetScoreRequest, Model, Score, ScoreSummary, ScoreUpdated, SummarizeScoresRequest,
};
use perennial_feed::{Cursor, FEED_MIGRATIONS, Feed, FeedKind, Merge, NewRecord, PARTITIONS};
use perennial_rpc::{Transport, facts};
use perennial_runtime::{Host, Process, Service};
use perennial_scoring::Config;
use perennial_store::{DatabaseConfig, Durability, Store};
use perennial_types::{
    Currency, Fact, FactKind, MergeId, OrderChange, OrderPlaced, OrderRefunded, ProfileId, Properties,
    SimulatedClock, Timestamp, Workspace, from_micros,
};
use prost::Message;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const DAY: i64 = 86_400_000_000;
pub const PARENT: &str = "workspaces/main";

pub struct Shop {
    pub client: ScoringServiceClient<Transport>,
    pub host: Host,
    clock: SimulatedClock,
    ingestion: Feed,
    store: Store,
    /// Scoring's own feed, as others would read it.
    scores: perennial_api::feed::v1::feed_service_client::FeedServiceClient<Transport>,
    stop: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
    facts: u128,
}

/// Where scores are kept: in memory and, where `PERENNIAL_TEST_REDIS` holds its URL, in Redis.
pub fn caches() -> Vec<String> {
    let mut found = vec!["memory".to_owned()];
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where Redis is")]
    found.extend(std::env::var("PERENNIAL_TEST_REDIS"));
    found
}

/// The databases to test on: each with a name of its own.
pub fn databases(test: &str) -> Vec<(DatabaseConfig, tempfile::TempDir)> {
    let folder = || tempfile::tempdir().unwrap();
    let sqlite = folder();
    let url = format!("sqlite:{}", sqlite.path().display());
    let config = DatabaseConfig { url, durability: Durability::Relaxed, ..DatabaseConfig::default() };
    let mut found = vec![(config, sqlite)];
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where PostgreSQL is")]
    if let Ok(url) = std::env::var("PERENNIAL_TEST_POSTGRES") {
        let unique = Uuid::now_v7().simple().to_string();
        let schema_prefix = format!("{test}_{}_", &unique[20..]);
        let config = DatabaseConfig { url, schema_prefix, max_connections: 20, ..DatabaseConfig::default() };
        found.push((config, folder()));
    }
    found
}

impl Shop {
    /// Opens a shop at an instant.
    pub async fn open(
        database: (DatabaseConfig, tempfile::TempDir),
        start: Timestamp,
        config: Config,
    ) -> Self {
        Self::open_with(database, start, config, "memory").await
    }

    /// Opens a shop with a cache somewhere.
    pub async fn open_with(
        (database, folder): (DatabaseConfig, tempfile::TempDir),
        start: Timestamp,
        config: Config,
        cache: &str,
    ) -> Self {
        let mut runtime = perennial_runtime::Config::default();
        cache.clone_into(&mut runtime.cache.url);
        runtime.listen.set_port(0);
        runtime.http_listen.set_port(0);
        runtime.clock.simulated_from = Some(start);
        // Facts are never read again here, but somebody has to be there for it.
        runtime.peers.insert("ingestion".to_owned(), "http://127.0.0.1:1".to_owned());
        let host = Host::new(&runtime, &["ingestion", "scoring"]).unwrap();
        let store = Store::open(&database, "ingestion", &FEED_MIGRATIONS).await.unwrap();
        let (clock, bell) = (host.clock.clone(), host.bell.clone());
        let ingestion = Feed::open("ingestion", FeedKind::Source, store.clone(), clock, bell).await.unwrap();
        let scoring = perennial_scoring::service(Config { database, ..config }, &host).await.unwrap();
        let services = vec![Service::new("ingestion").feed(ingestion.clone()), scoring];
        let process = Process::bind(&runtime, host.clone(), services).await.unwrap();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(process.serve(stop.clone()));
        let transport = host.mesh.transport("perennial.scoring.v1.ScoringService");
        let client = perennial_rpc::client!(ScoringServiceClient::new(transport));
        let scores =
            perennial_api::feed::v1::feed_service_client::FeedServiceClient::new(host.mesh.feed("scoring"));
        let clock = host.clock.simulation().unwrap().clone();
        let shop =
            Self { client, host, clock, ingestion, store, scores, stop, running, _folder: folder, facts: 0 };
        shop.quiet().await;
        shop
    }

    /// Waits until nothing is left to do.
    pub async fn quiet(&self) {
        let quiet = async {
            loop {
                let activity = self.host.bell.activity();
                if self.host.bell.is_quiet() {
                    tokio::task::yield_now().await;
                    if self.host.bell.is_quiet() && self.host.bell.activity() == activity {
                        return;
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(300), quiet).await;
        assert!(waited.is_ok(), "never quiet: {:?}", self.host.bell.busy());
    }

    /// Moves the clock and waits.
    pub async fn until(&self, at: Timestamp) {
        self.clock.advance(at);
        self.host.bell.clock_moved();
        self.quiet().await;
    }

    /// Receives facts.
    pub async fn receive(&mut self, facts: Vec<(ProfileId, Timestamp, FactKind)>) {
        let records = facts.into_iter().map(|(profile, at, kind)| {
            self.facts += 1;
            let id = Uuid::from_u128(self.facts);
            record(profile, &Fact { id, name: "Order".to_owned(), at, properties: Properties::new(), kind })
        });
        let records = records.collect();
        self.append(records).await;
    }

    /// Appends records to ingestion's feed and waits until scoring has seen them.
    pub async fn append(&self, records: Vec<NewRecord>) {
        let lanes = self.store.lanes(PARTITIONS);
        for lane in lanes {
            let mine = records.iter().filter(|it| lane.contains(&it.profile.partition(PARTITIONS)));
            let mine: Vec<NewRecord> = mine.cloned().collect();
            for chunk in mine.chunks(2_000) {
                let tx = self.store.write().await.unwrap();
                let appended = self.ingestion.append(&tx, chunk.to_vec()).await.unwrap();
                Store::commit(tx).await.unwrap();
                self.ingestion.announce(appended);
            }
        }
        self.quiet().await;
    }

    /// Merges one profile into another.
    pub async fn merge(&self, from: ProfileId, into: ProfileId) {
        let merge = Merge { id: MergeId(Uuid::from_u128(7)), from, into };
        let of = |profile, kind| NewRecord {
            workspace: workspace(),
            profile,
            kind,
            historical: false,
            correction: false,
            payload: merge.encode(),
        };
        self.append(vec![of(from, Merge::AWAY)]).await;
        self.append(vec![of(into, Merge::INTO)]).await;
    }

    /// Fits a model.
    pub async fn fit(&self, kind: &str, cutoff: &str, publish: bool) -> Result<Model, tonic::Status> {
        let request = FitModelRequest {
            parent: PARENT.to_owned(),
            kind: kind.to_owned(),
            cutoff_date: cutoff.to_owned(),
            publish,
            ..FitModelRequest::default()
        };
        Ok(self.client.clone().fit_model(request).await?.into_inner())
    }

    /// Reads a score.
    pub async fn score(&self, profile: ProfileId) -> Result<Score, tonic::Status> {
        let request = GetScoreRequest { name: format!("{PARENT}/profiles/{profile}"), as_of_time: None };
        Ok(self.client.clone().get_score(request).await?.into_inner())
    }

    /// All customers together.
    pub async fn summary(&self) -> ScoreSummary {
        let request = SummarizeScoresRequest { parent: PARENT.to_owned() };
        self.client.clone().summarize_scores(request).await.unwrap().into_inner()
    }

    /// Everything on scoring's feed about a profile, in order.
    pub async fn updates(&self, profile: ProfileId) -> Vec<ScoreUpdated> {
        use perennial_api::feed::v1 as wire;
        let partition = u32::from(profile.partition(PARTITIONS));
        let (mut after_seq, mut found) = (0, Vec::new());
        loop {
            let request = wire::ReadRequest {
                feed: "scoring".to_owned(),
                epoch: String::new(),
                cursors: vec![wire::Cursor { partition, after_seq, complete_after: None }],
                max_records: 500,
                wait_ms: 0,
                consumer: String::new(),
            };
            let answer = self.scores.clone().read(request).await.unwrap().into_inner();
            let records = &answer.partitions[0].records;
            let Some(last) = records.last() else { return found };
            after_seq = last.seq;
            let mine = records.iter().filter(|it| it.profile == profile.0.as_bytes());
            found.extend(mine.map(|it| ScoreUpdated::decode(it.payload.clone()).unwrap()));
        }
    }

    /// Stops the process.
    pub async fn close(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap().unwrap();
        }
    }

    /// How far ingestion's feed is: so that the compiler knows a cursor is used as intended.
    pub async fn received(&self) -> u64 {
        let cursors: Vec<Cursor> = (0..PARTITIONS)
            .map(|partition| Cursor { partition, after_seq: u64::MAX >> 1, complete_after: None })
            .collect();
        self.ingestion.read(&cursors, 0).await.unwrap().iter().map(|it| it.progress.seq).sum()
    }
}

pub fn workspace() -> Workspace {
    Workspace::parse("main").unwrap()
}

/// A profile by number: the same on every run.
pub fn profile(n: u32) -> ProfileId {
    ProfileId(Uuid::from_u128((0x0198_f3a2_7c1e_7abc_u128 << 64) | (0x8000_u128 << 48) | u128::from(n)))
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn day(n: i64) -> Timestamp {
    from_micros(n * DAY)
}

pub fn record(profile: ProfileId, fact: &Fact) -> NewRecord {
    NewRecord {
        workspace: workspace(),
        profile,
        kind: facts::KIND,
        historical: true,
        correction: false,
        payload: facts::encode(fact).encode_to_vec().into(),
    }
}

/// What ingestion tells of a profile it has just made.
pub fn born(profile: ProfileId) -> NewRecord {
    let payload = Default::default();
    NewRecord {
        workspace: workspace(),
        profile,
        kind: "profile",
        historical: false,
        correction: false,
        payload,
    }
}

pub fn placed(id: impl Into<String>, revenue: i64) -> FactKind {
    FactKind::Order(OrderChange::Placed(OrderPlaced {
        order_id: id.into(),
        currency: Currency::parse("USD").unwrap(),
        revenue,
        discount: 0,
        profit: revenue * 2 / 5,
        cost_known_per_mille: 1_000,
        coupon: None,
        lines: vec![],
    }))
}

pub fn refunded(id: &str, amount: Option<i64>) -> FactKind {
    FactKind::Order(OrderChange::Refunded(OrderRefunded { order_id: id.to_owned(), amount }))
}

/// Orders of a shop with customers who come once, sometimes or often, until a day: the same on every run.
pub fn orders(customers: u32, first_day: i64, last_day: i64) -> Vec<(ProfileId, Timestamp, FactKind)> {
    let mut found = Vec::new();
    for c in 0..customers {
        let mut seed = (u64::from(c) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            ((seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        let (gap, life, mean) = (10.0 - 50.0 * draw().ln(), -150.0 * draw().ln(), 2_000.0 + 6_000.0 * draw());
        let mut t = 0.0;
        let start = first_day + i64::from(c) * 90 / i64::from(customers);
        while t <= life {
            let at = from_micros(start * DAY + (t * DAY as f64) as i64);
            if at >= day(last_day) {
                break;
            }
            found.push((
                profile(c),
                at,
                placed(format!("{c}-{}", found.len()), (mean * (0.5 + draw())) as i64),
            ));
            t += -gap * draw().ln();
        }
    }
    found
}
