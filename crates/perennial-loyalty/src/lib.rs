//! Loyalty: offers, coupons bound to one customer, and the double-entry ledger behind them.
//!
//! Every unit given is a posting between accounts and nothing is ever edited; limits and budgets are floors of accounts
//! that hold in the posting's own transaction. Redemptions seen on orders are facts: what breaks a rule is recorded as
//! an exception with its cost.

mod app;
mod config;
pub mod domain;
mod error;
mod grpc;
mod metrics;
mod store;
mod worker;

use perennial_api::loyalty::v1::loyalty_service_server::LoyaltyServiceServer;
use perennial_feed::{
    FEED_MIGRATIONS, FOLD_MIGRATIONS, Feed, FeedKind, OUTBOX_MIGRATIONS, Reader, ReaderParts,
};
use perennial_runtime::{Host, Service};
use perennial_store::{Migration, Store};

pub use config::Config;

/// The service's short name.
pub const NAME: &str = "loyalty";

/// The whole schema.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    let foundation = FEED_MIGRATIONS.into_iter().chain(FOLD_MIGRATIONS).chain(OUTBOX_MIGRATIONS);
    foundation.chain(store::MIGRATIONS).collect()
}

/// The service, ready to run in the process of `host`.
///
/// # Errors
/// If the database cannot be opened.
pub async fn service(config: Config, host: &Host) -> anyhow::Result<Service> {
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let store = Store::open(&config.database, NAME, &migrations()).await?;
    let feed = Feed::open(NAME, FeedKind::Derived, store.clone(), clock.clone(), bell.clone()).await?;
    let app = app::App::new(store.clone(), clock.clone(), bell.clone(), config.currency);
    let reader = Reader::new(ReaderParts {
        fold: worker::Orders,
        feed: feed.clone(),
        store: store.clone(),
        sources: vec![host.mesh.source("ingestion")],
        facts: Some(host.mesh.transport("perennial.profile.v1.ProfileService")),
        receipts: Some(host.mesh.transport("perennial.profile.v1.PrivacyService")),
        clock,
        bell: bell.clone(),
    });
    let edge = grpc::Edge::new(app.clone());
    let service = Service::new(NAME)
        .grpc(perennial_rpc::server!(LoyaltyServiceServer::new(edge)))
        .feed(feed)
        .reader(reader)
        .tasks(move |stop| {
            let listener = bell.listener("loyalty coupons", [app::App::topic()]).beside_others(&store);
            vec![("loyalty coupons".to_owned(), Box::pin(worker::end_coupons(app, listener, stop.clone())))]
        });
    Ok(service)
}
