//! The edge: takes events in over the Segment wire and gRPC, each once; decides whose they are and what they mean; keeps
//! profiles, consent, the catalogue and the durable log that every other service reads.

mod app;
#[doc(hidden)]
pub mod checks;
mod config;
mod domain;
mod error;
mod grpc;
mod http;
mod metrics;
mod store;

use perennial_api::access::v1::access_service_server::AccessServiceServer;
use perennial_api::catalog::v1::catalog_service_server::CatalogServiceServer;
use perennial_api::ingestion::v1::export_service_server::ExportServiceServer;
use perennial_api::ingestion::v1::ingestion_service_server::IngestionServiceServer;
use perennial_api::ingestion::v1::quality_service_server::QualityServiceServer;
use perennial_api::profile::v1::identity_service_server::IdentityServiceServer;
use perennial_api::profile::v1::privacy_service_server::PrivacyServiceServer;
use perennial_api::profile::v1::profile_service_server::ProfileServiceServer;
use perennial_feed::{FEED_MIGRATIONS, Feed, FeedKind};
use perennial_runtime::{Host, Service};
use perennial_store::{Migration, Store};

pub use config::{CatalogConfig, Config, ErasureConfig};

/// The name of the service, its feed and its database.
pub const NAME: &str = "ingestion";

/// Opens the service's database and makes it ready to run in `host`.
///
/// # Errors
/// If the database cannot be opened or migrated.
pub async fn service(config: Config, host: &Host) -> anyhow::Result<Service> {
    let migrations: Vec<Migration> =
        FEED_MIGRATIONS.into_iter().chain(store::migrations::MIGRATIONS).collect();
    let opened = Store::open(&config.database, NAME, &migrations).await?;
    let feed =
        Feed::open(NAME, FeedKind::Source, opened.clone(), host.clock.clone(), host.bell.clone()).await?;
    let app = app::App::new(
        config,
        opened,
        feed.clone(),
        host.clock.clone(),
        host.bell.clone(),
        host.cache.clone(),
        host.keys.clone(),
    )
    .await?;
    let edge = grpc::Edge::new(app.clone());
    let mut service = Service::new(NAME)
        .grpc(perennial_rpc::server!(AccessServiceServer::new(edge.clone())))
        .grpc(perennial_rpc::server!(IngestionServiceServer::new(edge.clone())))
        .grpc(perennial_rpc::server!(QualityServiceServer::new(edge.clone())))
        .grpc(perennial_rpc::server!(ExportServiceServer::new(edge.clone())))
        .grpc(perennial_rpc::server!(ProfileServiceServer::new(edge.clone())))
        .grpc(perennial_rpc::server!(PrivacyServiceServer::new(edge.clone())))
        .grpc(perennial_rpc::server!(IdentityServiceServer::new(edge.clone())))
        .grpc(perennial_rpc::server!(CatalogServiceServer::new(edge)))
        .http(http::router(app.clone()))
        .feed(feed);
    for lane in 0..app.lanes() {
        let app = app.clone();
        service = service.task(format!("lane {lane}"), move |stop| app.run_lane(lane, stop));
    }
    let watching = app.clone();
    service = service.task("catalogue", move |stop| watching.watch_catalogue(stop));
    Ok(service.task("housekeeping", move |stop| app.keep_house(stop)))
}
