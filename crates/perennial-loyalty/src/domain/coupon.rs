//! Coupons, bound to one profile: issued, reserved for an order, redeemed by it, released, expired.
//!
//! What each step posts: issuing sets the expected cost aside (`budget` → `promised`) and takes one of the customer's
//! grants; reserving or redeeming takes one of the offer's uses; redeeming moves the real discount to `spent`, the rest
//! back to `budget`, and what the budget cannot bear to `excess`, shown as an exception. Releasing undoes.

use perennial_types::{Currency, ProfileId, Timestamp, from_micros, micros};
use uuid::Uuid;

use super::ledger::{Books, Entry, Short};
use super::offer::Offer;

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
    /// This customer has had as many as the offer allows.
    #[error("the customer has had as many coupons of this offer as it allows")]
    LimitPerCustomer,
    /// All uses of the offer are taken.
    #[error("the offer has been used as often as it allows")]
    LimitReached,
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
            Self::LimitPerCustomer => "LIMIT_PER_CUSTOMER",
            Self::LimitReached => "LIMIT_REACHED",
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

/// The accounts that issuing from this offer to this profile touches: name, unit, floor.
#[must_use]
pub fn issue_accounts(
    offer: &Offer,
    profile: ProfileId,
    at: Timestamp,
) -> Vec<(String, String, Option<i64>)> {
    let currency = offer.currency.to_string();
    let mut accounts = vec![
        (offer.budget_account(at), currency.clone(), offer.monthly_budget.map(|it| -it)),
        (account("promised", &offer.name), currency, Some(0)),
    ];
    if let Some(limit) = offer.limit_per_customer {
        accounts.push((grants_account(&offer.name, profile), "coupon".to_owned(), Some(-limit)));
        accounts.push((account("granted", &offer.name), "coupon".to_owned(), None));
    }
    accounts
}

