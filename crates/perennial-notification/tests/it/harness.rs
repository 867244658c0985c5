//! A process with notification, its peers, a feed of facts and a maildir, on its own database and clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use perennial_api::ingestion::v1::Event;
use perennial_api::notification::v1 as wire;
use perennial_api::notification::v1::notification_service_client::NotificationServiceClient;
use perennial_api::profile::v1::{Contact, ErasedAddress};
use perennial_feed::{Erasure, FEED_MIGRATIONS, Feed, FeedKind, NewRecord};
use perennial_notification::{MaildirConfig, SmtpConfig, TransportKind};
use perennial_rpc::{Transport, facts};
use perennial_runtime::{ClockConfig, Config, Host, Process, Service};
use perennial_store::{DatabaseConfig, Store};
use perennial_testing::Office;
use perennial_types::{
    Channel, ConsentChange, Fact, FactKind, ProfileId, Properties, Purpose, Timestamp, Workspace,
    from_micros, micros, new_id,
};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::peers::{Ingestion, Profiles};

pub const START: &str = "2026-03-02T09:00:00Z";
pub const HOUR: i64 = 3_600_000_000;

/// What outlives the process: its database and files, and the people there are.
#[derive(Clone)]
pub struct Ground {
    pub database: DatabaseConfig,
    pub maildir: PathBuf,
    pub smtp: Option<SocketAddr>,
    profiles: Profiles,
    _folder: Arc<tempfile::TempDir>,
}

pub struct World {
    pub ground: Ground,
    pub client: NotificationServiceClient<Transport>,
    pub host: Host,
    pub profiles: Profiles,
    pub ingestion: Ingestion,
    pub office: Office,
    http: SocketAddr,
    feed: Feed,
    store: Store,
    stop: CancellationToken,
    process: JoinSet<anyhow::Result<()>>,
}

/// Each database there is.
pub fn grounds() -> Vec<Ground> {
    let ground = |database: Option<DatabaseConfig>| {
        let folder = tempfile::tempdir().unwrap();
        let sqlite =
            DatabaseConfig { url: format!("sqlite:{}", folder.path().display()), ..Default::default() };
        let maildir = folder.path().join("mail");
        let (database, _folder) = (database.unwrap_or(sqlite), Arc::new(folder));
        Ground { database, maildir, smtp: None, profiles: Profiles::default(), _folder }
    };
    let mut grounds = vec![ground(None)];
    if let Some(url) = std::env::var_os("PERENNIAL_TEST_POSTGRES") {
        let schema_prefix = format!("t{}_", Uuid::now_v7().simple());
        let url = url.into_string().unwrap();
        grounds.push(ground(Some(DatabaseConfig { url, schema_prefix, ..Default::default() })));
    }
    grounds
}

/// A world on each database there is.
pub async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for ground in grounds() {
        worlds.push(World::on(ground, START).await);
    }
    worlds
}

