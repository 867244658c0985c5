//! What leaves the process for a collector.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use perennial_api::clock::v1::AdvanceClockRequest;
use perennial_api::feed::v1::{Cursor, ReadRequest};
use perennial_feed::{FEED_MIGRATIONS, Feed, FeedKind};
use perennial_runtime::{Service, Telemetry, TelemetryConfig};
use perennial_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{CLOCK, Puppet, Running, config, puppet};

type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector that takes everything, and remembers it.
async fn collector(seen: Seen, stop: CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(move |request: axum::extract::Request| {
        let seen = seen.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            seen.lock().unwrap().push((path, body));
            // An empty message, and the status at once.
            let headers = [("content-type", "application/grpc"), ("grpc-status", "0")];
            (headers, Vec::from([0_u8; 5])).into_response()
        }
    });
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
    });
    format!("http://{address}")
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_collector_as_a_span_and_a_measurement() {
    let (seen, stop) = (Seen::default(), CancellationToken::new());
    let otlp_endpoint = collector(seen.clone(), stop.clone()).await;
    let telemetry = TelemetryConfig { otlp_endpoint, ..TelemetryConfig::default() };
    let telemetry = Telemetry::start(&telemetry).unwrap();
    let config = config();
    let host = perennial_runtime::Host::new(&config, &["ingestion"]).unwrap();
    let database = perennial_testing::sqlite();
    let store = Store::open(&database.config, "ingestion", &FEED_MIGRATIONS).await.unwrap();
    let (clock, bell) = (host.clock.clone(), host.bell.clone());
    let feed = Feed::open("ingestion", FeedKind::Source, store, clock, bell).await.unwrap();
    let services = vec![Puppet::default().service(), Service::new("ingestion").feed(feed)];
    let source = host.mesh.source("ingestion");
    let running = Running::start_on(config, host, services).await;
    running.until("", 1).await;
    // A reader that names itself is heard of by its lag.
    let cursors = vec![Cursor { partition: 3, ..Cursor::default() }];
    let (feed, consumer) = ("ingestion".to_owned(), "a-slow-reader".to_owned());
    let asked = ReadRequest { feed, consumer, cursors, ..ReadRequest::default() };
    source.client.clone().read(asked).await.unwrap();
    let mut client = puppet(running.remote().await);
    client.advance_clock(AdvanceClockRequest::default()).await.unwrap_err();
    running.stop.cancel();
    running.ended().await.unwrap();
    telemetry.stop().await;

    let seen = seen.lock().unwrap();
    let sent = |service: &str, text: &str| {
        seen.iter().any(|(path, body)| path.contains(service) && holds(body, text))
    };
    assert!(sent("TraceService", &format!("{CLOCK}/AdvanceClock")), "the span");
    for text in ["rpc.server.duration", "AdvanceClock", "cache.hits", "feed.lag", "a-slow-reader"] {
        assert!(sent("MetricsService", text), "{text}");
    }
    stop.cancel();
}