/// The accounts that anything after issuing touches.
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
/// [`Refusal::BudgetSpent`] or [`Refusal::LimitPerCustomer`].
pub fn issue(
    books: &mut Books,
    offer: &Offer,
    issue: &Issue,
    code: String,
    now: Timestamp,
) -> Result<Coupon, Refusal> {
    let budget = offer.budget_account(now);
    let mut postings = vec![(budget.clone(), -offer.cost), (account("promised", &offer.name), offer.cost)];
    if offer.limit_per_customer.is_some() {
        postings.push((grants_account(&offer.name, issue.profile), -1));
        postings.push((account("granted", &offer.name), 1));
    }
    let entry = Entry { coupon: code.clone(), sequence: 0, kind: "issue", at: now, postings };
    books.post(entry).map_err(|Short(account)| match account.starts_with("grants/") {
        true => Refusal::LimitPerCustomer,
        false => Refusal::BudgetSpent,
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

impl Coupon {
    /// When something happens to it by itself: its reservation or its validity ends.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        match self.state {
            State::Issued => Some(self.expires_at),
            State::Reserved => self.reserved_until,
            _ => None,
        }
    }

    fn entry(&mut self, kind: &'static str, at: Timestamp, postings: Vec<(String, i64)>) -> Entry {
        let entry = Entry { coupon: self.code.clone(), sequence: self.sequence, kind, at, postings };
        self.sequence += 1;
        entry
    }

    /// Whether `order` of `profile` may use it at `now`.
    fn usable(&self, profile: Option<ProfileId>, order: &str, now: Timestamp) -> Result<(), Refusal> {
        if profile.is_some_and(|it| it != self.profile) {
            return Err(Refusal::OtherCustomer);
        }
        match self.state {
            State::Redeemed => return Err(Refusal::Redeemed),
            State::Released => return Err(Refusal::Withdrawn),
            State::Expired => return Err(Refusal::Expired),
            State::Reserved if self.order.as_deref() == Some(order) => return Ok(()),
            State::Reserved if self.reserved_until.is_some_and(|until| now < until) => {
                return Err(Refusal::Reserved);
            }
            State::Reserved | State::Issued => {}
        }
        if now < self.valid_from {
            return Err(Refusal::NotYetValid);
        }
        if now >= self.expires_at { Err(Refusal::Expired) } else { Ok(()) }
    }

    fn take_use(&mut self, books: &mut Books, kind: &'static str, at: Timestamp) -> Result<(), Refusal> {
        if self.used {
            return Ok(());
        }
        let postings = vec![(account("uses", &self.offer), -1), (account("used", &self.offer), 1)];
        let entry = self.entry(kind, at, postings);
        books.post(entry).map_err(|_| Refusal::LimitReached)?;
        self.used = true;
        Ok(())
    }

    /// Keeps it for `order` until `until`. The same order may ask again, and moves the end.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn reserve(
        &mut self,
        books: &mut Books,
        profile: Option<ProfileId>,
        order: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.usable(profile, order, now)?;
        self.take_use(books, "reserve", now)?;
        self.state = State::Reserved;
        self.order = Some(order.to_owned());
        self.reserved_until = Some(until.max(now));
        Ok(())
    }

    /// Uses it for `order`, which got `discount` off. The same order may ask again: nothing changes.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn redeem(
        &mut self,
        books: &mut Books,
        profile: Option<ProfileId>,
        order: &str,
        discount: i64,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.state == State::Redeemed && self.order.as_deref() == Some(order) {
            return Ok(());
        }
        self.usable(profile, order, now)?;
        self.take_use(books, "redeem", now)?;
        self.settle(books, order, discount, now);
        Ok(())
    }

    /// Posts what a use really cost and marks it redeemed; never fails.
    pub(super) fn settle(&mut self, books: &mut Books, order: &str, discount: i64, at: Timestamp) {
        let discount = discount.max(0);
        let (promised, spent) = (account("promised", &self.offer), account("spent", &self.offer));
        let within = discount.min(self.promised);
        let postings = vec![
            (promised, -self.promised),
            (spent.clone(), within),
            (self.budget.clone(), self.promised - within),
        ];
        let entry = self.entry("redeem", at, postings);
        books.post(entry).expect("what was promised is there to be moved");
        let more = discount - within;
        let from_budget = self.entry("redeem", at, vec![(self.budget.clone(), -more), (spent.clone(), more)]);
        self.excess = 0;
        if books.post(from_budget).is_err() {
            let excess =
                self.entry("exception", at, vec![(account("excess", &self.offer), -more), (spent, more)]);
            books.post(excess).expect("the account of exceptions has no floor");
            self.excess = more;
        }
        self.promised = within;
        self.discount = Some(discount);
        self.state = State::Redeemed;
        self.order = Some(order.to_owned());
        self.reserved_until = None;
    }

    /// Undoes what `order` did with it: its reservation or its redemption. It can be used again if it is still valid.
    /// Whatever another order did stays; answers whether anything was undone.
    pub fn release(&mut self, books: &mut Books, order: &str, now: Timestamp) -> bool {
        if self.order.as_deref() != Some(order) || !matches!(self.state, State::Reserved | State::Redeemed) {
            return false;
        }
        if let Some(discount) = self.discount.take() {
            let more = discount - self.promised;
            let postings = vec![
                (account("spent", &self.offer), -discount),
                (account("promised", &self.offer), self.promised),
                (self.budget.clone(), more - self.excess),
                (account("excess", &self.offer), self.excess),
            ];
            let entry = self.entry("release", now, postings);
            books.post(entry).expect("what was spent is there to be moved back");
            self.excess = 0;
        }
        self.give_back_use(books, now);
        self.state = State::Issued;
        self.order = None;
        self.reserved_until = None;
        if now >= self.expires_at {
            self.expire(books, now);
        }
        true
    }

    fn give_back_use(&mut self, books: &mut Books, now: Timestamp) {
        if self.used {
            let postings = vec![(account("uses", &self.offer), 1), (account("used", &self.offer), -1)];
            let entry = self.entry("release", now, postings);
            books.post(entry).expect("a use that was taken can be given back");
            self.used = false;
        }
    }

    /// Takes it back before it reached anybody: budget and grant are as if it had never been issued. Answers whether
    /// it was still unused.
    pub fn withdraw(&mut self, books: &mut Books, granted: bool, now: Timestamp) -> bool {
        if !matches!(self.state, State::Issued | State::Reserved) {
            return false;
        }
        self.give_back_use(books, now);
        self.return_promise(books, "withdraw", now);
        if granted {
            let postings =
                vec![(grants_account(&self.offer, self.profile), 1), (account("granted", &self.offer), -1)];
            let entry = self.entry("withdraw", now, postings);
            books.post(entry).expect("a grant that was taken can be given back");
        }
        self.state = State::Released;
        self.order = None;
        self.reserved_until = None;
        true
    }

    /// Ends its reservation or its validity, whichever has come at `now`. Answers whether anything ended.
    pub fn lapse(&mut self, books: &mut Books, now: Timestamp) -> bool {
        if self.due().is_none_or(|due| now < due) {
            return false;
        }
        if let (State::Reserved, Some(order)) = (self.state, self.order.clone()) {
            return self.release(books, &order, now);
        }
        self.expire(books, now);
        true
    }

    fn expire(&mut self, books: &mut Books, now: Timestamp) {
        self.return_promise(books, "expire", now);
        self.state = State::Expired;
    }

    fn return_promise(&mut self, books: &mut Books, kind: &'static str, now: Timestamp) {
        let postings =
            vec![(account("promised", &self.offer), -self.promised), (self.budget.clone(), self.promised)];
        let entry = self.entry(kind, now, postings);
        books.post(entry).expect("what was promised is there to be moved");
        self.promised = 0;
    }
}
