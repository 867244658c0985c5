//! Coupons, bound to one profile: issued, reserved for an order, redeemed by it, released, expired.
//!
//! What each step posts: issuing sets the expected cost aside (`budget` → `promised`) and takes one of the customer's
//! grants; reserving or redeeming takes one of the offer's uses; redeeming moves the real discount to `spent`, the rest
//! back to `budget`, and what the budget cannot bear to `excess`, shown as an exception. Releasing undoes. A campaign's
//! own budget is a second bearer: whatever moves `budget` moves its `allowance` alike, against `charged`.

mod issue;
mod life;

use perennial_types::{Currency, ProfileId, Timestamp};
use uuid::Uuid;

pub use issue::{Allowance, Issue, account, grants_account, issue, issue_accounts, use_accounts};

/// Where a coupon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Given, not used.
    Issued,
    /// Kept for one order, until its reservation ends.
    Reserved,
    /// Used by one order.
    Redeemed,
    /// Taken back before anybody had it.
    Released,
    /// Not used in time.
    Expired,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Issued, Self::Reserved, Self::Redeemed, Self::Released, Self::Expired];

    /// Its word in tables and APIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Reserved => "reserved",
            Self::Redeemed => "redeemed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// Reads its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// A coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupon {
    /// Its code.
    pub code: String,
    /// The id it was issued under.
    pub issue_id: Uuid,
    /// The offer's bare name.
    pub offer: String,
    /// Whom it is bound to.
    pub profile: ProfileId,
    /// The campaign that gave it.
    pub campaign: String,
    /// Where it stands.
    pub state: State,
    /// Set aside for it, minor units.
    pub promised: i64,
    /// Currency of its amounts.
    pub currency: Currency,
    /// The budget account it was set aside from.
    pub budget: String,
    /// The account of the campaign's own budget that bears it too; empty if there is none.
    pub allowance: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when it is valid.
    pub valid_from: Timestamp,
    /// From this instant it is valid no more.
    pub expires_at: Timestamp,
    /// The order that reserved or used it.
    pub order: Option<String>,
    /// When its reservation ends.
    pub reserved_until: Option<Timestamp>,
    /// What it really cost, minor units, once redeemed.
    pub discount: Option<i64>,
    /// The part of it that no budget bore.
    pub excess: i64,
    /// One of the offer's uses is taken by it.
    pub used: bool,
    /// Number of its next entry.
    pub sequence: i64,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such offer.
    #[error("there is no such offer: apply its file first")]
    OfferNotFound,
    /// The offer gives nothing more.
    #[error("the offer is stopped")]
    OfferStopped,
    /// The month's budget is used up.
    #[error("the offer's budget of this month is spent")]
    BudgetSpent,
    /// What the campaign may give away in this period is used up.
    #[error("the campaign's budget of this period is spent")]
    CampaignBudgetSpent,
    /// A budget cannot bear what has no cost.
    #[error("a campaign's budget needs offers with a cost: write one into the offer's file")]
    OfferWithoutCost,
    /// The budget is in another currency than the offer.
    #[error("the campaign's budget is in another currency than the offer")]
    BudgetCurrency,
    /// This customer has had as many as the offer allows.
    #[error("the customer has had as many coupons of this offer as it allows")]
    LimitPerCustomer,
    /// All uses of the offer are taken.
    #[error("the offer has been used as often as it allows")]
    LimitReached,
    /// Whom it is for was erased.
    #[error("the customer was erased")]
    CustomerErased,
    /// No such coupon.
    #[error("there is no such coupon")]
    NotFound,
    /// It belongs to somebody else.
    #[error("the coupon is bound to another customer")]
    OtherCustomer,
    /// It was used by another order.
    #[error("the coupon was redeemed by another order")]
    Redeemed,
    /// Another order keeps it.
    #[error("the coupon is reserved for another order")]
    Reserved,
    /// Too late.
    #[error("the coupon has expired")]
    Expired,
    /// Too early.
    #[error("the coupon is not valid yet")]
    NotYetValid,
    /// It was taken back.
    #[error("the coupon was withdrawn")]
    Withdrawn,
}

impl Refusal {
    /// Its stable name.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::OfferNotFound => "OFFER_NOT_FOUND",
            Self::OfferStopped => "OFFER_STOPPED",
            Self::BudgetSpent => "BUDGET_SPENT",
            Self::CampaignBudgetSpent => "CAMPAIGN_BUDGET_SPENT",
            Self::OfferWithoutCost => "OFFER_WITHOUT_COST",
            Self::BudgetCurrency => "BUDGET_CURRENCY",
            Self::LimitPerCustomer => "LIMIT_PER_CUSTOMER",
            Self::LimitReached => "LIMIT_REACHED",
            Self::CustomerErased => "CUSTOMER_ERASED",
            Self::NotFound => "COUPON_NOT_FOUND",
            Self::OtherCustomer => "COUPON_OF_OTHER_CUSTOMER",
            Self::Redeemed => "COUPON_REDEEMED",
            Self::Reserved => "COUPON_RESERVED",
            Self::Expired => "COUPON_EXPIRED",
            Self::NotYetValid => "COUPON_NOT_YET_VALID",
            Self::Withdrawn => "COUPON_WITHDRAWN",
        }
    }
}
