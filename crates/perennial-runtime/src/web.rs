//! The HTTP port: probes, and what services serve over HTTP, each request with a span, one log line and one measurement.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::FutureExt;
use http::{HeaderValue, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use perennial_rpc::REQUEST_ID;
use tracing::Instrument;
use uuid::Uuid;

use crate::config::ServerConfig;
use crate::fault::panic_message;
use crate::telemetry;

/// Whether this process wants to be sent requests.
pub type Ready = Arc<AtomicBool>;

/// The port's routes: `/healthz` (the process lives), `/readyz` (it wants requests), and the services' own.
pub fn router(services: Router, ready: Ready, config: &ServerConfig) -> Router {
    let around = Around {
        deadline: config.deadline,
        duration: opentelemetry::global::meter("perennial.http")
            .f64_histogram("http.server.duration")
            .with_unit("ms")
            .build(),
    };
    let readyz = move || async move {
        if ready.load(Ordering::SeqCst) {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    };
    // Probes stay outside: they come every few seconds, and say nothing worth a line.
    services
        .layer(from_fn_with_state(around, surround))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
}

#[derive(Clone)]
struct Around {
    deadline: Duration,
    duration: Histogram<f64>,
}

async fn surround(State(around): State<Around>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    // The pattern, not the path: a path may hold a token or an address.
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let given = request.headers().get(REQUEST_ID).and_then(|it| it.to_str().ok());
    let usable = given.filter(|it| (1..=128).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_graphic()));
    let request_id = usable.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
    let id = HeaderValue::from_str(&request_id).ok();
    if let Some(id) = id.clone() {
        request.headers_mut().insert(REQUEST_ID, id);
    }
    let span = tracing::info_span!(
        "http", otel.name = format!("{method} {route}"), otel.kind = "server", http.request.method = %method,
        http.route = route, request_id, http.response.status_code = tracing::field::Empty
    );
    telemetry::trace_in(&span, request.headers());
    let work = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone());
    let mut response = match tokio::time::timeout(around.deadline, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let message = panic_message(&*panic);
            span.in_scope(|| tracing::error!(message, "the handler panicked"));
            told(StatusCode::INTERNAL_SERVER_ERROR, "internal error", &request_id)
        }
        Err(_) => told(StatusCode::SERVICE_UNAVAILABLE, "no answer in time: try again", &request_id),
    };
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let code = response.status().as_u16();
    let duration_ms = began.elapsed().as_secs_f64() * 1_000.0;
    around.duration.record(
        duration_ms,
        &[
            KeyValue::new("http.request.method", method.to_string()),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(code)),
        ],
    );
    span.record("http.response.status_code", code);
    span.in_scope(|| tracing::info!(duration_ms, code, "request answered"));
    response
}

fn told(code: StatusCode, message: &str, request_id: &str) -> Response {
    (code, Json(serde_json::json!({ "error": message, "request_id": request_id }))).into_response()
}
