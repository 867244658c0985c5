//! What can go wrong, in the words of campaigns.

use perennial_feed::FeedError;
use perennial_rpc::PeerFault;
use perennial_store::StoreError;
use perennial_types::{Detail, Fault, Kind};

use crate::domain::definition::DefinitionError;

/// A request that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such campaign.
    #[error("campaign {0} does not exist: apply its file first")]
    NotFound(String),
    /// A new campaign without a definition.
    #[error("campaign {0} is new and has no definition: send its file")]
    NoDefinition(String),
    /// The definition is wrong.
    #[error("the definition is wrong: {0}")]
    Definition(#[from] DefinitionError),
    /// The definition names another campaign than the request.
    #[error("the definition is of campaign {definition}, but the name is of {name}: use one name")]
    OtherName {
        /// In the resource name.
        name: String,
        /// In the definition.
        definition: String,
    },
    /// A condition asks about an offer that there is not.
    #[error("offer {0} does not exist, and margin_after_discount asks what it gives: apply its file first")]
    NoOffer(String),
    /// It is to be started on those already there, and does not run.
    #[error("campaign {0} is not live: let it run first")]
    NotLive(String),
    /// Its trigger is nothing one can already be at.
    #[error("the campaign cannot be started on those already there: {0}")]
    NoExisting(&'static str),
    /// A definition was given to start by.
    #[error("a definition is only for counting: apply it first, and then start the campaign by its name")]
    DefinitionToEnter,
    /// Loyalty could not be asked.
    #[error("loyalty could not be asked")]
    Loyalty(#[from] PeerFault),
    /// The database refused.
    #[error("campaign's database refused")]
    Store(#[from] StoreError),
    /// The feed refused.
    #[error("campaign's feed refused")]
    Feed(#[from] FeedError),
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::NoDefinition(_) | Self::Definition(_) | Self::OtherName { .. } | Self::NoOffer(_) => {
                Kind::Invalid
            }
            Self::NoExisting(_) | Self::DefinitionToEnter => Kind::Invalid,
            Self::NotLive(_) => Kind::Precondition,
            Self::Loyalty(it) => it.kind(),
            Self::Store(it) if it.is_transient() => Kind::Unavailable,
            Self::Feed(it) if it.is_transient() => Kind::Unavailable,
            Self::Store(_) | Self::Feed(_) => Kind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "CAMPAIGN_NOT_FOUND",
            Self::NoDefinition(_) => "CAMPAIGN_UNDEFINED",
            Self::Definition(_) => "CAMPAIGN_INVALID",
            Self::OtherName { .. } => "CAMPAIGN_NAME_DIFFERS",
            Self::NoOffer(_) => "CAMPAIGN_OFFER_NOT_FOUND",
            Self::NotLive(_) => "CAMPAIGN_NOT_LIVE",
            Self::NoExisting(_) => "CAMPAIGN_HAS_NO_EXISTING",
            Self::DefinitionToEnter => "DEFINITION_TO_ENTER",
            Self::Loyalty(_) => "LOYALTY_UNAVAILABLE",
            Self::Store(it) if it.is_transient() => "CAMPAIGN_UNAVAILABLE",
            Self::Feed(it) if it.is_transient() => "CAMPAIGN_UNAVAILABLE",
            Self::Store(_) | Self::Feed(_) => "CAMPAIGN_BROKEN",
        }
    }

    fn details(&self) -> Vec<Detail> {
        let field = |problem: String| vec![Detail::Field { name: "campaign.definition".to_owned(), problem }];
        match self {
            Self::NotFound(name) => vec![Detail::Resource { kind: "Campaign", name: name.clone() }],
            Self::Definition(it) => field(it.to_string()),
            Self::NoDefinition(_) | Self::OtherName { .. } | Self::NoOffer(_) => field(self.to_string()),
            Self::NoExisting(_) | Self::DefinitionToEnter => {
                vec![Detail::Field { name: "definition".to_owned(), problem: self.to_string() }]
            }
            Self::NotLive(name) => vec![Detail::Resource { kind: "Campaign", name: name.clone() }],
            Self::Loyalty(_) | Self::Store(_) | Self::Feed(_) => vec![],
        }
    }
}
