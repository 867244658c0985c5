//! A process with loyalty and a feed of facts, on its own database and clock.

use std::collections::BTreeMap;

use perennial_api::loyalty::v1 as wire;
use perennial_api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use perennial_feed::{Erasure, FEED_MIGRATIONS, Feed, FeedKind, Merge, NewRecord};
use perennial_rpc::{Transport, facts};
use perennial_runtime::{ClockConfig, Config, Host, Process, Service};
use perennial_store::Store;
use perennial_testing::{Office, TestDatabase, quiet};
use perennial_types::{
    Currency, Fact, FactKind, MergeId, OrderChange, OrderPlaced, OrderRefunded, ProfileId, Properties,
    Timestamp, Workspace, from_micros, micros, new_id,
};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const START: &str = "2026-03-02T09:00:00Z";
pub const DAY: i64 = 86_400_000_000;

pub struct World {
    pub client: LoyaltyServiceClient<Transport>,
    pub host: Host,
    pub office: Office,
    feed: Feed,
    store: Store,
    pub database: TestDatabase,
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

async fn world(database: TestDatabase) -> World {
    let any = "127.0.0.1:0".parse().unwrap();
    let clock = ClockConfig { simulated_from: Some(START.parse().unwrap()) };
    let config = Config { listen: any, http_listen: any, clock, ..Config::default() };
    let host = Host::new(&config, &["ingestion", "loyalty"]).unwrap();
    let store = Store::open(&database.config, "ingestion", &FEED_MIGRATIONS).await.unwrap();
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let feed = Feed::open("ingestion", FeedKind::Source, store.clone(), clock, bell).await.unwrap();
    let office = Office::default();
    let loyalty = perennial_loyalty::Config { database: database.config.clone(), ..Default::default() };
    let services = vec![
        Service::new("ingestion")
            .grpc(office.server())
            .grpc(perennial_testing::Facts(feed.clone()).server())
            .feed(feed.clone()),
        perennial_loyalty::service(loyalty, &host).await.unwrap(),
    ];
    let process = Process::bind(&config, host.clone(), services).await.unwrap();
    let http = process.http_address().unwrap();
    let stop = CancellationToken::new();
    let client = LoyaltyServiceClient::new(host.mesh.transport("perennial.loyalty.v1.LoyaltyService"));
    let mut running = JoinSet::new();
    running.spawn(process.serve(stop.clone()));
    let world = World { client, host, office, feed, store, database, stop, process: running };
    // Once a port answers, the background loops are known to the bell.
    let mut stream = tokio::net::TcpStream::connect(http).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    world
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

    pub async fn advance(&self, by: i64) {
        self.settle().await;
        let to = from_micros(micros(self.now()) + by);
        self.host.clock.simulation().unwrap().advance(to);
        self.host.bell.clock_moved();
        self.settle().await;
    }

    pub async fn offer(&mut self, extra: &str) {
        let definition = format!("kind: Offer\nname: ten\npercent: 10\ncost: 5.00 EUR\nvalid: 7d\n{extra}");
        let offer =
            wire::Offer { name: "workspaces/main/offers/ten".to_owned(), definition, ..Default::default() };
        let request =
            wire::UpdateOfferRequest { offer: Some(offer), allow_missing: true, validate_only: false };
        self.client.update_offer(request).await.unwrap();
    }

    pub fn wish(&self, profile: ProfileId) -> wire::CouponRequest {
        wire::CouponRequest {
            issue_id: Uuid::now_v7().to_string(),
            offer: "ten".to_owned(),
            profile: format!("workspaces/main/profiles/{profile}"),
            campaign: "ladder".to_owned(),
            ..Default::default()
        }
    }

    pub async fn issue(&mut self, coupons: Vec<wire::CouponRequest>) -> Vec<wire::CouponReceipt> {
        let request = wire::IssueCouponsRequest { parent: "workspaces/main".to_owned(), coupons };
        self.client.issue_coupons(request).await.unwrap().into_inner().receipts
    }

    pub async fn coupon(&mut self, code: &str) -> wire::Coupon {
        let name = format!("workspaces/main/coupons/{code}");
        self.client.get_coupon(wire::GetCouponRequest { name }).await.unwrap().into_inner()
    }

    pub async fn totals(&mut self) -> wire::OfferTotals {
        let request = wire::SummarizeLedgerRequest { parent: "workspaces/main".to_owned() };
        self.client.summarize_ledger(request).await.unwrap().into_inner().offers.remove(0)
    }

    /// What an audit of the books says.
    pub async fn audit(&mut self) -> wire::AuditLedgerResponse {
        let request = wire::AuditLedgerRequest { parent: "workspaces/main".to_owned() };
        self.client.audit_ledger(request).await.unwrap().into_inner()
    }

    /// Nothing in the books disagrees.
    pub async fn audited(&mut self) {
        let audit = self.audit().await;
        assert_eq!(audit.problems, Vec::<String>::new());
        assert!(audit.account_count > 0 && audit.entry_count > 0);
    }

    pub async fn append(&self, records: Vec<NewRecord>) {
        // On PostgreSQL a transaction locks one partition's head.
        let mut by_partition: BTreeMap<u16, Vec<NewRecord>> = BTreeMap::new();
        for it in records {
            by_partition.entry(it.profile.partition(perennial_feed::PARTITIONS)).or_default().push(it);
        }
        for records in by_partition.into_values() {
            let tx = self.store.write().await.unwrap();
            let appended = self.feed.append(&tx, records).await.unwrap();
            Store::commit(tx).await.unwrap();
            self.feed.announce(appended);
        }
    }

    pub async fn told(&self, profile: ProfileId, change: OrderChange) {
        let now = self.now();
        let fact = Fact {
            id: new_id(now),
            name: "Order".to_owned(),
            at: now,
            properties: Properties::new(),
            kind: FactKind::Order(change),
        };
        let payload = facts::encode(&fact).encode_to_vec().into();
        self.append(vec![record(profile, facts::KIND, payload)]).await;
        self.settle().await;
    }

    /// Erases a person who was this profile.
    pub async fn erase(&self, profile: ProfileId) {
        let erasure = Erasure { id: new_id(self.now()) };
        self.append(vec![record(profile, Erasure::KIND, erasure.encode())]).await;
        self.settle().await;
    }

    pub async fn merge(&self, from: ProfileId, into: ProfileId) {
        let merge = Merge { id: MergeId(new_id(self.now())), from, into };
        let payload = merge.encode();
        self.append(vec![record(from, Merge::AWAY, payload.clone()), record(into, Merge::INTO, payload)])
            .await;
        self.settle().await;
    }
}

fn record(profile: ProfileId, kind: &'static str, payload: prost::bytes::Bytes) -> NewRecord {
    let workspace = Workspace::parse("main").unwrap();
    NewRecord { workspace, profile, kind, historical: false, correction: false, payload }
}

pub fn placed(order: &str, coupon: &str, discount: i64) -> OrderChange {
    OrderChange::Placed(OrderPlaced {
        order_id: order.to_owned(),
        currency: Currency::EUR,
        revenue: 5_000,
        discount,
        profit: 2_000,
        cost_known_per_mille: 0,
        coupon: Some(coupon.to_owned()),
        lines: vec![],
    })
}

pub fn refunded(order: &str) -> OrderChange {
    OrderChange::Refunded(OrderRefunded { order_id: order.to_owned(), amount: None })
}

pub fn order(code: &str, order: &str, discount: i64) -> wire::CouponOrder {
    wire::CouponOrder {
        code: code.to_owned(),
        order_id: order.to_owned(),
        discount_minor: discount,
        ..Default::default()
    }
}
