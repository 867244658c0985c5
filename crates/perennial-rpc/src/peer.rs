//! What another service answered, when it answered with an error.

use std::fmt;
use std::time::Duration;

use perennial_types::{Detail, Fault, Kind};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A peer's status, interpreted. Look at [`PeerFault::code`] and [`PeerFault::peer_reason`] for the answers you expect
/// and turn them into faults of your own; what remains is this fault: unavailable if trying again may help, else
/// internal. The peer's words reach the log, never the caller.
#[derive(Debug)]
pub struct PeerFault {
    peer: &'static str,
    status: Box<Status>,
    reason: Option<String>,
    retry: Option<Duration>,
    transient: bool,
    told: Told,
}

impl PeerFault {
    /// The status that `peer` (its full service name) answered.
    #[must_use]
    pub fn new(peer: &'static str, status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|it| it.reason.clone());
        let retry = details.retry_info().and_then(|it| it.retry_delay);
        let transient = match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled => true,
            // Made on our side by the transport; what a peer answers has no source.
            _ => std::error::Error::source(&status).is_some(),
        };
        let told = Told { peer, code: status.code(), message: status.message().to_owned() };
        Self { peer, status: Box::new(status), reason, retry, transient, told }
    }

    /// The full name of the service that answered.
    #[must_use]
    pub fn peer(&self) -> &'static str {
        self.peer
    }

    /// The code it answered.
    #[must_use]
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// The stable reason it gave (`ErrorInfo.reason`), if it gave one.
    #[must_use]
    pub fn peer_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Its message, for the log.
    #[must_use]
    pub fn message(&self) -> &str {
        self.status.message()
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// How long the peer asked us to wait, if it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry
    }
}

impl fmt::Display for PeerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // This may reach a caller, so it names nothing but the service.
        let word = if self.transient { "is not available: try again" } else { "did not do its part" };
        write!(f, "{} {word}", self.peer)
    }
}

impl std::error::Error for PeerFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.told)
    }
}

impl Fault for PeerFault {
    fn kind(&self) -> Kind {
        if self.transient { Kind::Unavailable } else { Kind::Internal }
    }

    fn reason(&self) -> &'static str {
        if self.transient { "PEER_UNAVAILABLE" } else { "PEER_FAILED" }
    }

    fn details(&self) -> Vec<Detail> {
        self.retry.map(|after| Detail::Retry { after }).into_iter().collect()
    }
}

impl From<PeerFault> for Status {
    fn from(fault: PeerFault) -> Self {
        crate::status(&fault)
    }
}

/// What the peer said, as a link of the chain of causes.
#[derive(Debug, thiserror::Error)]
#[error("{peer} answered {code:?}: {message}")]
struct Told {
    peer: &'static str,
    code: Code,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Invalid};

    const PEER: &str = "perennial.segmentation.v1.SegmentationService";

    #[test]
    fn a_peers_words_reach_the_log_but_never_the_caller() {
        let fault = PeerFault::new(PEER, crate::status(&Invalid::new("rule", "mentions bob@example.com")));
        assert_eq!(fault.code(), Code::InvalidArgument);
        assert_eq!(fault.peer_reason(), Some("INVALID_ARGUMENT"));
        assert!(Chain(&fault).to_string().contains("bob@example.com"));
        let status = Status::from(fault);
        assert_eq!(status.code(), Code::Internal);
        assert!(!format!("{status:?}").contains("bob"), "{status:?}");
    }

    #[test]
    fn what_may_pass_is_unavailable() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Aborted] {
            let fault = PeerFault::new(PEER, Status::new(code, "later"));
            assert!(fault.is_transient());
            assert_eq!(Status::from(fault).code(), Code::Unavailable);
        }
        for code in [Code::NotFound, Code::Unknown, Code::Internal, Code::Unimplemented] {
            assert_eq!(PeerFault::new(PEER, Status::new(code, "no")).kind(), Kind::Internal);
        }
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert_eq!(PeerFault::new(PEER, broken).kind(), Kind::Unavailable);
    }
}
