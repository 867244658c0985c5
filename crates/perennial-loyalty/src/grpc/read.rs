//! Messages to domain values, naming every field that is wrong.

use perennial_api::loyalty::v1 as wire;
use perennial_rpc::{Field, Invalid, resource, time};
use perennial_types::{Currency, ProfileId, Workspace};
use uuid::Uuid;

use crate::app::Order;
use crate::domain::coupon::{Allowance, Issue, State};

const MOST: usize = 1_000;

/// A profile's resource name, of this workspace.
pub fn profile(field: &str, name: &str, space: &Workspace) -> Result<ProfileId, Invalid> {
    let (found, id) = resource(field, name, "profiles")?;
    if found != *space {
        return Err(Invalid::new(field, format!("is of workspace {found}, but parent is {space}")));
    }
    ProfileId::parse(id).field(field)
}

/// A profile's resource name, or nothing.
pub fn optional_profile(field: &str, name: &str, space: &Workspace) -> Result<Option<ProfileId>, Invalid> {
    if name.is_empty() { Ok(None) } else { profile(field, name, space).map(Some) }
}

/// A coupon's state, or nothing.
pub fn state(word: &str) -> Result<Option<State>, Invalid> {
    if word.is_empty() {
        return Ok(None);
    }
    let known = || format!("is {word:?}: use issued, reserved, redeemed, released or expired");
    State::parse(word).ok_or_else(known).field("state").map(Some)
}

/// Whether an offer is to give.
pub fn live(state: i32) -> Result<Option<bool>, Invalid> {
    match wire::offer::State::try_from(state) {
        Ok(wire::offer::State::Unspecified) => Ok(None),
        Ok(wire::offer::State::Live) => Ok(Some(true)),
        Ok(wire::offer::State::Stopped) => Ok(Some(false)),
        Err(_) => Err(Invalid::new("offer.state", "is none of ours: use STATE_LIVE or STATE_STOPPED")),
    }
}

fn count(length: usize) -> Result<(), Invalid> {
    if length > MOST {
        return Err(Invalid::new("coupons", format!("are {length}: send at most {MOST} at once")));
    }
    Ok(())
}

/// A campaign's own budget.
fn allowance(at: &str, budget: wire::CampaignBudget, campaign: &str) -> Result<Allowance, Invalid> {
    let mut invalid = Invalid::default();
    let period = budget.period;
    if campaign.is_empty() {
        invalid.add(at.to_owned(), "is of no campaign: name one in campaign");
    }
    let fits = |it: char| it.is_ascii_alphanumeric() || it == '-';
    if period.is_empty() || period.len() > 20 || !period.chars().all(fits) {
        invalid.add(format!("{at}.period"), "is no period: send one such as 2026-03");
    }
    if budget.limit_minor < 0 {
        invalid.add(format!("{at}.limit_minor"), "is negative: send what may be given away");
    }
    let currency = Currency::parse(&budget.currency).map_err(|error| error.to_string());
    let currency = invalid.take(currency.field(&format!("{at}.currency")));
    let limit = budget.limit_minor;
    invalid.into_result()?;
    Ok(Allowance { period, limit, currency: currency.unwrap_or(Currency::EUR) })
}

/// Coupons to issue.
pub fn issues(space: &Workspace, coupons: Vec<wire::CouponRequest>) -> Result<Vec<Issue>, Invalid> {
    count(coupons.len())?;
    let mut invalid = Invalid::default();
    let mut issues = Vec::with_capacity(coupons.len());
    for (n, it) in coupons.into_iter().enumerate() {
        let at = |field: &str| format!("coupons[{n}].{field}");
        let problem = "is not a UUID: send one such as 0198f3a2-7c1e-7abc-8def-001122334455";
        let id = invalid.take(Uuid::parse_str(&it.issue_id).map_err(|_| problem).field(&at("issue_id")));
        let profile = invalid.take(profile(&at("profile"), &it.profile, space));
        let valid_from =
            it.valid_from_time.as_ref().map(|time| time::from_wire(time, &at("valid_from_time")));
        let valid_from = invalid.take(valid_from.transpose());
        if it.valid_seconds < 0 {
            invalid.add(at("valid_seconds"), "is negative: send 0 for the offer's own, or more");
        }
        let allowance = it.budget.map(|budget| allowance(&at("budget"), budget, &it.campaign));
        let allowance = invalid.take(allowance.transpose());
        if let (Some(id), Some(profile), Some(valid_from), Some(allowance)) =
            (id, profile, valid_from, allowance)
        {
            let (offer, campaign, valid_seconds) = (it.offer, it.campaign, it.valid_seconds);
            issues.push(Issue { id, offer, profile, campaign, valid_from, valid_seconds, allowance });
        }
    }
    invalid.into_result().map(|()| issues)
}

/// Coupons and their orders; `order` is needed unless they are to be released.
pub fn orders(space: &Workspace, coupons: &[wire::CouponOrder], needed: bool) -> Result<Vec<Order>, Invalid> {
    count(coupons.len())?;
    let mut invalid = Invalid::default();
    let mut orders = Vec::with_capacity(coupons.len());
    for (n, it) in coupons.iter().enumerate() {
        let at = |field: &str| format!("coupons[{n}].{field}");
        let code = it.code.trim().to_uppercase();
        if code.is_empty() || code.len() > 64 {
            invalid.add(at("code"), "is empty or longer than 64: send the coupon's code");
        }
        if needed && it.order_id.is_empty() {
            invalid.add(at("order_id"), "is empty: send the shop's id of the order");
        }
        if it.order_id.len() > 255 {
            invalid.add(at("order_id"), "is longer than 255");
        }
        if it.discount_minor < 0 {
            invalid.add(at("discount_minor"), "is negative: send what the order got off, in minor units");
        }
        let profile = invalid.take(optional_profile(&at("profile"), &it.profile, space)).flatten();
        let until = it.until_time.as_ref().map(|time| time::from_wire(time, &at("until_time")));
        let until = invalid.take(until.transpose()).flatten();
        let order = Some(it.order_id.clone()).filter(|it| !it.is_empty());
        orders.push(Order { code, order, profile, discount: it.discount_minor, until });
    }
    invalid.into_result().map(|()| orders)
}
