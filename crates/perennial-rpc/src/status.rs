//! The one place where a fault becomes a gRPC status.

use std::collections::HashMap;

use perennial_types::{Detail, Fault, Kind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use crate::Chain;

/// The domain of every `google.rpc.ErrorInfo` that is ours.
pub const DOMAIN: &str = "perennial.dev";

// A status travels in the trailers, and clients commonly take no more than 16 KiB of those.
const LONGEST_MESSAGE: usize = 1_024;
const LONGEST_PROBLEM: usize = 512;
const ALL_PROBLEMS: usize = 3_072;

/// The gRPC code of a kind of fault.
#[must_use]
pub fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::Conflict => Code::Aborted,
        Kind::Denied => Code::PermissionDenied,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    }
}

/// What a caller is told of a fault: code, message, and `google.rpc` details (`ErrorInfo` always; `BadRequest`,
/// `PreconditionFailure`, `ResourceInfo`, `RetryInfo` where they apply).
///
/// Of an internal fault the caller hears no more than an id, which stands in the log with the whole chain of causes:
/// logged here, and only here.
#[must_use]
pub fn status(fault: &impl Fault) -> Status {
    let kind = fault.kind();
    let mut details = ErrorDetails::new();
    details.set_error_info(fault.reason(), DOMAIN, HashMap::<String, String>::new());
    if kind == Kind::Internal {
        let id = Uuid::now_v7().to_string();
        tracing::error!(error.id = id, error.reason = fault.reason(), error = %Chain(fault), "internal error");
        let message = format!("internal error; the log has it under {id}");
        details.set_request_info(id, "");
        return Status::with_error_details(Code::Internal, message, details);
    }
    let message = clip(&fault.to_string(), LONGEST_MESSAGE).to_owned();
    if kind == Kind::Unavailable && fault.source().is_some() {
        // The caller only hears that it may try again; why it has to is for the one who runs this.
        tracing::warn!(error.reason = fault.reason(), error = %Chain(fault), "unavailable");
    }
    let mut room = ALL_PROBLEMS;
    let mut subject = String::new();
    for detail in fault.details() {
        match detail {
            Detail::Field { name, problem } => {
                let (name, problem) = (clip(&name, LONGEST_PROBLEM), clip(&problem, LONGEST_PROBLEM));
                // The first problems, as many as fit; mending them brings the others to light.
                if let Some(left) = room.checked_sub(name.len() + problem.len()) {
                    room = left;
                    details.add_bad_request_violation(name, problem);
                }
            }
            Detail::Resource { kind, name } => {
                subject = clip(&name, LONGEST_PROBLEM).to_owned();
                details.set_resource_info(kind, subject.clone(), "", "");
            }
            Detail::Retry { after } => {
                details.set_retry_info(Some(after));
            }
        }
    }
    if kind == Kind::Precondition {
        details.add_precondition_failure_violation(fault.reason(), subject, message.clone());
    }
    Status::with_error_details(code(kind), message, details)
}

/// What a caller is told whose deadline passed before the answer: no fault of a service, so it has no kind.
#[must_use]
pub fn timed_out(message: impl Into<String>) -> Status {
    let details =
        ErrorDetails::with_error_info("DEADLINE_EXCEEDED", DOMAIN, HashMap::<String, String>::new());
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}

fn clip(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[derive(Debug, thiserror::Error)]
    #[error("no connection to {0}")]
    struct Cause(&'static str);

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("read the balance")]
        Broken(#[source] Cause),
        #[error("segment vip is archived: restore it first")]
        Archived,
        #[error("too many messages: wait a minute")]
        Exhausted,
        #[error("the request is wrong")]
        Wrong(usize),
    }

    impl Fault for Sample {
        fn kind(&self) -> Kind {
            match self {
                Self::Broken(_) => Kind::Internal,
                Self::Archived => Kind::Precondition,
                Self::Exhausted => Kind::Exhausted,
                Self::Wrong(_) => Kind::Invalid,
            }
        }

        fn reason(&self) -> &'static str {
            match self {
                Self::Broken(_) => "STORE_BROKEN",
                Self::Archived => "SEGMENT_ARCHIVED",
                Self::Exhausted => "RATE_LIMITED",
                Self::Wrong(_) => "INVALID_ARGUMENT",
            }
        }

        fn details(&self) -> Vec<Detail> {
            match self {
                Self::Broken(_) => vec![],
                Self::Archived => {
                    vec![Detail::Resource {
                        kind: "Segment",
                        name: "workspaces/main/segments/vip".to_owned(),
                    }]
                }
                Self::Exhausted => vec![Detail::Retry { after: Duration::from_secs(60) }],
                Self::Wrong(fields) => (0..*fields)
                    .map(|n| Detail::Field { name: format!("events[{n}]"), problem: "é".repeat(1_000) })
                    .collect(),
            }
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_internal_fault_is_logged_once_with_its_causes_and_told_only_as_an_id() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let status = tracing::subscriber::with_default(subscriber, || {
            status(&Sample::Broken(Cause("db.internal:5432")))
        });
        let id = status.get_error_details().request_info().unwrap().request_id.clone();
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(
            log.contains("read the balance: no connection to db.internal:5432") && log.contains(&id),
            "{log}"
        );
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().starts_with("internal error") && status.message().contains(&id));
        assert!(!format!("{status:?}").contains("db.internal"));
    }

    #[test]
    fn a_caller_gets_reason_resource_and_when_to_retry() {
        let archived = status(&Sample::Archived);
        let details = archived.get_error_details();
        assert_eq!(archived.code(), Code::FailedPrecondition);
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("SEGMENT_ARCHIVED", DOMAIN));
        assert_eq!(details.resource_info().unwrap().resource_type, "Segment");
        let violation = &details.precondition_failure().unwrap().violations[0];
        assert_eq!(violation.subject, "workspaces/main/segments/vip");

        let exhausted = status(&Sample::Exhausted).get_error_details();
        assert_eq!(exhausted.retry_info().unwrap().retry_delay, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_status_always_fits_the_trailers() {
        let status = status(&Sample::Wrong(2_500));
        let told = status.get_error_details().bad_request().unwrap().field_violations.len();
        assert!(told >= 3 && status.details().len() < 6_000, "{told} {}", status.details().len());
    }
}
