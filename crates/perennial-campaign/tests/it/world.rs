//! A process with campaign, the feeds it reads, and the peers it calls, on its own database and clock.

use perennial_api::campaign::v1 as wire;
use perennial_api::campaign::v1::campaign_service_client::CampaignServiceClient;
use perennial_api::ingestion::v1::ProfileUpdated;
use perennial_api::scoring::v1::ScoreUpdated;
use perennial_api::segmentation::v1::StageChanged;
use perennial_feed::{
    FEED_MIGRATIONS, FOLD_MIGRATIONS, Feed, FeedKind, Merge, NewRecord, OUTBOX_MIGRATIONS, Reader,
    ReaderParts,
};
use perennial_rpc::{Transport, facts};
use perennial_runtime::{ClockConfig, Config, Host, Process, Service};
use perennial_store::{DatabaseConfig, Store};
use perennial_testing::{TestDatabase, quiet};
use perennial_types::{
    CartLine, Channel, ConsentChange, Currency, Fact, FactKind, MergeId, OrderChange, OrderPlaced, ProfileId,
    Properties, Purpose, Timestamp, Workspace, from_micros, micros, new_id,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::peers::{Echo, Taken};
use crate::wires::{Ingestion, Loyalty, Notification, Profiles};

pub const START: &str = "2026-03-02T09:00:00Z";
pub const HOUR: i64 = 3_600_000_000;
pub const DAY: i64 = 24 * HOUR;

pub struct World {
    pub client: CampaignServiceClient<Transport>,
    pub host: Host,
    pub taken: Taken,
    feed: Feed,
    store: Store,
    _database: TestDatabase,
    stop: CancellationToken,
    process: JoinSet<anyhow::Result<()>>,
}

/// A world on each database there is.
pub async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for database in perennial_testing::databases() {
        worlds.push(world(database).await);
    }
    worlds
}

async fn world(held: TestDatabase) -> World {
    let database = held.config.clone();
    let any = "127.0.0.1:0".parse().unwrap();
    let clock = ClockConfig { simulated_from: Some(START.parse().unwrap()) };
    let config = Config { listen: any, http_listen: any, clock, ..Config::default() };
    let names = ["ingestion", "scoring", "segmentation", "campaign", "notification", "loyalty"];
    let host = Host::new(&config, &names).unwrap();
    let store = Store::open(&database, "ingestion", &FEED_MIGRATIONS).await.unwrap();
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let feed = Feed::open("ingestion", FeedKind::Source, store.clone(), clock, bell).await.unwrap();
    let taken = Taken::default();
    let campaign = perennial_campaign::Config { database: database.clone(), ..Default::default() };
    let services = vec![
        Service::new("ingestion")
            .feed(feed.clone())
            .grpc(perennial_testing::Office::default().server())
            .grpc(Profiles(taken.clone()))
            .grpc(Ingestion(taken.clone())),
        echo(&host, &database, "scoring", &["ingestion"]).await,
        echo(&host, &database, "segmentation", &["ingestion", "scoring"]).await,
        perennial_campaign::service(campaign, &host).await.unwrap(),
        Service::new("notification").grpc(Notification(taken.clone())),
        Service::new("loyalty").grpc(Loyalty(taken.clone())),
    ];
    let process = Process::bind(&config, host.clone(), services).await.unwrap();
    let stop = CancellationToken::new();
    let client = CampaignServiceClient::new(host.mesh.transport("perennial.campaign.v1.CampaignService"));
    let mut running = JoinSet::new();
    running.spawn(process.serve(stop.clone()));
    World { client, host, taken, feed, store, _database: held, stop, process: running }
}

