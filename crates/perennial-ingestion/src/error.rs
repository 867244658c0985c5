//! What can go wrong, in the words of this service.

use perennial_feed::FeedError;
use perennial_store::StoreError;
use perennial_types::{Detail, Fault, InvalidName, Kind};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::intake::BodyFault;
use crate::domain::plan::PlanFault;

/// When senders are asked to come back while a reader catches up.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused.
    #[error("the event log cannot be reached now: try again")]
    Store(#[from] StoreError),
    /// The feed refused.
    #[error("the event log cannot be reached now: try again")]
    Feed(#[from] FeedError),
    /// The events could not be committed now.
    #[error("the events could not be written now: send them again, none is counted twice")]
    NotCommitted,
    /// More waits to be written than fits.
    #[error("more events wait than can be written: send these again in a second")]
    Busy,
    /// A reader of the log is too far behind.
    #[error(
        "{consumer} is too far behind the log: send these events again in {} seconds", CATCHING_UP.as_secs()
    )]
    Behind {
        /// Whose reader it is.
        consumer: Arc<str>,
    },
    /// The workspace sends more than it may.
    #[error("this workspace may send {per_second} events a second: send these again in {} seconds", wait.as_secs())]
    TooFast {
        /// What it may send.
        per_second: u64,
        /// When it may again.
        wait: Duration,
    },
    /// A request's body cannot be used.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// Nobody is known by this name or identifier.
    #[error("no profile {0:?} is known in this workspace: look it up by another identifier")]
    NoProfile(String),
    /// The profile was not merged into another one.
    #[error(
        "profile {0:?} is itself, not merged into another one: list the merges of the profile it seems to be in"
    )]
    NotMerged(String),
    /// A family has more events than are taken apart at once.
    #[error("the person has more than {most} events: merges of so many cannot be undone")]
    TooManyEvents {
        /// The limit.
        most: u64,
    },
    /// There is no such erasure.
    #[error("erasure {0:?} is not known in this workspace: list its erasures")]
    NoErasure(String),
    /// There is no such product.
    #[error("product {0:?} is not in this workspace's catalogue: list its products")]
    NoProduct(String),
    /// There is no such key.
    #[error("key {0:?} does not exist: list the workspace's keys")]
    NoKey(String),
    /// The workspace has no tracking plan.
    #[error("this workspace has no tracking plan: apply one")]
    NoPlan,
    /// A definition is no tracking plan.
    #[error(transparent)]
    Plan(#[from] PlanFault),
    /// A field of a request is wrong.
    #[error("{field} {problem}")]
    Field {
        /// Its path.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A workspace's currency cannot change any more.
    #[error(
        "the workspace's currency is {0} and amounts were booked in it: use another workspace for another currency"
    )]
    CurrencyFixed(perennial_types::Currency),
    /// A key could not be looked up; all who showed it hear the same.
    #[error(transparent)]
    Keys(Arc<Error>),
    /// A secret could not be drawn.
    #[error("the system gives no random numbers")]
    Random,
}

impl Error {
    /// A field that is wrong, and what to do.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Self {
        Self::field("name", format!("is wrong: {error}"))
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) if !error.is_transient() => Kind::Internal,
            Self::Feed(error) if !error.is_transient() => Kind::Internal,
            Self::Store(_) | Self::Feed(_) | Self::NotCommitted => Kind::Unavailable,
            Self::Busy | Self::Behind { .. } | Self::TooFast { .. } => Kind::Exhausted,
            Self::Body(_) | Self::Plan(_) | Self::Field { .. } => Kind::Invalid,
            Self::NoProfile(_) | Self::NoErasure(_) | Self::NoProduct(_) | Self::NoKey(_) | Self::NoPlan => {
                Kind::NotFound
            }
            Self::CurrencyFixed(_) | Self::NotMerged(_) | Self::TooManyEvents { .. } => Kind::Precondition,
            Self::Keys(error) => error.kind(),
            Self::Random => Kind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) | Self::Feed(_) => "EVENT_LOG_UNAVAILABLE",
            Self::NotCommitted => "EVENTS_NOT_COMMITTED",
            Self::Busy => "TOO_MANY_EVENTS_WAITING",
            Self::Behind { .. } => "READER_TOO_FAR_BEHIND",
            Self::TooFast { .. } => "RATE_EXCEEDED",
            Self::Body(_) => "BODY_UNUSABLE",
            Self::NoProfile(_) => "PROFILE_NOT_FOUND",
            Self::NotMerged(_) => "PROFILE_NOT_MERGED",
            Self::TooManyEvents { .. } => "TOO_MANY_EVENTS",
            Self::NoErasure(_) => "ERASURE_NOT_FOUND",
            Self::NoProduct(_) => "PRODUCT_NOT_FOUND",
            Self::NoKey(_) => "KEY_NOT_FOUND",
            Self::NoPlan => "TRACKING_PLAN_NOT_FOUND",
            Self::Plan(_) => "TRACKING_PLAN_WRONG",
            Self::Field { .. } => "INVALID_ARGUMENT",
            Self::CurrencyFixed(_) => "CURRENCY_FIXED",
            Self::Keys(error) => error.reason(),
            Self::Random => "NO_RANDOM_NUMBERS",
        }
    }

    fn details(&self) -> Vec<Detail> {
        match self {
            Self::Busy | Self::NotCommitted | Self::Store(_) | Self::Feed(_) => {
                vec![Detail::Retry { after: Duration::from_secs(1) }]
            }
            Self::Behind { .. } => vec![Detail::Retry { after: CATCHING_UP }],
            Self::TooFast { wait, .. } => vec![Detail::Retry { after: *wait }],
            Self::Field { field, problem } => {
                vec![Detail::Field { name: field.clone(), problem: problem.clone() }]
            }
            Self::NoProfile(name) | Self::NotMerged(name) => {
                vec![Detail::Resource { kind: "Profile", name: name.clone() }]
            }
            Self::NoErasure(id) => vec![Detail::Resource { kind: "Erasure", name: id.clone() }],
            Self::NoProduct(id) => vec![Detail::Resource { kind: "Product", name: id.clone() }],
            Self::NoKey(name) => vec![Detail::Resource { kind: "Key", name: name.clone() }],
            Self::Plan(fault) => {
                let name = "tracking_plan.definition".to_owned();
                vec![Detail::Field { name, problem: fault.to_string() }]
            }
            Self::Keys(error) => error.details(),
            Self::Body(_)
            | Self::NoPlan
            | Self::CurrencyFixed(_)
            | Self::TooManyEvents { .. }
            | Self::Random => Vec::new(),
        }
    }
}
