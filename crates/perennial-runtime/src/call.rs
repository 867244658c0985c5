//! One gRPC call from its first byte to its last: its span, its line in the log, its measurement.

use std::time::Instant;

use http::Response;
use http_body_util::BodyExt;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::field::Empty;

use crate::edge::{Door, code_of};

/// A call that is being answered. It is over when this is dropped: after the last frame, or when the caller left.
pub struct Call {
    span: tracing::Span,
    began: Instant,
    service: String,
    method: String,
    door: Door,
    duration: Histogram<f64>,
    code: Option<Code>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Call {
    pub fn begin(path: &str, request_id: &str, door: Door, duration: Histogram<f64>) -> Self {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let name = path.trim_start_matches('/');
        let kind = if door == Door::Network { "server" } else { "internal" };
        let span = tracing::info_span!(
            "rpc",
            otel.name = name,
            otel.kind = kind,
            rpc.service = service,
            rpc.method = method,
            request_id,
            rpc.grpc.status_code = Empty
        );
        let (service, method) = (service.to_owned(), method.to_owned());
        Self { span, began: Instant::now(), service, method, door, duration, code: None, permit: None }
    }

    pub fn span(&self) -> tracing::Span {
        self.span.clone()
    }

    /// Counts as one of the calls at a time until it is over.
    pub fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.permit = Some(permit);
    }

    /// Answers with an error.
    pub fn refuse(mut self, status: Status) -> Response<Body> {
        self.code = Some(status.code());
        status.into_http()
    }

    /// Follows an answer to its end.
    pub fn observe(mut self, response: Response<Body>) -> Response<Body> {
        self.code = code_of(response.headers());
        if self.code.is_some() {
            return response;
        }
        response.map(|body| {
            let mut call = self;
            Body::new(body.map_frame(move |frame| {
                // All of the call, not its code alone: it is over when this closure is dropped.
                let call = &mut call;
                if let Some(trailers) = frame.trailers_ref() {
                    call.code = code_of(trailers);
                }
                frame
            }))
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        let duration_ms = self.began.elapsed().as_secs_f64() * 1_000.0;
        // Anybody can ask for any name: only those that exist become a series.
        let known = code != Code::Unimplemented;
        let label = |text: &str| if known { text.to_owned() } else { "unknown".to_owned() };
        self.duration.record(
            duration_ms,
            &[
                KeyValue::new("rpc.service", label(&self.service)),
                KeyValue::new("rpc.method", label(&self.method)),
                KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))),
            ],
        );
        self.span.record("rpc.grpc.status_code", i32::from(code));
        let probe = self.service.starts_with("grpc.");
        self.span.in_scope(|| {
            if self.door == Door::Network && !probe {
                tracing::info!(duration_ms, code = ?code, "call answered");
            } else {
                tracing::debug!(duration_ms, code = ?code, "call answered");
            }
        });
    }
}
