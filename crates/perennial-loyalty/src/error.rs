//! What can go wrong, in the words of offers and coupons.

use perennial_store::StoreError;
use perennial_types::{Detail, Fault, Kind};

use crate::domain::offer::OfferError;

/// A request that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such offer.
    #[error("offer {0} does not exist: apply its file first")]
    OfferNotFound(String),
    /// No such coupon.
    #[error("coupon {0} does not exist")]
    CouponNotFound(String),
    /// The definition is wrong.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The definition names another offer than the request.
    #[error("the definition is of offer {definition}, but the name is of {name}: use one name")]
    OtherName {
        /// In the resource name.
        name: String,
        /// In the definition.
        definition: String,
    },
    /// An offer's coupons are in one currency for ever.
    #[error("offer {name} is in {currency}: an offer's currency cannot change, so make another offer")]
    Currency {
        /// The offer.
        name: String,
        /// Its currency.
        currency: String,
    },
    /// Another request issued the same coupon at the same time.
    #[error("the same coupons are being issued by another request: try again")]
    Collision,
    /// The database refused.
    #[error("the ledger's database refused")]
    Store(#[from] StoreError),
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::OfferNotFound(_) | Self::CouponNotFound(_) => Kind::NotFound,
            Self::Offer(_) | Self::OtherName { .. } => Kind::Invalid,
            Self::Currency { .. } => Kind::Precondition,
            Self::Collision => Kind::Conflict,
            Self::Store(it) if it.is_transient() => Kind::Unavailable,
            Self::Store(_) => Kind::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::OfferNotFound(_) => "OFFER_NOT_FOUND",
            Self::CouponNotFound(_) => "COUPON_NOT_FOUND",
            Self::Offer(_) => "OFFER_INVALID",
            Self::OtherName { .. } => "OFFER_NAME_DIFFERS",
            Self::Currency { .. } => "OFFER_CURRENCY_FIXED",
            Self::Collision => "COUPONS_COLLIDE",
            Self::Store(it) if it.is_transient() => "LEDGER_UNAVAILABLE",
            Self::Store(_) => "LEDGER_BROKEN",
        }
    }

    fn details(&self) -> Vec<Detail> {
        match self {
            Self::OfferNotFound(name) => vec![Detail::Resource { kind: "Offer", name: name.clone() }],
            Self::CouponNotFound(name) => vec![Detail::Resource { kind: "Coupon", name: name.clone() }],
            Self::Offer(it) => {
                vec![Detail::Field { name: "offer.definition".to_owned(), problem: it.problem.clone() }]
            }
            Self::OtherName { .. } => {
                vec![Detail::Field { name: "offer.name".to_owned(), problem: self.to_string() }]
            }
            _ => vec![],
        }
    }
}