impl World {
    pub async fn on(ground: Ground, start: &str) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let clock = ClockConfig { simulated_from: Some(start.parse().unwrap()) };
        let config = Config { listen: any, http_listen: any, clock, ..Config::default() };
        let host = Host::new(&config, &["ingestion", "notification"]).unwrap();
        let store = Store::open(&ground.database, "ingestion", &FEED_MIGRATIONS).await.unwrap();
        let (clock, bell) = (host.clock.clone(), host.bell.clone());
        let feed = Feed::open("ingestion", FeedKind::Source, store.clone(), clock, bell).await.unwrap();
        let mut settings = perennial_notification::Config {
            database: ground.database.clone(),
            public_url: "https://mail.linden.example/".to_owned(),
            from: "Linden & Co <hello@linden.example>".to_owned(),
            maildir: MaildirConfig { folder: ground.maildir.clone(), sync: true },
            ..Default::default()
        };
        if let Some(address) = ground.smtp {
            settings.transport = TransportKind::Smtp;
            let host = address.ip().to_string();
            settings.smtp =
                SmtpConfig { host, port: address.port(), timeout_seconds: 5, ..Default::default() };
        }
        let (profiles, ingestion) = (ground.profiles.clone(), Ingestion::default());
        let office = Office::default();
        let services = vec![
            Service::new("ingestion")
                .grpc(profiles.clone())
                .grpc(ingestion.clone())
                .grpc(office.server())
                .feed(feed.clone()),
            perennial_notification::service(settings, &host).await.unwrap(),
        ];
        let process = Process::bind(&config, host.clone(), services).await.unwrap();
        let http = process.http_address().unwrap();
        let stop = CancellationToken::new();
        let transport = host.mesh.transport("perennial.notification.v1.NotificationService");
        let client = NotificationServiceClient::new(transport);
        let mut running = JoinSet::new();
        running.spawn(process.serve(stop.clone()));
        let world = Self {
            ground,
            client,
            host,
            profiles,
            ingestion,
            office,
            http,
            feed,
            store,
            stop,
            process: running,
        };
        // Once a port answers, the background loops are known to the bell.
        world.get("GET", "/u/x", "").await;
        world
    }

    pub async fn end(mut self) -> Ground {
        self.stop.cancel();
        self.process.join_next().await.unwrap().unwrap().unwrap();
        self.ground
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
        let to = from_micros(micros(self.now()) + by);
        self.host.clock.simulation().unwrap().advance(to);
        self.host.bell.clock_moved();
        self.settle().await;
    }

    /// A profile with this address.
    pub fn person(&self, email: &str) -> ProfileId {
        let profile = ProfileId::new(self.now());
        let name = format!("workspaces/main/profiles/{profile}");
        let contact = Contact {
            name: name.clone(),
            current_name: name.clone(),
            email: email.to_owned(),
            traits_json: r#"{"first_name":"Ana","email":"x"}"#.to_owned(),
            time_zone: "Europe/Madrid".to_owned(),
            ..Contact::default()
        };
        self.profiles.0.lock().unwrap().insert(name, contact);
        profile
    }

    /// A profile that agreed to marketing.
    pub async fn subscriber(&self, email: &str) -> ProfileId {
        let profile = self.person(email);
        self.consent(profile, true).await;
        profile
    }

    pub async fn consent(&self, profile: ProfileId, granted: bool) {
        let now = self.now();
        let change = ConsentChange {
            channel: Channel::Email,
            purpose: Purpose::Marketing,
            granted,
            source: "identify".to_owned(),
        };
        let fact = Fact {
            id: new_id(now),
            name: "Identify".to_owned(),
            at: now,
            properties: Properties::new(),
            kind: FactKind::Consent(change),
        };
        self.append(profile, facts::KIND, facts::encode(&fact).encode_to_vec().into()).await;
    }

    /// Erases a person who was this profile: nobody knows them any more, and the office knows their address.
    pub async fn erase(&self, profile: ProfileId, email: &str) {
        self.profiles.0.lock().unwrap().remove(&format!("workspaces/main/profiles/{profile}"));
        let (channel, address) = ("email".to_owned(), email.to_owned());
        *self.office.addresses.lock().unwrap() = vec![ErasedAddress { channel, address }];
        let erasure = Erasure { id: new_id(self.now()) };
        self.append(profile, Erasure::KIND, erasure.encode()).await;
    }

    async fn append(&self, profile: ProfileId, kind: &'static str, payload: prost::bytes::Bytes) {
        let workspace = Workspace::parse("main").unwrap();
        let record = NewRecord { workspace, profile, kind, historical: false, correction: false, payload };
        let tx = self.store.write().await.unwrap();
        let appended = self.feed.append(&tx, vec![record]).await.unwrap();
        Store::commit(tx).await.unwrap();
        self.feed.announce(appended);
        self.settle().await;
    }

    pub async fn template(
        &mut self,
        definition: &str,
    ) -> Result<wire::UpdateTemplateResponse, tonic::Status> {
        let template = wire::Template {
            name: "workspaces/main/templates/hello".to_owned(),
            definition: format!("kind: Template\nname: hello\n{definition}"),
            ..Default::default()
        };
        let request = wire::UpdateTemplateRequest {
            template: Some(template),
            allow_missing: true,
            validate_only: false,
        };
        self.client.update_template(request).await.map(tonic::Response::into_inner)
    }

    pub async fn plain_template(&mut self) {
        let html =
            "html: '<a href=\"https://linden.example/cart?a=1&amp;b=2\">Hi {{ profile.first_name }}</a>'";
        self.template(&format!("subject: Hi\ntext: Hi {{{{ profile.first_name }}}}\n{html}\n"))
            .await
            .unwrap();
    }

    pub fn message(&self, profile: ProfileId) -> wire::MessageRequest {
        wire::MessageRequest {
            message_id: Uuid::now_v7().to_string(),
            decision_id: Uuid::now_v7().to_string(),
            profile: format!("workspaces/main/profiles/{profile}"),
            campaign: "welcome".to_owned(),
            step: "first".to_owned(),
            occurrence: "1".to_owned(),
            channel: "email".to_owned(),
            purpose: "marketing".to_owned(),
            template: "hello".to_owned(),
            ..Default::default()
        }
    }

    pub async fn send(&mut self, messages: Vec<wire::MessageRequest>) -> Vec<(String, String)> {
        let request = wire::SendMessagesRequest { parent: "workspaces/main".to_owned(), messages };
        let receipts = self.client.send_messages(request).await.unwrap().into_inner().receipts;
        self.settle().await;
        receipts.into_iter().map(|it| (it.outcome, it.reason)).collect()
    }

    pub async fn listed(&mut self) -> Vec<wire::Message> {
        let request =
            wire::ListMessagesRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        self.client.list_messages(request).await.unwrap().into_inner().messages
    }

    /// The state and reason of a message.
    pub async fn state(&mut self, id: &str) -> (String, String) {
        let found = self.listed().await.into_iter().find(|it| it.message_id == id).unwrap();
        (found.state, found.reason)
    }

    pub async fn summary(&mut self) -> BTreeMap<String, i64> {
        let request =
            wire::SummarizeMessagesRequest { parent: "workspaces/main".to_owned(), ..Default::default() };
        let counts = self.client.summarize_messages(request).await.unwrap().into_inner().counts;
        counts.into_iter().map(|it| (it.state, it.count)).collect()
    }

    /// Files in the maildir, by name.
    pub fn mail(&self) -> BTreeMap<String, String> {
        let Ok(entries) = std::fs::read_dir(self.ground.maildir.join("new")) else { return BTreeMap::new() };
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.unwrap();
            let text = std::fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        };
        entries.map(read).collect()
    }

    /// The path of the link that begins with `marker` in the HTML or the headers of a message.
    pub fn link(&self, id: &str, marker: &str) -> String {
        let mail = self.mail().remove(id).unwrap();
        let parsed = mail_parser::MessageParser::default().parse(mail.as_bytes()).unwrap();
        let html = parsed.body_html(0).map(|it| it.into_owned()).unwrap_or_default();
        let all = format!("{mail}{html}");
        let whole = format!("https://mail.linden.example{marker}");
        // The last place: in the decoded HTML, or else the header.
        let start = all.rfind(&whole).unwrap() + "https://mail.linden.example".len();
        all[start..].split(['>', '"', '&']).next().unwrap().to_owned()
    }

    pub async fn http(&self, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        self.settle().await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn get(&self, method: &str, path: &str, agent: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
        );
        self.http(&request).await
    }

    pub async fn post(&self, path: &str, kind: &str, body: &str) -> String {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.http(&request).await
    }

    /// Events that reached ingestion, by name.
    pub fn events(&self, name: &str) -> Vec<Event> {
        self.ingestion.0.lock().unwrap().iter().filter(|it| it.event == name).cloned().collect()
    }
}
