//! Answers. That a browser may read each of them is the router's business.

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

/// A picture of one transparent pixel, for those who send by loading one.
pub fn pixel() -> Response {
    let mut response = Response::new(PIXEL.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The smallest transparent GIF.
const PIXEL: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

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
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
