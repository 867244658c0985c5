//! What the process itself has to answer, before or instead of a service.

use std::time::Duration;

use perennial_api::access::v1::Scope;
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
    /// Neither a token nor a key nor a certificate, or one that is not good.
    #[error("the call carries no valid key: send authorization: Bearer with an API key of the workspace")]
    NoToken,
    /// Who calls may not do this.
    #[error("the key lacks the scope {}: use a key that was made with it", .0.as_str_name())]
    Denied(Scope),
    /// Whether a key is good cannot be found out now.
    #[error("keys cannot be looked up now: try again in a second")]
    KeysAway,
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
            Self::NoPeer(_) | Self::Busy | Self::Stopping | Self::KeysAway => Kind::Unavailable,
            Self::NoToken => Kind::Unauthenticated,
            Self::Denied(_) => Kind::Denied,
            Self::Panicked { .. } => Kind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoPeer(_) => "PEER_UNKNOWN",
            Self::Busy => "TOO_MANY_CALLS",
            Self::Stopping => "STOPPING",
            Self::NoToken => "KEY_REQUIRED",
            Self::Denied(_) => "SCOPE_REQUIRED",
            Self::KeysAway => "KEYS_UNAVAILABLE",
            Self::Panicked { .. } => "PANICKED",
        }
    }

    fn details(&self) -> Vec<Detail> {
        match self {
            Self::Busy | Self::Stopping | Self::KeysAway => {
                vec![Detail::Retry { after: Duration::from_secs(1) }]
            }
            Self::NoPeer(_) | Self::NoToken | Self::Denied(_) | Self::Panicked { .. } => vec![],
        }
    }
}

/// The words of a panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