async fn echo(host: &Host, database: &DatabaseConfig, name: &'static str, sources: &[&str]) -> Service {
    let migrations = [&FEED_MIGRATIONS[..], &FOLD_MIGRATIONS[..], &OUTBOX_MIGRATIONS[..]].concat();
    let store = Store::open(database, name, &migrations).await.unwrap();
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let feed = Feed::open(name, FeedKind::Derived, store.clone(), clock.clone(), bell.clone()).await.unwrap();
    let sources = sources.iter().map(|it| host.mesh.source(it)).collect();
    let (fold, feed, (facts, receipts)) = (Echo(name), feed, (None, None));
    let parts = ReaderParts { fold, feed: feed.clone(), store, sources, facts, receipts, clock, bell };
    Service::new(name).feed(feed).reader(Reader::new(parts))
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
        quiet(&self.host.bell).await;
    }

    /// Lets time pass, stopping at every instant at which something is due.
    pub async fn advance(&self, by: i64) {
        self.settle().await;
        let until = from_micros(micros(self.now()) + by);
        loop {
            let next = self.host.bell.next_due().filter(|it| *it < until).unwrap_or(until).max(self.now());
            self.host.clock.simulation().unwrap().advance(next);
            self.host.bell.clock_moved();
            self.settle().await;
            if self.now() >= until {
                return;
            }
        }
    }

    /// Puts a campaign live.
    pub async fn live(&mut self, definition: &str) {
        let name = definition.lines().find_map(|it| it.strip_prefix("name: ")).unwrap();
        let campaign = wire::Campaign {
            name: format!("workspaces/main/campaigns/{name}"),
            definition: definition.to_owned(),
            state: wire::campaign::State::Live.into(),
            ..Default::default()
        };
        let request = wire::UpdateCampaignRequest {
            campaign: Some(campaign),
            allow_missing: true,
            validate_only: false,
        };
        self.client.update_campaign(request).await.unwrap();
    }

    pub async fn explain(&mut self, profile: ProfileId, campaign: &str) -> Vec<wire::Decision> {
        let request = wire::ExplainDecisionRequest {
            profile: format!("workspaces/main/profiles/{profile}"),
            campaign: campaign.to_owned(),
            page_size: 0,
        };
        self.client.explain_decision(request).await.unwrap().into_inner().entries
    }

    pub async fn report(&mut self, campaign: &str) -> wire::CampaignReport {
        let name = format!("workspaces/main/campaigns/{campaign}");
        self.client.get_campaign_report(wire::GetCampaignReportRequest { name }).await.unwrap().into_inner()
    }

    /// Templates of the messages that notification took, in order.
    pub fn templates(&self) -> Vec<String> {
        self.taken.look().messages.iter().map(|it| it.template.clone()).collect()
    }

    pub async fn append(&self, records: Vec<NewRecord>) {
        for record in records {
            let tx = self.store.write().await.unwrap();
            let appended = self.feed.append(&tx, vec![record]).await.unwrap();
            Store::commit(tx).await.unwrap();
            self.feed.announce(appended);
        }
        self.settle().await;
    }

    /// A new profile in Madrid with an e-mail address; `key` decides on holdouts.
    pub async fn profile(&self, key: &str) -> ProfileId {
        let profile = ProfileId::new(self.now());
        let told = ProfileUpdated {
            draw_key: key.to_owned(),
            time_zone: "Europe/Madrid".to_owned(),
            reachable: vec!["email".to_owned()],
            identified: true,
            ..Default::default()
        };
        self.append(vec![record(profile, "profile", &told)]).await;
        profile
    }

    pub async fn told(&self, profile: ProfileId, name: &str, kind: FactKind) {
        self.told_with(profile, name, kind, Properties::new()).await;
    }

    pub async fn told_with(&self, profile: ProfileId, name: &str, kind: FactKind, properties: Properties) {
        self.append(vec![self.fact(profile, name, kind, properties)]).await;
    }

    pub fn fact(&self, profile: ProfileId, name: &str, kind: FactKind, properties: Properties) -> NewRecord {
        let now = self.now();
        let fact = Fact { id: new_id(now), name: name.to_owned(), at: now, properties, kind };
        record(profile, facts::KIND, &facts::encode(&fact))
    }

    /// Many customers at once, each with a key, who consent, are scored at 100.00 in 90 days, trigger `Go`, and then order
    /// for so much.
    pub async fn crowd(&self, customers: impl Iterator<Item = (String, i64)>) {
        let mut steps: [Vec<NewRecord>; 5] = Default::default();
        for (n, (draw_key, revenue)) in customers.enumerate() {
            let profile = ProfileId::new(self.now());
            let reachable = vec!["email".to_owned()];
            let told = ProfileUpdated { draw_key, reachable, identified: true, ..Default::default() };
            steps[0].push(record(profile, "profile", &told));
            steps[1].push(self.fact(profile, "Identify", FactKind::Consent(marketing()), Properties::new()));
            steps[2].push(record(profile, "echo_score", &score(0, 10_000)));
            steps[3].push(self.fact(profile, "Go", FactKind::Tracked, Properties::new()));
            let placed = FactKind::Order(OrderChange::Placed(order(&n.to_string(), revenue, revenue / 2)));
            steps[4].push(self.fact(profile, "Order Completed", placed, Properties::new()));
        }
        for step in steps {
            self.append(step).await;
        }
    }

    pub async fn consents(&self, profile: ProfileId) {
        self.told(profile, "Identify", FactKind::Consent(marketing())).await;
    }

    /// What notification and loyalty tell of a message that came to nothing.
    pub async fn comes_back(&self, profile: ProfileId, decision: &str, event: &str, reason: &str) {
        let properties =
            [("decision_id".to_owned(), decision.into()), ("reason".to_owned(), reason.into())].into();
        self.told_with(profile, event, FactKind::Tracked, properties).await;
    }

    pub async fn orders(&self, profile: ProfileId, id: &str, revenue: i64) {
        self.orders_at(profile, id, revenue, revenue / 2).await;
    }

    pub async fn orders_at(&self, profile: ProfileId, id: &str, revenue: i64, profit: i64) {
        let placed = OrderChange::Placed(order(id, revenue, profit));
        self.told(profile, "Order Completed", FactKind::Order(placed)).await;
    }

    pub async fn cart(&self, profile: ProfileId, id: &str, lines: &[(&str, i64)]) {
        let lines = lines
            .iter()
            .map(|(name, price)| CartLine {
                product_id: (*name).to_owned(),
                name: Some((*name).to_owned()),
                quantity: 1,
                price: *price,
            })
            .collect();
        self.told(profile, "Product Added", FactKind::CartChanged { cart_id: id.to_owned(), lines }).await;
    }

    pub async fn scored(&self, profile: ProfileId, overdue: i64, profit_90d: i64) {
        self.append(vec![record(profile, "echo_score", &score(overdue, profit_90d))]).await;
    }

    pub async fn staged(&self, profile: ProfileId, from: &str, to: &str) {
        let stage =
            StageChanged { from: from.to_owned(), to: to.to_owned(), since_micros: micros(self.now()) };
        self.append(vec![record(profile, "echo_stage", &stage)]).await;
    }

    pub async fn merge(&self, from: ProfileId, into: ProfileId) {
        let merge = Merge { id: MergeId(new_id(self.now())), from, into };
        let half = |profile, kind| NewRecord {
            workspace: Workspace::parse("main").unwrap(),
            profile,
            kind,
            historical: false,
            correction: false,
            payload: merge.encode(),
        };
        self.append(vec![half(from, Merge::AWAY), half(into, Merge::INTO)]).await;
    }
}

