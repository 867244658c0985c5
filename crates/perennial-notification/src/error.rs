//! What can go wrong, in the words of templates and messages.

use perennial_feed::FeedError;
use perennial_rpc::PeerFault;
use perennial_store::StoreError;
use perennial_types::{Detail, Fault, Kind};

use crate::domain::template::TemplateError;

/// A request that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such template.
    #[error("template {0} does not exist: apply its file first")]
    TemplateNotFound(String),
    /// The definition is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The definition names another template than the request.
    #[error("the definition is of template {definition}, but the name is of {name}: use one name")]
    OtherName {
        /// In the resource name.
        name: String,
        /// In the definition.
        definition: String,
    },
    /// Profiles cannot be read.
    #[error("contacts cannot be read")]
    Profiles(#[from] PeerFault),
    /// The outbox refused.
    #[error("the outbox refused")]
    Outbox(#[from] FeedError),
    /// The database refused.
    #[error("the ledger's database refused")]
    Store(#[from] StoreError),
    /// Rendering stopped half-way.
    #[error("rendering stopped")]
    Rendering(#[from] tokio::task::JoinError),
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::TemplateNotFound(_) => Kind::NotFound,
            Self::Template(_) | Self::OtherName { .. } => Kind::Invalid,
            Self::Profiles(it) => it.kind(),
            Self::Outbox(it) => it.kind(),
            Self::Store(it) if it.is_transient() => Kind::Unavailable,
            Self::Store(_) | Self::Rendering(_) => Kind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::TemplateNotFound(_) => "TEMPLATE_NOT_FOUND",
            Self::Template(_) => "TEMPLATE_INVALID",
            Self::OtherName { .. } => "TEMPLATE_NAME_DIFFERS",
            Self::Profiles(_) => "PROFILES_UNAVAILABLE",
            Self::Outbox(_) => "OUTBOX_UNAVAILABLE",
            Self::Store(it) if it.is_transient() => "LEDGER_UNAVAILABLE",
            Self::Store(_) => "LEDGER_BROKEN",
            Self::Rendering(_) => "RENDERING_STOPPED",
        }
    }

    fn details(&self) -> Vec<Detail> {
        match self {
            Self::TemplateNotFound(name) => vec![Detail::Resource { kind: "Template", name: name.clone() }],
            Self::Template(it) => {
                vec![Detail::Field { name: "template.definition".to_owned(), problem: it.to_string() }]
            }
            Self::OtherName { .. } => {
                vec![Detail::Field { name: "template.name".to_owned(), problem: self.to_string() }]
            }
            _ => vec![],
        }
    }
}
