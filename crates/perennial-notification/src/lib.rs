//! Delivery: templates, channels, the send ledger, suppression.
//!
//! One row per intended message, under keys that let nobody get it twice. `handing` is committed just before the
//! hand-over, so that after any crash what was handed over is known, or shown as unknown. Suppression is owned here and
//! consent projected; both are checked in the transaction that commits the hand-over.

mod app;
mod channel;
mod config;
pub mod domain;
mod error;
mod grpc;
mod http;
mod metrics;
mod store;
mod worker;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use perennial_api::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use perennial_api::notification::v1::notification_service_server::NotificationServiceServer;
use perennial_feed::{
    FEED_MIGRATIONS, FOLD_MIGRATIONS, Feed, FeedKind, OUTBOX_MIGRATIONS, Reader, ReaderParts,
};
use perennial_runtime::{Host, Service};
use perennial_store::{Backend, Migration, Store};
use rand::TryRngCore;

use app::{App, INGESTION, Parts};
use channel::{Maildir, Mailer, Smtp};
use domain::compose::Letterhead;
use domain::links::Signer;
use worker::{Consents, Courier, Lag, ToIngestion};

pub use channel::SmtpConfig;
pub use config::{Config, MaildirConfig, ShopConfig, TransportKind};

/// The service's short name.
pub const NAME: &str = "notification";

/// The whole schema.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    let foundation = FEED_MIGRATIONS.into_iter().chain(FOLD_MIGRATIONS).chain(OUTBOX_MIGRATIONS);
    foundation.chain(store::MIGRATIONS).collect()
}

/// The service, ready to run in the process of `host`.
///
/// # Errors
/// If the database cannot be opened, or the sender is none.
pub async fn service(config: Config, host: &Host) -> anyhow::Result<Service> {
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let store = Store::open(&config.database, NAME, &migrations()).await?;
    let feed = Feed::open(NAME, FeedKind::Derived, store.clone(), clock.clone(), bell.clone()).await?;
    let head = letterhead(&config, &store).await?;
    let app = App::new(Parts {
        store: store.clone(),
        clock: clock.clone(),
        bell: bell.clone(),
        profiles: host.mesh.transport("perennial.profile.v1.ProfileService"),
        head,
    });
    let privacy = host.mesh.transport("perennial.profile.v1.PrivacyService");
    let patience = Duration::from_secs(config.hand_over_timeout_s);
    let patience = (store.backend() == Backend::Postgres).then_some(patience);
    let reader = Reader::new(ReaderParts {
        fold: Consents::new(store.clone(), clock.clone(), app.signer(), privacy.clone()),
        feed: feed.clone(),
        store: store.clone(),
        sources: vec![host.mesh.source("ingestion")],
        facts: Some(host.mesh.transport("perennial.profile.v1.ProfileService")),
        receipts: Some(privacy),
        clock,
        bell: bell.clone(),
    });
    let mailer = match config.transport {
        TransportKind::Maildir => Mailer::Maildir(Maildir::new(config.maildir.folder, config.maildir.sync)),
        TransportKind::Smtp => Mailer::Smtp(Box::new(Smtp::new(config.smtp))),
    };
    let ingestion = host.mesh.transport("perennial.ingestion.v1.IngestionService");
    let ingestion = ToIngestion(perennial_rpc::client!(IngestionServiceClient::new(ingestion)));
    let courier = Courier::new(app.clone(), mailer, Lag::of(reader.clone()), patience);
    let edge = grpc::Edge::new(app.clone());
    let service = Service::new(NAME)
        .grpc(perennial_rpc::server!(NotificationServiceServer::new(edge)))
        .http(http::router(app.clone()))
        .feed(feed)
        .reader(reader)
        .tasks(move |stop| {
            let listener = bell.listener("notification messages", [App::topic()]).beside_others(&store);
            let send: perennial_feed::Task =
                ("notification messages".to_owned(), Box::pin(courier.run(listener, stop.clone())));
            vec![send, app.outbox().task(INGESTION, ingestion, stop)]
        });
    Ok(service)
}

async fn letterhead(config: &Config, store: &Store) -> anyhow::Result<Letterhead> {
    let secret = if config.link_secret.is_empty() {
        let mut fresh = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut fresh)?;
        let tx = store.write().await?;
        let kept = store::secrets::find_or_keep(&tx, "link", &STANDARD_NO_PAD.encode(fresh)).await?;
        Store::commit(tx).await?;
        kept
    } else {
        config.link_secret.expose().to_owned()
    };
    let from = channel::sender(&config.from).map_err(|it| anyhow::anyhow!("notification.from: {it}"))?;
    Ok(Letterhead {
        from,
        public_url: config.public_url.trim_end_matches('/').to_owned(),
        shop_name: config.shop.name.clone(),
        shop_url: config.shop.url.clone(),
        currency: config.shop.currency.clone(),
        signer: Signer::new(secret.as_bytes()),
    })
}
