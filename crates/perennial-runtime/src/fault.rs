//! What the process itself has to answer, before or instead of a service.

use std::time::Duration;

use perennial_types::{Detail, Fault, Kind};

/// A call that reached no service, or got no answer from it.
#[derive(Debug, thiserror::Error)]
pub enum EdgeFault {
    /// Nothing here and no address elsewhere.
    #[error("{0} is not running here and has no address in [peers]")]
    NoPeer(String),
    /// Too many calls at a time.
    #[error("too many calls at a time: try again in a second")]
    Busy,
    /// The process is going down.
    #[error("this process is stopping: try again at another one")]
    Stopping,
    /// No token, or a wrong one.
    #[error("the call carries no valid token: send authorization: Bearer with the token of this server")]
    NoToken,
    /// The service panicked.
    #[error("{method} panicked: {message}")]
    Panicked {
        /// The method.
        method: String,
        /// What it said.
        message: String,
    },
}

impl Fault for EdgeFault {
    fn kind(&self) -> Kind {
        match self {
            Self::NoPeer(_) | Self::Busy | Self::Stopping => Kind::Unavailable,
            Self::NoToken => Kind::Unauthenticated,
            Self::Panicked { .. } => Kind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoPeer(_) => "PEER_UNKNOWN",
            Self::Busy => "TOO_MANY_CALLS",
            Self::Stopping => "STOPPING",
            Self::NoToken => "TOKEN_REQUIRED",
            Self::Panicked { .. } => "PANICKED",
        }
    }

    fn details(&self) -> Vec<Detail> {
        match self {
            Self::Busy | Self::Stopping => vec![Detail::Retry { after: Duration::from_secs(1) }],
            Self::NoPeer(_) | Self::NoToken | Self::Panicked { .. } => vec![],
        }
    }
}

/// The words of a panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
