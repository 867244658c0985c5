//! A running service on a database of its own, with clients.

use perennial_api::catalog::v1::catalog_service_client::CatalogServiceClient;
use perennial_api::feed::v1::feed_service_client::FeedServiceClient;
use perennial_api::feed::v1::{Cursor, ReadRequest};
use perennial_api::ingestion::v1 as wire;
use perennial_api::ingestion::v1::export_service_client::ExportServiceClient;
use perennial_api::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use perennial_api::ingestion::v1::quality_service_client::QualityServiceClient;
use perennial_api::profile::v1 as profile;
use perennial_api::profile::v1::privacy_service_client::PrivacyServiceClient;
use perennial_api::profile::v1::profile_service_client::ProfileServiceClient;
use perennial_feed::Record;
use perennial_ingestion::Config;
use perennial_rpc::Transport;
use perennial_runtime::{Host, Process};
use perennial_types::Fact;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const START: &str = "2026-03-01T12:00:00Z";

/// A database of the test's own.
pub struct Database {
    pub url: String,
    pub prefix: String,
    _folder: Option<tempfile::TempDir>,
}

/// SQLite, and PostgreSQL where there is one.
pub fn databases() -> Vec<Database> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().display());
    let mut all = vec![Database { url, prefix: String::new(), _folder: Some(folder) }];
    if let Some(url) = std::env::vars().find(|(name, _)| name == "PERENNIAL_TEST_POSTGRES").map(|it| it.1) {
        let n = COUNT.fetch_add(1, Ordering::SeqCst);
        let prefix = format!("t{}_{n}_", std::process::id());
        all.push(Database { url, prefix, _folder: None });
    }
    all
}

