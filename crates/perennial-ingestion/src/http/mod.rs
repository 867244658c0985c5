//! The Segment wire. Whatever a client's library does with an answer decides what we may answer: it counts a redirect as
//! success, and drops what it is told is wrong. So nothing is ever redirected; a fault of ours is 503, never 401; and a
//! batch with some bad events is a success, whose bad ones are listed with their reasons.

mod answer;
mod auth;
mod body;
mod settings;

pub use body::decode;

use axum::Router;
use axum::extract::{Path, Query, RawQuery, Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, Method, header};
use std::collections::BTreeMap;
use std::time::Duration;
use tower_http::cors::CorsLayer;

use crate::app::{App, Batch, Sheet};
use crate::domain::call::CallKind;
use crate::domain::intake::{Envelope, call_of_path};
use answer::{fault, nothing_here, success, unauthorised, unusable};

/// The routes of the Segment wire, and of those that carry its events by other paths: a base that ends with a slash,
/// Jitsu's, Dittofeed's and RudderStack's own.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for path in [
        "/v1/{word}",
        "/v1/{word}/",
        "//v1/{word}",
        "/api/public/apps/{word}",
        "/api/s/{word}",
        "/api/s/s2s/{word}",
        "/beacon/v1/{word}",
    ] {
        router = router.route(path, any(receive));
    }
    router
        .route("/m", any(own_metrics))
        .route("/v1/pixel/{word}", get(picture))
        .route("/v1/projects/{key}/settings", get(settings::get))
        .route("/sourceConfig", get(settings::source))
        .route("/sourceConfig/", get(settings::source))
        .layer(for_browsers())
        .with_state(app)
}

/// Any site may send, with any header, and read the answer. Browsers add cookies to what they send while a page closes,
/// and then want the site named; none means anything here, so naming it gives nothing away.
fn for_browsers() -> CorsLayer {
    CorsLayer::very_permissive().expose_headers([header::RETRY_AFTER]).max_age(Duration::from_secs(86_400))
}

/// The browser library's own metrics: taken and dropped.
async fn own_metrics() -> Response {
    success()
}

/// One call by loading a picture: the event is in `data`, as base64 of its JSON. Mails and pages without scripts send so.
async fn picture(
    State(app): State<App>,
    Path(word): Path<String>,
    RawQuery(raw): RawQuery,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let Some(kind) = call_of_path(word.trim_end_matches(".gif")) else { return nothing_here() };
    let Some(text) = query.get("data").and_then(|it| told(it)) else {
        return unusable("data: it is missing or cannot be read: send the event as base64 of its JSON");
    };
    let taken = take(&app, Form::Single(kind), &headers, raw.as_deref(), &text).await;
    if taken.status().is_success() { answer::pixel() } else { taken }
}

/// The JSON that a query's value is: base64 in either alphabet, its plus signs perhaps read as blanks.
fn told(value: &str) -> Option<String> {
    let value = value.replace([' ', '-'], "+").replace('_', "/");
    String::from_utf8(STANDARD_NO_PAD.decode(value.trim_end_matches('=')).ok()?).ok()
}

enum Form {
    Batch,
    Single(CallKind),
}

async fn receive(
    State(app): State<App>,
    Path(word): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let form = match word.as_str() {
        "batch" | "b" | "import" => Form::Batch,
        "m" => return success(),
        word => match call_of_path(word) {
            Some(kind) => Form::Single(kind),
            None => return nothing_here(),
        },
    };
    if request.method() != Method::POST {
        return unusable("use POST");
    }
    let (head, body) = request.into_parts();
    let text = match body::read(body, app.limits().body_bytes).await {
        Ok(text) => text,
        Err(unread) => return unusable(&unread.to_string()),
    };
    take(&app, form, &head.headers, query.as_deref(), &text).await
}

async fn take(app: &App, form: Form, headers: &HeaderMap, query: Option<&str>, text: &str) -> Response {
    let retries =
        headers.get("x-retry-count").and_then(|it| it.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    let parsed = match form {
        Form::Batch => Envelope::batch(text, retries, app.limits()),
        Form::Single(_) => Envelope::single(text, retries, app.limits()),
    };
    let envelope = match parsed {
        Ok(envelope) => envelope,
        Err(unread) => return unusable(&unread.to_string()),
    };
    let kind = match form {
        Form::Batch => None,
        Form::Single(kind) => Some(kind),
    };
    let keys = auth::Keys::of(headers, query, envelope.write_key);
    let sorted = match auth::by_workspace(app, &keys, &envelope).await {
        Ok(sorted) => sorted,
        Err(error) => return fault(&error),
    };
    if sorted.is_empty() {
        return unauthorised();
    }
    for (workspace, items) in sorted {
        let sheets = items.into_iter().map(|json| Sheet { kind, json, first_received: None }).collect();
        let batch = Batch { workspace, sheets, envelope: &envelope, historical: false, trusted: false };
        if let Err(error) = app.ingest(batch).await {
            return fault(&error);
        }
    }
    success()
}
