//! Segments and lifecycle stages, live and exact in time.
//!
//! A rule is a line of CEL over what is known of a profile. It is type-checked once and then evaluated for a profile
//! whenever something it looks at changes, or at the exact instant at which time alone changes its answer.

mod app;
mod config;
mod domain;
mod error;
mod grpc;
mod metrics;
mod store;
mod worker;

use anyhow::Context;
use perennial_api::profile::v1::profile_service_client::ProfileServiceClient;
use perennial_api::segmentation::v1::segmentation_service_server::SegmentationServiceServer;
use perennial_feed::{Feed, FeedKind, Reader, ReaderParts};
use perennial_runtime::{Host, Service};
use perennial_store::Store;
use std::sync::Arc;

pub use config::Config;

use app::App;
use worker::Segmentation;

/// The name of this service, of its feed and of its database.
const NAME: &str = "segmentation";

/// This service, ready to run in a process.
///
/// # Errors
/// If its database cannot be opened.
pub async fn service(config: Config, host: &Host) -> anyhow::Result<Service> {
    let store = Store::open(&config.database, NAME, &store::schema::migrations()).await?;
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let feed = Feed::open(NAME, FeedKind::Derived, store.clone(), clock.clone(), bell.clone()).await?;
    let stages = domain::default_stages(config.currency).context("the default stages")?;
    let profiles = host.mesh.transport("perennial.profile.v1.ProfileService");
    let reader = Reader::new(ReaderParts {
        fold: Segmentation::new(config.currency, stages)?,
        feed: feed.clone(),
        store: store.clone(),
        sources: vec![host.mesh.source("ingestion"), host.mesh.source("scoring")],
        facts: Some(profiles.clone()),
        receipts: Some(host.mesh.transport("perennial.profile.v1.PrivacyService")),
        clock: clock.clone(),
        bell: bell.clone(),
    });
    let app = Arc::new(App {
        store,
        feed: feed.clone(),
        reader: reader.clone(),
        clock,
        bell: bell.clone(),
        config,
        cache: host.cache.clone(),
        profiles: perennial_rpc::client!(ProfileServiceClient::new(profiles)),
    });
    let listener = bell.listener("segmentation backfill", [App::backfill_topic()]).beside_others(&app.store);
    let backfill = app.clone();
    let (cache, own) = (host.cache.clone(), feed.clone());
    Ok(Service::new(NAME)
        .grpc(perennial_rpc::server!(SegmentationServiceServer::new(grpc::Edge::new(app))))
        .feed(feed)
        .reader(reader)
        .task("cache", move |stop| async move {
            worker::forget::run(&cache, &own, &bell, &stop).await;
            Ok(())
        })
        .task("backfill", move |stop| async move {
            backfill.backfill(listener, stop).await;
            Ok(())
        }))
}