fn marketing() -> ConsentChange {
    let (channel, purpose) = (Channel::Email, Purpose::Marketing);
    ConsentChange { channel, purpose, granted: true, source: "identify".to_owned() }
}

fn order(id: &str, revenue: i64, profit: i64) -> OrderPlaced {
    OrderPlaced {
        order_id: id.to_owned(),
        currency: Currency::EUR,
        revenue,
        discount: 0,
        profit,
        cost_known_per_mille: 1_000,
        coupon: None,
        lines: vec![],
    }
}

fn score(overdue: i64, profit_90d: i64) -> ScoreUpdated {
    ScoreUpdated {
        model: "bg-nbd@1".to_owned(),
        p_alive: 0.6,
        expected_profit_90d_minor: profit_90d,
        clv_12m_minor: profit_90d * 3,
        overdue_micros: overdue,
        ..Default::default()
    }
}

fn record(profile: ProfileId, kind: &'static str, payload: &impl prost::Message) -> NewRecord {
    NewRecord {
        workspace: Workspace::parse("main").unwrap(),
        profile,
        kind,
        historical: false,
        correction: false,
        payload: payload.encode_to_vec().into(),
    }
}

/// A key that the holdout of this campaign takes, or leaves alone.
pub fn key(campaign: &str, share: f64, held_out: bool) -> String {
    let drawn =
        |it: &String| (perennial_types::hash_draw(&format!("{campaign}:holdout"), it) < share) == held_out;
    (0..).map(|it| format!("key-{it}")).find(drawn).unwrap()
}
