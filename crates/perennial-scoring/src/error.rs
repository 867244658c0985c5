//! What can go wrong, in the words of this service.

use std::time::Duration;

use perennial_clv::FitError;
use perennial_feed::FeedError;
use perennial_store::StoreError;
use perennial_types::{Detail, Fault, Kind};

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused.
    #[error("scores cannot be reached now: try again")]
    Store(#[from] StoreError),
    /// The feed refused.
    #[error("scores cannot be reached now: try again")]
    Feed(#[from] FeedError),
    /// Orders were received that are not in the scores yet.
    #[error("orders received before this call are still being taken in: try again in a second")]
    Behind,
    /// Nothing to learn from.
    #[error("no model can be fitted: {0}")]
    Fit(#[from] FitError),
    /// No order at all.
    #[error("workspace {0} has no orders: import or track some first")]
    NoOrders(String),
    /// There is no such model.
    #[error("there is no model {0}: list the workspace's models")]
    NoModel(String),
    /// The profile has no score.
    #[error(
        "{0} is not known here: it has no events, or was merged into another profile; look it up by an identifier"
    )]
    NoProfile(String),
    /// Somebody else registered a model at the same moment.
    #[error("another model was registered at the same moment: try again")]
    Conflict,
    /// A repeated request id with another body.
    #[error("request_id {0} was used for another fit: send a new id")]
    RequestReused(uuid::Uuid),
    /// There is no such fit.
    #[error("there is no fit {0}: fits are named by the answer of StartFit")]
    NoFit(String),
    /// There is no such backtest.
    #[error(
        "there is no backtest {0}: backtests are named by the answer of StartBacktest, and kept for seven days"
    )]
    NoBacktest(String),
    /// Somebody asked a backtest to stop.
    #[error("the backtest was cancelled")]
    TestCancelled,
    /// Somebody asked a fit to stop.
    #[error("the fit was cancelled: nothing has changed")]
    Cancelled,
    /// A backtest that cannot be made.
    #[error("no backtest can be made: {0}")]
    Backtest(#[from] perennial_clv::evaluate::BacktestError),
    /// No model serves.
    #[error("no model is published in workspace {0}: fit one with publish set")]
    NothingServes(String),
    /// A calculation died.
    #[error("the calculation stopped")]
    Calculation,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) if !error.is_transient() => Kind::Internal,
            Self::Feed(error) if !error.is_transient() => Kind::Internal,
            Self::Store(_) | Self::Feed(_) | Self::Behind => Kind::Unavailable,
            Self::Fit(_) | Self::NoOrders(_) | Self::Backtest(_) | Self::NothingServes(_) => {
                Kind::Precondition
            }
            Self::NoModel(_) | Self::NoProfile(_) | Self::NoFit(_) | Self::NoBacktest(_) => Kind::NotFound,
            Self::Conflict | Self::Cancelled | Self::TestCancelled => Kind::Conflict,
            Self::RequestReused(_) => Kind::Invalid,
            Self::Calculation => Kind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) | Self::Feed(_) => "SCORES_UNAVAILABLE",
            Self::Behind => "SCORES_BEHIND",
            Self::Fit(_) => "FIT_IMPOSSIBLE",
            Self::NoOrders(_) => "NO_ORDERS",
            Self::NoModel(_) => "MODEL_NOT_FOUND",
            Self::NoProfile(_) => "PROFILE_NOT_FOUND",
            Self::Conflict => "MODEL_REGISTERED_MEANWHILE",
            Self::RequestReused(_) => "REQUEST_ID_REUSED",
            Self::NoFit(_) => "FIT_NOT_FOUND",
            Self::NoBacktest(_) => "BACKTEST_NOT_FOUND",
            Self::TestCancelled => "BACKTEST_CANCELLED",
            Self::Cancelled => "FIT_CANCELLED",
            Self::Backtest(_) => "BACKTEST_IMPOSSIBLE",
            Self::NothingServes(_) => "NO_MODEL_SERVES",
            Self::Calculation => "CALCULATION_STOPPED",
        }
    }

    fn details(&self) -> Vec<Detail> {
        match self {
            Self::Store(_) | Self::Feed(_) | Self::Behind => {
                vec![Detail::Retry { after: Duration::from_secs(1) }]
            }
            Self::NoModel(name) => vec![Detail::Resource { kind: "Model", name: name.clone() }],
            Self::NoFit(name) => vec![Detail::Resource { kind: "Fit", name: name.clone() }],
            Self::NoBacktest(name) => vec![Detail::Resource { kind: "Backtest", name: name.clone() }],
            Self::NoProfile(name) => vec![Detail::Resource { kind: "Profile", name: name.clone() }],
            Self::RequestReused(_) => {
                vec![Detail::Field { name: "request_id".to_owned(), problem: self.to_string() }]
            }
            _ => Vec::new(),
        }
    }
}
