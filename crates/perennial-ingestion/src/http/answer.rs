//! Answers, each of which a browser may read.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use perennial_types::{Detail, Fault, Kind};

use crate::error::Error;

/// Seconds after which trying again makes sense.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// All is well.
pub fn success() -> Response {
    answer(StatusCode::OK, r#"{"success":true}"#.to_owned())
}

/// JSON.
pub fn json(value: &serde_json::Value) -> Response {
    answer(StatusCode::OK, value.to_string())
}

/// The request will stay wrong.
pub fn unusable(message: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, message)
}

/// No key that is good.
pub fn unauthorised() -> Response {
    let message =
        "no valid write key: send it as the user name of basic authorization, or as writeKey in the body";
    refusal(StatusCode::UNAUTHORIZED, message)
}

/// A path that is not one of ours.
pub fn nothing_here() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "no such call: use /v1/batch, track, identify, page, screen, group or alias",
    )
}

/// What went wrong in us or with the request, as the libraries understand it: 503 and 429 are tried again, 400 is not.
pub fn fault(error: &Error) -> Response {
    match error.kind() {
        Kind::Exhausted => {
            let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, &error.to_string());
            response.headers_mut().insert(header::RETRY_AFTER, wait(error));
            response
        }
        Kind::Unavailable | Kind::Internal | Kind::Conflict => {
            tracing::warn!(error.reason = error.reason(), error = %perennial_rpc::Chain(error), "events not taken");
            later(refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "the events could not be taken now: send them again",
            ))
        }
        _ => unusable(&error.to_string()),
    }
}

/// What a browser asks before it sends from another site.
pub fn preflight() -> Response {
    let mut response = answer(StatusCode::NO_CONTENT, String::new());
    let headers = response.headers_mut();
    let allow = |text| HeaderValue::from_static(text);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow("GET, POST, OPTIONS"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        allow("authorization, content-type, content-encoding, x-retry-count, x-write-key"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, allow("86400"));
    response
}

fn refusal(status: StatusCode, message: &str) -> Response {
    answer(status, serde_json::json!({ "success": false, "message": message }).to_string())
}

/// Whole seconds after which trying again makes sense.
fn wait(error: &Error) -> HeaderValue {
    let seconds = error.details().into_iter().find_map(|it| match it {
        Detail::Retry { after } => Some(after.as_secs().max(1)),
        _ => None,
    });
    seconds.map_or(RETRY_AFTER, HeaderValue::from)
}

fn later(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

fn answer(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    response
}
