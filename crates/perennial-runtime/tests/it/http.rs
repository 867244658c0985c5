//! The HTTP port.

use std::net::SocketAddr;
use std::time::Duration;

use perennial_runtime::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Running, config};

/// Status line, headers and body of an answer.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-request-id: abc-1\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn services_share_one_port_with_the_probes() {
    let router = axum::Router::new().route("/v1/hello", axum::routing::get(|| async { "hello" })).route(
        "/v1/panic",
        axum::routing::get(|| async {
            if true {
                panic!("s3cret")
            }
        }),
    );
    let other = axum::Router::new().route("/u/{token}", axum::routing::get(|| async { "bye" }));
    let services = vec![Service::new("ingestion").http(router), Service::new("notification").http(other)];
    let mut config = config();
    config.server.drain_delay = Duration::from_millis(300);
    let running = Running::start(config, services).await;
    let answer = get(running.http, "/v1/hello").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert!(answer.contains("x-request-id: abc-1"), "{answer}");
    assert!(get(running.http, "/u/xyz").await.ends_with("bye"));
    let panicked = get(running.http, "/v1/panic").await;
    assert!(panicked.starts_with("HTTP/1.1 500") && panicked.contains("abc-1"), "{panicked}");
    assert!(!panicked.contains("s3cret"), "{panicked}");
    assert!(get(running.http, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(running.http, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(running.http, "/metrics").await.starts_with("HTTP/1.1 404"));

    running.stop.cancel();
    running.until("", 2).await;
    assert!(get(running.http, "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(get(running.http, "/healthz").await.starts_with("HTTP/1.1 200"));
    running.ended().await.unwrap();
}
