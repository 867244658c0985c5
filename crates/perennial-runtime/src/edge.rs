//! What surrounds every gRPC call, in process or over the network: deadline, trace, one log line, one measurement; and
//! over the network the limit of calls at a time, who calls and how far they may go, and the drain.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use opentelemetry::metrics::Histogram;
use perennial_rpc::{Identity, REQUEST_ID, caller, status};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use tracing::Instrument;

use crate::call::Call;
use crate::config::ServerConfig;
use crate::fault::{EdgeFault, panic_message};
use crate::flow::{Flow, within};
use crate::guard::Guard;
use crate::telemetry;
use crate::tls::Presented;

/// Calls that wait for news, and would keep a process from ending.
const LONG_POLLS: [&str; 2] =
    ["/perennial.feed.v1.FeedService/Read", "/perennial.feed.v1.FeedService/AwaitNews"];
const WATCHES: [&str; 1] = ["/grpc.health.v1.Health/Watch"];

/// Services that ask nobody who they are and are never refused.
const OPEN: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

/// Tonic's own time-out answers `CANCELLED`; ours comes this much before it with what the caller can act on.
const MARGIN: Duration = Duration::from_millis(20);

/// Where calls come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// From within this process.
    Process,
    /// Over the network.
    Network,
}

/// What holds for every call.
#[derive(Debug)]
pub struct Rules {
    deadline: Duration,
    guard: Guard,
    in_flight: Arc<Semaphore>,
    duration: Histogram<f64>,
    /// Cancelled when the process stops accepting: what only waits ends now.
    pub closing: CancellationToken,
    /// Cancelled when the time to drain is over: every call ends now.
    pub cutting: CancellationToken,
}

impl Rules {
    pub fn new(config: &ServerConfig, guard: Guard) -> Self {
        let meter = opentelemetry::global::meter("perennial.rpc");
        let duration = meter.f64_histogram("rpc.server.duration").with_unit("ms").build();
        Self {
            deadline: config.deadline,
            guard,
            in_flight: Arc::new(Semaphore::new(config.max_in_flight.min(Semaphore::MAX_PERMITS))),
            duration,
            closing: CancellationToken::new(),
            cutting: CancellationToken::new(),
        }
    }
}

/// Surrounds a service.
#[derive(Clone, Debug)]
pub struct Edge<S> {
    inner: S,
    rules: Arc<Rules>,
    door: Door,
}

impl<S> Edge<S> {
    pub fn new(inner: S, rules: Arc<Rules>, door: Door) -> Self {
        Self { inner, rules, door }
    }
}

impl<S> Service<Request<Body>> for Edge<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, rules, door) = (self.inner.clone(), self.rules.clone(), self.door);
        Box::pin(async move { Ok(answer(inner, &rules, door, request).await) })
    }
}

async fn answer<S>(inner: S, rules: &Rules, door: Door, mut request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let path = request.uri().path().to_owned();
    let metadata = MetadataMap::from_headers(std::mem::take(request.headers_mut()));
    let caller = caller(&metadata);
    *request.headers_mut() = metadata.into_headers();
    if let Ok(id) = HeaderValue::from_str(&caller.request_id) {
        request.headers_mut().insert(REQUEST_ID, id);
    }
    let mut call = Call::begin(&path, &caller.request_id, door, rules.duration.clone());
    let span = call.span();
    telemetry::trace_in(&span, request.headers());
    let open = OPEN.iter().any(|it| path.starts_with(it));
    // Within the process services call each other; whoever they act for has passed this door before.
    let mut identity = Identity::Service;
    if door == Door::Network && !open {
        match rules.in_flight.clone().try_acquire_owned() {
            Ok(permit) => call.hold(permit),
            Err(_) => return call.refuse(span.in_scope(|| status(&EdgeFault::Busy))),
        }
        let certificate = Presented::of(request.extensions());
        let found = rules.guard.identify(caller.key.as_ref(), certificate).instrument(span.clone()).await;
        let allowed = found.and_then(|found| match perennial_api::scope(&path) {
            Some(scope) if !found.may(scope) => Err(EdgeFault::Denied(scope)),
            _ => Ok(found),
        });
        match allowed {
            Ok(found) => identity = found,
            Err(fault) => return call.refuse(span.in_scope(|| status(&fault))),
        }
    }
    let asked = timeout_of(request.headers());
    let limit = asked.map_or(rules.deadline, |it| it.min(rules.deadline));
    let limit = limit.saturating_sub(MARGIN.min(limit / 2));
    let (flow, request) = Flow::watch(&path, asked, request);
    let ends_with_us = door == Door::Network && LONG_POLLS.contains(&path.as_str());
    let work = AssertUnwindSafe(identity.clone().calling(inner.oneshot(request))).catch_unwind();
    let answered = async {
        tokio::select! {
            biased;
            answer = within(limit, flow, work) => match answer {
                Some(Ok(Ok(response))) => Ok(response.map(|body| identity.streaming(body))),
                Some(Err(panic)) => {
                    let message = panic_message(&*panic);
                    Err(status(&EdgeFault::Panicked { method: path.clone(), message }))
                }
                None => Err(late(limit)),
            },
            () = rules.closing.cancelled(), if ends_with_us => Err(status(&EdgeFault::Stopping)),
            () = rules.cutting.cancelled(), if door == Door::Network => Err(status(&EdgeFault::Stopping)),
        }
    };
    match answered.instrument(span.clone()).await {
        Ok(response) if door == Door::Network && WATCHES.contains(&path.as_str()) => {
            call.observe(until(response, rules.closing.clone()))
        }
        Ok(response) => call.observe(response),
        Err(status) => call.refuse(status),
    }
}

fn late(limit: Duration) -> Status {
    let message =
        format!("no answer within {} ms: ask for less at once, or allow more time", limit.as_millis());
    perennial_rpc::timed_out(message)
}

/// A stream that ends, saying so, when the process stops accepting.
fn until(response: Response<Body>, closing: CancellationToken) -> Response<Body> {
    response.map(|body| {
        let ended = closing.clone();
        let frames = BodyStream::new(body).take_until(closing.cancelled_owned());
        let end = futures::stream::once(async move {
            let mut trailers = HeaderMap::new();
            if ended.is_cancelled() {
                drop(status(&EdgeFault::Stopping).add_header(&mut trailers));
            }
            Ok(Frame::trailers(trailers))
        });
        let end = end.filter(|frame| {
            let kept =
                frame.as_ref().is_ok_and(|it: &Frame| it.trailers_ref().is_some_and(|it| !it.is_empty()));
            std::future::ready(kept)
        });
        Body::new(BodyExt::boxed_unsync(StreamBody::new(frames.chain(end))))
    })
}

type Frame = http_body::Frame<bytes::Bytes>;

/// What the caller asked for with `grpc-timeout`: digits and one of `H M S m u n`. Anything else counts as nothing.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = (digits.len() <= 8).then(|| digits.parse().ok()).flatten()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The code that headers or trailers carry.
pub fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|it| Code::from_bytes(it.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_time_limit_is_read_or_ignored() {
        let read = |text: &str| {
            let value = HeaderValue::from_str(text).unwrap();
            timeout_of(&HeaderMap::from_iter([(http::HeaderName::from_static("grpc-timeout"), value)]))
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("2H"), Some(Duration::from_secs(7_200)));
        for text in ["", "m", "5", "-1S", "123456789S", "1x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
