//! Domain values to messages.

use perennial_api::loyalty::v1 as wire;
use perennial_rpc::time::to_wire;
use perennial_types::Workspace;
use uuid::Uuid;

use crate::app::{Change, Order, Outcome, Totals};
use crate::domain::coupon::{Coupon, Refusal, State};
use crate::domain::offer::Benefit;
use crate::store::exceptions::StoredException;
use crate::store::offers::StoredOffer;

/// What became of a coupon to issue.
pub fn receipt(id: Uuid, answer: Result<Coupon, Refusal>) -> wire::CouponReceipt {
    let issue_id = id.to_string();
    match answer {
        Ok(it) => wire::CouponReceipt {
            issue_id,
            code: it.code,
            reason: String::new(),
            expire_time: Some(to_wire(it.expires_at)),
        },
        Err(refusal) => {
            let reason = refusal.reason().to_owned();
            wire::CouponReceipt { issue_id, code: String::new(), reason, expire_time: None }
        }
    }
}

/// What became of coupons and their orders.
pub fn results(orders: &[Order], outcomes: Vec<Outcome>) -> Vec<wire::CouponResult> {
    let result = |(order, outcome): (&Order, Outcome)| wire::CouponResult {
        code: order.code.clone(),
        order_id: order.order.clone().unwrap_or_default(),
        done: outcome.refusal.is_none(),
        reason: outcome.refusal.map_or_else(String::new, |it| it.reason().to_owned()),
        message: outcome.refusal.map_or_else(String::new, |it| it.to_string()),
        state: outcome.state.map_or_else(String::new, |it| it.as_str().to_owned()),
    };
    orders.iter().zip(outcomes).map(result).collect()
}

/// A coupon.
pub fn coupon(space: &Workspace, it: Coupon) -> wire::Coupon {
    wire::Coupon {
        name: format!("{}/coupons/{}", space.resource(), it.code),
        offer: it.offer,
        profile: format!("{}/profiles/{}", space.resource(), it.profile),
        campaign: it.campaign,
        state: it.state.as_str().to_owned(),
        order_id: it.order.unwrap_or_default(),
        discount_minor: it.discount.unwrap_or_default(),
        promised_minor: if it.state == State::Redeemed { 0 } else { it.promised },
        currency: it.currency.to_string(),
        issue_time: Some(to_wire(it.issued_at)),
        valid_from_time: Some(to_wire(it.valid_from)),
        expire_time: Some(to_wire(it.expires_at)),
        code: it.code,
    }
}

/// An offer.
pub fn offer(space: &Workspace, it: StoredOffer) -> wire::Offer {
    let state = if it.live { wire::offer::State::Live } else { wire::offer::State::Stopped };
    let offer = it.offer;
    wire::Offer {
        name: format!("{}/offers/{}", space.resource(), offer.name),
        definition: it.definition,
        state: state.into(),
        version: it.version.unsigned_abs(),
        description: offer.description,
        per_mille: match offer.benefit {
            Benefit::PerMille(it) => i32::try_from(it).unwrap_or_default(),
            _ => 0,
        },
        amount_minor: match offer.benefit {
            Benefit::Amount(it) => it,
            _ => 0,
        },
        free_shipping: offer.benefit == Benefit::FreeShipping,
        cost_minor: offer.cost,
        currency: offer.currency.to_string(),
        valid_seconds: offer.valid_seconds,
        create_time: Some(to_wire(it.created_at)),
        update_time: Some(to_wire(it.updated_at)),
    }
}

/// What an update did.
pub fn change(done: Change) -> wire::update_offer_response::Change {
    match done {
        Change::Created => wire::update_offer_response::Change::Created,
        Change::Updated => wire::update_offer_response::Change::Updated,
        Change::Unchanged => wire::update_offer_response::Change::Unchanged,
    }
}

/// Totals of one offer.
pub fn totals((offer, it): (String, Totals)) -> wire::OfferTotals {
    let count = |state| it.coupons.get(&state).copied().unwrap_or_default();
    wire::OfferTotals {
        offer,
        open_count: count(State::Issued) + count(State::Reserved),
        redeemed_count: count(State::Redeemed),
        expired_count: count(State::Expired),
        released_count: count(State::Released),
        promised_minor: it.promised,
        spent_minor: it.spent,
        excess_minor: it.excess,
        exception_count: it.exceptions,
        currency: it.currency,
    }
}

/// An exception.
pub fn exception(it: StoredException) -> wire::RedemptionException {
    wire::RedemptionException {
        code: it.code,
        order_id: it.order,
        offer: it.offer,
        reason: it.reason,
        cost_minor: it.cost,
        order_time: Some(to_wire(it.at)),
        undone: it.undone,
    }
}
