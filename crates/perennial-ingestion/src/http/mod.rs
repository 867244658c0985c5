//! The Segment wire. Whatever a client's library does with an answer decides what we may answer: it counts a redirect as
//! success, and drops what it is told is wrong. So nothing is ever redirected; a fault of ours is 503, never 401; and a
//! batch with some bad events is a success, whose bad ones are listed with their reasons.

mod answer;
mod auth;
mod body;
mod settings;

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use http::Method;

use crate::app::{App, Batch, Sheet};
use crate::domain::call::CallKind;
use crate::domain::intake::{Envelope, call_of_path};
use answer::{fault, nothing_here, preflight, success, unauthorised, unusable};

/// The routes of the Segment wire.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/{word}", any(receive))
        .route("/m", any(own_metrics))
        .route("/api/public/apps/{word}", any(receive))
        .route("/v1/projects/{key}/settings", get(settings::get).options(|| async { preflight() }))
        .with_state(app)
}

/// The browser library's own metrics: taken and dropped.
async fn own_metrics(request: Request) -> Response {
    if request.method() == Method::OPTIONS { preflight() } else { success() }
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
    if request.method() == Method::OPTIONS {
        return preflight();
    }
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
    let retries =
        head.headers.get("x-retry-count").and_then(|it| it.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    let parsed = match form {
        Form::Batch => Envelope::batch(&text, retries, app.limits()),
        Form::Single(_) => Envelope::single(&text, retries, app.limits()),
    };
    let envelope = match parsed {
        Ok(envelope) => envelope,
        Err(unread) => return unusable(&unread.to_string()),
    };
    let kind = match form {
        Form::Batch => None,
        Form::Single(kind) => Some(kind),
    };
    let keys = auth::Keys::of(&head.headers, query.as_deref(), envelope.write_key);
    let sorted = match auth::by_workspace(&app, &keys, &envelope).await {
        Ok(sorted) => sorted,
        Err(error) => return fault(&error),
    };
    if sorted.is_empty() {
        return unauthorised();
    }
    for (workspace, items) in sorted {
        let sheets = items.into_iter().map(|json| Sheet { kind, json }).collect();
        let batch = Batch { workspace, sheets, envelope: &envelope, historical: false, trusted: false };
        if let Err(error) = app.ingest(batch).await {
            return fault(&error);
        }
    }
    success()
}
