//! Customer value, kept current: RFM, predictive CLV with intervals, P(alive), when the next order is to be expected,
//! and a registry of the models behind them.
//!
//! Folds the orders on ingestion's feed into a state for each customer and appends `score_updated` to its own feed
//! whenever a score changes. The mathematics is perennial-clv's; what is decided here is which orders count, when a
//! model may serve, and what is published with it.

mod app;
mod config;
mod domain;
mod error;
mod grpc;
mod metrics;
mod store;
mod worker;

use std::sync::Arc;

use perennial_api::scoring::v1::scoring_service_server::ScoringServiceServer;
use perennial_feed::{
    FEED_MIGRATIONS, FOLD_MIGRATIONS, Feed, FeedKind, OUTBOX_MIGRATIONS, Reader, ReaderParts,
};
use perennial_runtime::{Host, Service};
use perennial_store::Store;

pub use config::Config;

use crate::app::{App, Runner};
use crate::grpc::Edge;
use crate::worker::{Fitter, ScoreFold};

/// The service's short name.
pub const NAME: &str = "scoring";

/// Opens the service: its database, its feed and reader, its gRPC routes and its fits on schedule.
///
/// # Errors
/// If a setting is wrong or the database cannot be opened.
pub async fn service(config: Config, host: &Host) -> anyhow::Result<Service> {
    let settings = Arc::new(config.settings().map_err(anyhow::Error::msg)?);
    let migrations =
        [&FEED_MIGRATIONS[..], &FOLD_MIGRATIONS[..], &OUTBOX_MIGRATIONS[..], &store::MIGRATIONS[..]].concat();
    let store = Store::open(&config.database, NAME, &migrations).await?;
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let feed = Feed::open(NAME, FeedKind::Derived, store.clone(), clock.clone(), bell.clone()).await?;
    let reader = Reader::new(ReaderParts {
        fold: ScoreFold::new(settings.clone()),
        feed: feed.clone(),
        store: store.clone(),
        sources: vec![host.mesh.source("ingestion")],
        facts: Some(host.mesh.transport("perennial.profile.v1.ProfileService")),
        receipts: Some(host.mesh.transport("perennial.profile.v1.PrivacyService")),
        clock: clock.clone(),
        bell: bell.clone(),
    });
    let schedules = settings.schedule.interval.is_some();
    let (app, jobs) = App::new(store, reader.clone(), feed.clone(), clock, bell, settings);
    let app = Arc::new(app);
    let runner = Runner::new(app.clone(), jobs);
    let server =
        perennial_rpc::server!(ScoringServiceServer::new(Edge::new(app.clone(), host.cache.clone())));
    let mut service = Service::new(NAME).grpc(server).feed(feed).reader(reader).task(
        "fits asked for",
        move |stop| async move {
            runner.run(stop).await;
            Ok(())
        },
    );
    if schedules {
        service = service.task("fits", move |stop| {
            let fitter = Fitter::new(app);
            async move {
                fitter.run(stop).await;
                Ok(())
            }
        });
    }
    Ok(service)
}
