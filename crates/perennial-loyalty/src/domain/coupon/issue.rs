//! Giving a coupon, and the accounts that bear it.

use perennial_types::{Currency, ProfileId, Timestamp, from_micros, micros};
use uuid::Uuid;

use super::{Coupon, Refusal, State};
use crate::domain::ledger::{Books, Entry, Short};
use crate::domain::offer::Offer;

/// A coupon to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The caller's id.
    pub id: Uuid,
    /// The offer's bare name.
    pub offer: String,
    /// Whom it is bound to.
    pub profile: ProfileId,
    /// The campaign that gives it.
    pub campaign: String,
    /// From when it is valid; absent: from now.
    pub valid_from: Option<Timestamp>,
    /// How long, in seconds; 0: as the offer says.
    pub valid_seconds: i64,
    /// The campaign's own budget, if it has one.
    pub allowance: Option<Allowance>,
}

/// What a campaign may give away in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The period, such as `2026-03`: whoever asks decides where its bounds are.
    pub period: String,
    /// At most so much, minor units.
    pub limit: i64,
    /// Of which currency.
    pub currency: Currency,
}

impl Issue {
    /// The account of the campaign's own budget.
    fn allowance_account(&self) -> Option<(String, &Allowance)> {
        let allowance = self.allowance.as_ref()?;
        Some((format!("allowance/{}/{}", self.campaign, allowance.period), allowance))
    }
}

/// The account that counts what a customer was given.
#[must_use]
pub fn grants_account(offer: &str, profile: ProfileId) -> String {
    format!("grants/{offer}/{profile}")
}

/// An account of an offer, such as `promised/ten-percent`.
#[must_use]
pub fn account(kind: &str, offer: &str) -> String {
    format!("{kind}/{offer}")
}

/// The accounts that issuing from this offer touches: name, unit, floor.
#[must_use]
pub fn issue_accounts(offer: &Offer, issue: &Issue, at: Timestamp) -> Vec<(String, String, Option<i64>)> {
    let currency = offer.currency.to_string();
    let mut accounts = vec![
        (offer.budget_account(at), currency.clone(), offer.monthly_budget.map(|it| -it)),
        (account("promised", &offer.name), currency.clone(), Some(0)),
    ];
    if let Some((name, allowance)) = issue.allowance_account() {
        accounts.push((name, currency.clone(), Some(-allowance.limit)));
        accounts.push((account("charged", &issue.campaign), currency, None));
    }
    if let Some(limit) = offer.limit_per_customer {
        accounts.push((grants_account(&offer.name, issue.profile), "coupon".to_owned(), Some(-limit)));
        accounts.push((account("granted", &offer.name), "coupon".to_owned(), None));
    }
    accounts
}

/// The accounts that anything after issuing touches, but for the allowance, whose floor is what it was.
#[must_use]
pub fn use_accounts(offer: &Offer, coupon: &Coupon) -> Vec<(String, String, Option<i64>)> {
    let currency = offer.currency.to_string();
    let mut accounts = vec![
        (coupon.budget.clone(), currency.clone(), offer.monthly_budget.map(|it| -it)),
        (account("promised", &offer.name), currency.clone(), Some(0)),
        (account("spent", &offer.name), currency.clone(), None),
        (account("excess", &offer.name), currency, None),
        (account("uses", &offer.name), "use".to_owned(), offer.limit.map(|it| -it)),
        (account("used", &offer.name), "use".to_owned(), None),
    ];
    if !coupon.allowance.is_empty() {
        accounts.push((account("charged", &coupon.campaign), offer.currency.to_string(), None));
    }
    if offer.limit_per_customer.is_some() {
        accounts.push((
            grants_account(&offer.name, coupon.profile),
            "coupon".to_owned(),
            offer.limit_per_customer.map(|it| -it),
        ));
        accounts.push((account("granted", &offer.name), "coupon".to_owned(), None));
    }
    accounts
}

/// Issues a coupon.
///
/// # Errors
/// [`Refusal::BudgetSpent`], [`Refusal::CampaignBudgetSpent`] or [`Refusal::LimitPerCustomer`], or why the campaign's
/// budget cannot bear this offer at all.
pub fn issue(
    books: &mut Books,
    offer: &Offer,
    issue: &Issue,
    code: String,
    now: Timestamp,
) -> Result<Coupon, Refusal> {
    let budget = offer.budget_account(now);
    let mut postings = vec![(budget.clone(), -offer.cost), (account("promised", &offer.name), offer.cost)];
    let mut bearer = String::new();
    if let Some((name, allowance)) = issue.allowance_account() {
        if allowance.currency != offer.currency {
            return Err(Refusal::BudgetCurrency);
        }
        if offer.cost == 0 {
            return Err(Refusal::OfferWithoutCost);
        }
        postings.extend([(name.clone(), -offer.cost), (account("charged", &issue.campaign), offer.cost)]);
        bearer = name;
    }
    if offer.limit_per_customer.is_some() {
        postings.push((grants_account(&offer.name, issue.profile), -1));
        postings.push((account("granted", &offer.name), 1));
    }
    let entry = Entry { coupon: code.clone(), sequence: 0, kind: "issue", at: now, postings };
    books.post(entry).map_err(|Short(account)| match account.split('/').next() {
        Some("grants") => Refusal::LimitPerCustomer,
        Some("allowance") => Refusal::CampaignBudgetSpent,
        _ => Refusal::BudgetSpent,
    })?;
    let valid_from = issue.valid_from.unwrap_or(now).max(now);
    let seconds = if issue.valid_seconds > 0 { issue.valid_seconds } else { offer.valid_seconds };
    Ok(Coupon {
        code,
        issue_id: issue.id,
        offer: offer.name.clone(),
        profile: issue.profile,
        campaign: issue.campaign.clone(),
        state: State::Issued,
        promised: offer.cost,
        currency: offer.currency,
        budget,
        allowance: bearer,
        issued_at: now,
        valid_from,
        expires_at: from_micros(micros(valid_from).saturating_add(seconds.saturating_mul(1_000_000))),
        order: None,
        reserved_until: None,
        discount: None,
        excess: 0,
        used: false,
        sequence: 1,
    })
}