pub struct House {
    pub host: Host,
    pub ingestion: IngestionServiceClient<Transport>,
    pub export: ExportServiceClient<Transport>,
    pub quality: QualityServiceClient<Transport>,
    pub profiles: ProfileServiceClient<Transport>,
    pub privacy: PrivacyServiceClient<Transport>,
    pub catalog: CatalogServiceClient<Transport>,
    pub feed: FeedServiceClient<Transport>,
    pub http: SocketAddr,
    pub key: String,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl House {
    pub async fn open(database: &Database) -> Self {
        Self::open_with(database, Config::default()).await
    }

    pub async fn open_with(database: &Database, config: Config) -> Self {
        Self::open_cached(database, config, perennial_cache::Config::default()).await
    }

    pub async fn open_cached(
        database: &Database,
        mut config: Config,
        cache: perennial_cache::Config,
    ) -> Self {
        config.database.url.clone_from(&database.url);
        config.database.schema_prefix.clone_from(&database.prefix);
        let mut process = perennial_runtime::Config::default();
        process.listen.set_port(0);
        process.http_listen.set_port(0);
        process.clock.simulated_from = Some(START.parse().unwrap());
        process.server.drain_delay = std::time::Duration::ZERO;
        process.cache = cache;
        let host = Host::new(&process, &["ingestion"]).unwrap();
        let service = perennial_ingestion::service(config, &host).await.unwrap();
        let bound = Process::bind(&process, host.clone(), vec![service]).await.unwrap();
        let http = bound.http_address().unwrap();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test is the process here")]
        let running = tokio::spawn(bound.serve(stop.clone()));
        let transport = |name: &str| host.mesh.transport(name);
        let mut house = Self {
            ingestion: IngestionServiceClient::new(transport("perennial.ingestion.v1.IngestionService")),
            export: ExportServiceClient::new(transport("perennial.ingestion.v1.ExportService")),
            quality: QualityServiceClient::new(transport("perennial.ingestion.v1.QualityService")),
            profiles: ProfileServiceClient::new(transport("perennial.profile.v1.ProfileService")),
            privacy: PrivacyServiceClient::new(transport("perennial.profile.v1.PrivacyService")),
            catalog: CatalogServiceClient::new(transport("perennial.catalog.v1.CatalogService")),
            feed: FeedServiceClient::new(host.mesh.feed("ingestion")),
            host,
            http,
            key: String::new(),
            stop,
            running,
        };
        let made = wire::CreateWriteKeyRequest {
            parent: "workspaces/main".to_owned(),
            display_name: "test".to_owned(),
        };
        house.key = house.ingestion.clone().create_write_key(made).await.unwrap().into_inner().key;
        house
    }

    pub async fn close(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    /// Moves the clock, and waits until what was due is done.
    pub async fn advance(&self, minutes: i64) {
        self.advance_quietly(minutes);
        self.host.bell.clock_moved();
        self.quiet().await;
    }

    /// Moves the clock without telling anybody.
    pub fn advance_quietly(&self, minutes: i64) {
        let to = self.host.clock.now() + jiff::SignedDuration::from_mins(minutes);
        self.host.clock.simulation().unwrap().advance(to);
    }

    /// Waits until nothing is left to do.
    pub async fn quiet(&self) {
        perennial_testing::quiet(&self.host.bell).await;
    }

    /// Sends a request as it is; gives the status and the whole answer.
    pub async fn send(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request =
            format!("{head}\r\nHost: shop\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    /// Posts JSON with the test's key in the query.
    pub async fn post(&self, path: &str, body: &str) -> u16 {
        let head = format!("POST {path}?writeKey={} HTTP/1.1\r\nContent-Type: text/plain", self.key);
        self.send(&head, body.as_bytes()).await.0
    }

    /// Sends requests until one is sent away because too much waits; those before it are left waiting.
    pub async fn refused_events_while_full(&self) {
        let mut client = self.ingestion.clone();
        loop {
            let event = wire::Event {
                r#type: "page".to_owned(),
                anonymous_id: "b".to_owned(),
                message_id: "full".to_owned(),
                ..Default::default()
            };
            let events = vec![event.clone(), event];
            let request =
                wire::IngestEventsRequest { parent: "workspaces/main".to_owned(), events, historical: false };
            let asked =
                tokio::time::timeout(std::time::Duration::from_millis(50), client.ingest_events(request));
            if asked.await.is_ok_and(|it| it.is_err_and(|it| it.code() == tonic::Code::ResourceExhausted)) {
                return;
            }
        }
    }

    pub async fn stats(&self) -> wire::IngestStats {
        let name = "workspaces/main/ingestStats".to_owned();
        self.ingestion
            .clone()
            .get_ingest_stats(wire::GetIngestStatsRequest { name })
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn rejected(&self) -> Vec<wire::RejectedEvent> {
        let request =
            wire::ListRejectedEventsRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        self.ingestion.clone().list_rejected_events(request).await.unwrap().into_inner().rejected_events
    }

    pub async fn lookup(&self, identifier: &str) -> Option<profile::Profile> {
        let request = profile::LookupProfileRequest {
            parent: "workspaces/main".to_owned(),
            identifier: identifier.to_owned(),
        };
        self.profiles.clone().lookup_profile(request).await.ok().map(tonic::Response::into_inner)
    }

    /// A profile by its name.
    pub async fn profile(&self, name: &str) -> profile::Profile {
        let request = profile::GetProfileRequest { name: name.to_owned() };
        self.profiles.clone().get_profile(request).await.unwrap().into_inner()
    }

    /// Every record of the feed, partition by partition.
    pub async fn records(&self) -> Vec<Record> {
        let cursors =
            (0..16).map(|partition| Cursor { partition, after_seq: 0, complete_after: None }).collect();
        let request =
            ReadRequest { feed: "ingestion".to_owned(), cursors, max_records: 10_000, ..Default::default() };
        let answer = self.feed.clone().read(request).await.unwrap().into_inner();
        let mut records = Vec::new();
        for partition in answer.partitions {
            let seqs: Vec<u64> = partition.records.iter().map(|it| it.seq).collect();
            assert_eq!(seqs, (1..=partition.head_seq).collect::<Vec<_>>(), "gapless");
            records.extend(partition.records.into_iter().map(|it| Record::try_from(it).unwrap()));
        }
        records
    }

    pub async fn facts(&self) -> Vec<Fact> {
        let records = self.records().await;
        let facts = records.iter().filter(|it| it.kind == "fact");
        facts.map(|it| perennial_rpc::facts::decode(&it.payload).unwrap()).collect()
    }

    /// The facts of a profile in event order, by `ReadFacts`, a page at a time.
    pub async fn read_facts(&self, name: &str) -> Vec<Fact> {
        self.read_facts_up_to(name, 0).await
    }

    pub async fn read_facts_up_to(&self, name: &str, up_to_seq: u64) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut page_token = String::new();
        loop {
            let request =
                profile::ReadFactsRequest { name: name.to_owned(), up_to_seq, page_size: 2, page_token };
            let answer = self.profiles.clone().read_facts(request).await.unwrap().into_inner();
            for record in answer.records {
                let record: perennial_api::feed::v1::Record =
                    prost::Message::decode(record.as_slice()).unwrap();
                facts.push(perennial_rpc::facts::decode(&record.payload).unwrap());
            }
            if answer.next_page_token.is_empty() {
                return facts;
            }
            page_token = answer.next_page_token;
        }
    }
}
