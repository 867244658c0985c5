//! What can go wrong, in the words of this service.

use perennial_feed::FeedError;
use perennial_rpc::PeerFault;
use perennial_store::StoreError;
use perennial_types::{Detail, Fault, Kind};

use crate::domain::{RuleFault, RulesFault};

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused.
    #[error("segments cannot be reached now: try again")]
    Store(#[from] StoreError),
    /// The reader refused.
    #[error("segments cannot be evaluated now: try again")]
    Feed(#[from] FeedError),
    /// Ingestion did not answer.
    #[error("the history of profiles cannot be read now: try again")]
    Peer(#[from] PeerFault),
    /// A rule that cannot be used.
    #[error("{0}")]
    Rule(RuleFault),
    /// Segments that cannot be in force together.
    #[error("{0}")]
    Together(RulesFault),
    /// There is no such segment.
    #[error("segment {0:?} does not exist: list the workspace's segments")]
    NoSegment(String),
    /// There is one already.
    #[error("segment {0:?} exists already: update it, or choose another name")]
    Exists(String),
    /// Other segments ask for it.
    #[error("segment {segment:?} is asked for by {by}: change their rules first")]
    InUse {
        /// The segment.
        segment: String,
        /// Those that ask for it.
        by: String,
    },
    /// Somebody else changed it.
    #[error("segment {0:?} was changed since its etag was read: read it again and repeat the change")]
    Changed(String),
    /// Too many segments.
    #[error("the workspace has {0} segments, the most there may be: delete some, or raise max_segments")]
    TooMany(u32),
    /// Nothing is known of this profile.
    #[error("profile {0:?} is not known in this workspace")]
    NoProfile(String),
    /// A request id that was used for another request.
    #[error("request_id was used for another request: send a new one")]
    RequestIdReused,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) if error.is_transient() => Kind::Unavailable,
            Self::Feed(error) if error.is_transient() => Kind::Unavailable,
            Self::Store(_) | Self::Feed(_) => Kind::Internal,
            Self::Peer(error) => error.kind(),
            Self::Rule(_) | Self::Together(_) | Self::RequestIdReused => Kind::Invalid,
            Self::NoSegment(_) | Self::NoProfile(_) => Kind::NotFound,
            Self::Exists(_) => Kind::AlreadyExists,
            Self::InUse { .. } | Self::TooMany(_) => Kind::Precondition,
            Self::Changed(_) => Kind::Conflict,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) => "STORE_REFUSED",
            Self::Feed(_) => "EVALUATION_UNAVAILABLE",
            Self::Peer(_) => "HISTORY_UNAVAILABLE",
            Self::Rule(_) => "RULE_INVALID",
            Self::Together(_) => "SEGMENTS_INCONSISTENT",
            Self::NoSegment(_) => "SEGMENT_NOT_FOUND",
            Self::Exists(_) => "SEGMENT_EXISTS",
            Self::InUse { .. } => "SEGMENT_IN_USE",
            Self::Changed(_) => "ETAG_MISMATCH",
            Self::TooMany(_) => "TOO_MANY_SEGMENTS",
            Self::NoProfile(_) => "PROFILE_NOT_FOUND",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
        }
    }

    fn details(&self) -> Vec<Detail> {
        let resource = |kind, name: &String| vec![Detail::Resource { kind, name: name.clone() }];
        match self {
            Self::Rule(fault) => fault
                .problems()
                .iter()
                .map(|it| {
                    let (line, column) = fault.position(it.span.start);
                    let problem = format!("line {line}, column {column}: {}", it.text);
                    Detail::Field { name: "segment.rule".to_owned(), problem }
                })
                .collect(),
            Self::Together(fault) => {
                vec![Detail::Field { name: "segment.rule".to_owned(), problem: fault.to_string() }]
            }
            Self::RequestIdReused => {
                vec![Detail::Field { name: "request_id".to_owned(), problem: self.to_string() }]
            }
            Self::NoSegment(name) | Self::Exists(name) | Self::Changed(name) => resource("Segment", name),
            Self::InUse { segment, .. } => resource("Segment", segment),
            Self::NoProfile(name) => resource("Profile", name),
            Self::Store(_) | Self::Feed(_) | Self::Peer(_) | Self::TooMany(_) => Vec::new(),
        }
    }
}
