//! Campaigns: journeys over live facts, scores and segments, one arbiter for every contact, and the proof of what
//! they earned.
//!
//! Everything that decides is in `domain`, pure; `worker` feeds it, `sender` carries out what it decided, `grpc` and
//! `app` answer questions about it.

mod app;
mod config;
mod domain;
mod error;
mod grpc;
mod metrics;
mod sender;
mod store;
mod worker;

use std::sync::Arc;

use perennial_api::campaign::v1::campaign_service_server::CampaignServiceServer;
use perennial_api::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use perennial_api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use perennial_api::notification::v1::notification_service_client::NotificationServiceClient;
use perennial_feed::{Feed, FeedKind, Outbox, Reader, ReaderParts};
use perennial_runtime::{Host, Service};
use perennial_store::Store;

pub use config::{Config, ContactConfig};

/// The playbooks that are shipped: file names and contents, campaigns and their templates.
pub use playbooks::PLAYBOOKS;

mod playbooks;

/// The campaign service: its API, its reader of other services' feeds, its sender.
///
/// # Errors
/// If the settings are wrong or the database cannot be opened.
pub async fn service(config: Config, host: &Host) -> anyhow::Result<Service> {
    let policy = config.policy()?;
    let store = Store::open(&config.database, "campaign", &store::migrations()).await?;
    let metrics = metrics::Metrics::new(&opentelemetry::global::meter("perennial.campaign"));
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let feed = Feed::open("campaign", FeedKind::Derived, store.clone(), clock.clone(), bell.clone()).await?;
    let fold = worker::Journeys::new(policy, clock.clone(), metrics.clone());
    let sources = ["ingestion", "scoring", "segmentation"].map(|it| host.mesh.source(it)).to_vec();
    let facts = Some(host.mesh.transport("perennial.profile.v1.ProfileService"));
    let parts = ReaderParts {
        fold,
        feed: feed.clone(),
        store: store.clone(),
        sources,
        facts,
        receipts: Some(host.mesh.transport("perennial.profile.v1.PrivacyService")),
        clock: clock.clone(),
        bell: bell.clone(),
    };
    let reader = Reader::new(parts);
    let outbox = Outbox::new("campaign", store.clone(), clock.clone(), bell.clone());
    let peers = sender::Peers {
        notification: perennial_rpc::client!(NotificationServiceClient::new(
            host.mesh.transport("perennial.notification.v1.NotificationService")
        )),
        loyalty: perennial_rpc::client!(LoyaltyServiceClient::new(
            host.mesh.transport("perennial.loyalty.v1.LoyaltyService")
        )),
    };
    let loyalty = peers.loyalty.clone();
    let sender =
        sender::Sender::new(store.clone(), peers, clock.clone(), outbox.clone(), config.currency, metrics);
    let ingestion = host.mesh.transport("perennial.ingestion.v1.IngestionService");
    let ingestion = sender::ToIngestion(perennial_rpc::client!(IngestionServiceClient::new(ingestion)));
    let publisher = worker::Publisher::new(
        store.clone(),
        feed.clone(),
        reader.clone(),
        clock.clone(),
        bell.clone(),
        config.currency,
    );
    let app = app::App::new(store, clock, bell, outbox.clone(), reader.clone(), loyalty, config.currency);
    let edge = perennial_rpc::server!(CampaignServiceServer::new(grpc::Edge(Arc::new(app))));
    let service = Service::new("campaign").grpc(edge).feed(feed).reader(reader);
    Ok(service.tasks(move |stop| {
        let lifts: perennial_feed::Task =
            ("campaign lifts".to_owned(), Box::pin(publisher.run(stop.clone())));
        vec![
            outbox.task("notification", sender, stop),
            outbox.task(sender::INGESTION, ingestion, stop),
            lifts,
        ]
    }))
}
