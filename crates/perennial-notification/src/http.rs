//! The pages behind links: unsubscribe, click, open. Looking at a page changes nothing; only a POST does.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use perennial_types::Fault;

use crate::app::{App, Visit};
use crate::domain::template::escape;
use crate::error::Error;

/// A transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// The routes `/u/{token}`, `/c/{token}` and `/o/{token}`.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/u/{token}", get(show_unsubscribe).post(unsubscribe))
        .route("/c/{token}", get(click))
        .route("/o/{token}", get(open))
        .layer(DefaultBodyLimit::max(16 << 10))
        .with_state(app)
}

/// GET and HEAD: the page with the button. Scanners follow every link of a mail, so this must not unsubscribe.
async fn show_unsubscribe(State(app): State<App>, Path(token): Path<String>) -> Response {
    if app.read_unsubscribe(&token).is_none() {
        return unknown();
    }
    page(
        StatusCode::OK,
        "Unsubscribe",
        "<p>You will get no more marketing e-mail from us at this address.</p>\
         <form method=\"post\"><input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">\
         <button type=\"submit\">Unsubscribe</button></form>",
    )
}

/// POST: by the button above, or by a mailbox provider (RFC 8058), url-encoded or multipart. The link alone says who
/// and what, so the body is not looked at.
async fn unsubscribe(State(app): State<App>, Path(token): Path<String>) -> Response {
    let Some(link) = app.read_unsubscribe(&token) else { return unknown() };
    match app.unsubscribe(&link).await {
        Ok(()) => page(StatusCode::OK, "Unsubscribed", "<p>Done: you are unsubscribed.</p>"),
        Err(error) => failed(&error),
    }
}

async fn click(
    State(app): State<App>,
    method: Method,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Response {
    let Some(link) = app.read_click(&token) else { return unknown() };
    let Ok(location) = HeaderValue::from_str(&link.url) else { return unknown() };
    app.clicked(&link, &visit(&method, &headers)).await;
    let headers =
        [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::FOUND, headers).into_response()
}

async fn open(
    State(app): State<App>,
    method: Method,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Response {
    if let Some(link) = app.read_open(&token) {
        app.opened(&link, &visit(&method, &headers)).await;
    }
    let headers = [(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")];
    (headers, PIXEL).into_response()
}

fn visit<'a>(method: &Method, headers: &'a HeaderMap) -> Visit<'a> {
    let user_agent = headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    Visit { head: method == Method::HEAD, user_agent }
}

fn unknown() -> Response {
    let body = "<p>This link is not complete. Copy all of it from the message.</p>";
    page(StatusCode::NOT_FOUND, "Unknown link", body)
}

fn failed(error: &Error) -> Response {
    tracing::error!(error = %perennial_rpc::Chain(error), reason = error.reason(), "an unsubscribe was not kept");
    let body = "<p>That did not work. Please try again in a minute.</p>";
    page(StatusCode::SERVICE_UNAVAILABLE, "Not now", body)
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"robots\" content=\"noindex\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\
         <body><h1>{title}</h1>{body}</body></html>"
    );
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    (status, headers, Html(html)).into_response()
}
