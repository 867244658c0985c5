//! Coupons: issue, reserve, redeem, release, end.

use std::collections::{BTreeMap, BTreeSet};

use perennial_feed::erased_among;
use perennial_store::Store;
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros, micros};
use rand::TryRngCore;

use super::{App, books_of};
use crate::domain::coupon::{self, Coupon, Issue, Refusal, State, grants_account, issue_accounts};
use crate::error::{Error, Result};
use crate::store::coupons::Filter;
use crate::store::exceptions::StoredException;
use crate::store::{coupons, exceptions, ledger, merges, offers};

/// How long a reservation lasts if nobody says: 15 minutes.
const RESERVATION_MICROS: i64 = 15 * 60 * 1_000_000;
/// Coupons that end in one transaction.
const ENDING: i64 = 500;

/// A coupon and the order it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The coupon's code.
    pub code: String,
    /// The order; absent for a withdrawal.
    pub order: Option<String>,
    /// Whose order it is, if that is to be checked.
    pub profile: Option<ProfileId>,
    /// What it got off, minor units.
    pub discount: i64,
    /// When a reservation ends.
    pub until: Option<Timestamp>,
}

/// What became of one coupon of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why not.
    pub refusal: Option<Refusal>,
    /// The coupon afterwards.
    pub state: Option<State>,
}

/// What is to be done with the coupons of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Reserve,
    Redeem,
    Release,
}

impl Act {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Redeem => "redeem",
            Self::Release => "release",
        }
    }
}

impl App {
    /// Issues coupons; one answer for each, in order. A repeated id gives the same coupon.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn issue(
        &self,
        workspace: &Workspace,
        issues: &[Issue],
    ) -> Result<Vec<std::result::Result<Coupon, Refusal>>> {
        for _ in 0..3 {
            match self.issue_once(workspace, issues).await {
                // Somebody else is issuing the same coupons: the next look finds them.
                Err(Error::Collision) => {}
                answer => return answer,
            }
        }
        Err(Error::Collision)
    }

    async fn issue_once(
        &self,
        workspace: &Workspace,
        issues: &[Issue],
    ) -> Result<Vec<std::result::Result<Coupon, Refusal>>> {
        let now = self.clock.now();
        let mut codes = Codes::new(issues.len());
        let tx = self.store.write().await?;
        let mut known = coupons::by_issue(&tx, workspace, issues.iter().map(|it| it.id)).await?;
        let names: BTreeSet<&str> = issues.iter().map(|it| it.offer.as_str()).collect();
        let offers = offers::find_all(&tx, workspace, &names).await?;
        let profiles: BTreeSet<ProfileId> = issues.iter().map(|it| it.profile).collect();
        let erased = erased_among(&tx, workspace, profiles.iter().copied()).await?;
        let current = merges::current(&tx, workspace, &profiles).await?;
        let mut accounts = BTreeMap::new();
        for it in issues.iter().filter(|it| !known.contains_key(&it.id) && !erased.contains(&it.profile)) {
            let profile = *current.get(&it.profile).unwrap_or(&it.profile);
            if let Some(stored) = offers.get(&it.offer).filter(|it| it.live) {
                let bound = Issue { profile, ..it.clone() };
                for (name, unit, floor) in issue_accounts(&stored.offer, &bound, now) {
                    accounts.insert(name, (unit, floor));
                }
            }
        }
        let mut books = ledger::open(&tx, workspace, accounts, BTreeSet::new()).await?;
        let mut fresh = Vec::new();
        let mut answers = Vec::with_capacity(issues.len());
        for it in issues {
            let answer = match (known.get(&it.id), offers.get(&it.offer)) {
                (Some(coupon), _) => Ok(coupon.clone()),
                (None, None) => Err(Refusal::OfferNotFound),
                (None, Some(_)) if erased.contains(&it.profile) => Err(Refusal::CustomerErased),
                (None, Some(stored)) if !stored.live => Err(Refusal::OfferStopped),
                (None, Some(stored)) => {
                    let profile = *current.get(&it.profile).unwrap_or(&it.profile);
                    let bound = Issue { profile, ..it.clone() };
                    let code = codes.next(&stored.offer.code_prefix);
                    coupon::issue(&mut books, &stored.offer, &bound, code, now).inspect(|coupon| {
                        known.insert(it.id, coupon.clone());
                        fresh.push(coupon.clone());
                    })
                }
            };
            answers.push(answer);
        }
        if !fresh.is_empty() {
            if coupons::insert(&tx, workspace, &fresh).await? != fresh.len() as u64 {
                return Err(Error::Collision);
            }
            ledger::close(&tx, workspace, books).await?;
            Store::commit(tx).await?;
            self.bell.ring(&Self::topic());
        }
        for it in &answers {
            self.metrics.asked("issue", it.as_ref().err().copied());
        }
        Ok(answers)
    }

    /// Keeps coupons for orders.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn reserve(&self, workspace: &Workspace, orders: &[Order]) -> Result<Vec<Outcome>> {
        self.act(workspace, orders, Act::Reserve).await
    }

    /// Uses coupons for orders.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn redeem(&self, workspace: &Workspace, orders: &[Order]) -> Result<Vec<Outcome>> {
        self.act(workspace, orders, Act::Redeem).await
    }

    /// Undoes what orders did with coupons, or withdraws those without an order.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn release(&self, workspace: &Workspace, orders: &[Order]) -> Result<Vec<Outcome>> {
        self.act(workspace, orders, Act::Release).await
    }

    async fn act(&self, workspace: &Workspace, orders: &[Order], act: Act) -> Result<Vec<Outcome>> {
        let now = self.clock.now();
        let tx = self.store.write().await?;
        let codes = orders.iter().map(|it| it.code.as_str());
        let mut found = coupons::lock(&tx, workspace, codes, std::iter::empty()).await?;
        let profiles = found.values().map(|it| it.profile).chain(orders.iter().filter_map(|it| it.profile));
        let current = merges::current(&tx, workspace, &profiles.collect()).await?;
        let become_now = |it: ProfileId| *current.get(&it).unwrap_or(&it);
        let mut books = books_of(&tx, workspace, &found).await?;
        let before = found.clone();
        let mut outcomes = Vec::with_capacity(orders.len());
        for it in orders {
            let Some(coupon) = found.get_mut(&it.code) else {
                outcomes.push(Outcome { refusal: Some(Refusal::NotFound), state: None });
                continue;
            };
            coupon.lapse(&mut books, now);
            // A coupon follows its customer through merges.
            let owner = become_now(coupon.profile);
            let profile = it.profile.map(become_now).map(|it| if it == owner { coupon.profile } else { it });
            let result = match (act, it.order.as_deref()) {
                (Act::Reserve, Some(order)) => {
                    let until = it.until.unwrap_or_else(|| from_micros(micros(now) + RESERVATION_MICROS));
                    coupon.reserve(&mut books, profile, order, until, now)
                }
                (Act::Redeem, Some(order)) => coupon.redeem(&mut books, profile, order, it.discount, now),
                (Act::Release, Some(order)) => {
                    coupon.release(&mut books, order, now);
                    Ok(())
                }
                (_, None) => {
                    let granted = books.account(&grants_account(&coupon.offer, coupon.profile)).is_some();
                    match coupon.withdraw(&mut books, granted, now) {
                        true => Ok(()),
                        false if coupon.state == State::Redeemed => Err(Refusal::Redeemed),
                        false => Ok(()),
                    }
                }
            };
            outcomes.push(Outcome { refusal: result.err(), state: Some(coupon.state) });
        }
        let changed: Vec<_> = found.values().filter(|it| before.get(&it.code) != Some(it)).collect();
        if !changed.is_empty() {
            coupons::update(&tx, workspace, changed.into_iter()).await?;
            ledger::close(&tx, workspace, books).await?;
            Store::commit(tx).await?;
            self.bell.ring(&Self::topic());
        }
        for it in &outcomes {
            self.metrics.asked(act.as_str(), it.refusal);
        }
        Ok(outcomes)
    }

    /// Ends reservations and validities whose instant has come. Answers how many coupons it looked at.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn end_due(&self) -> Result<usize> {
        let now = self.clock.now();
        let due = coupons::due(self.store.read(), now, ENDING).await?;
        let mut seen = 0;
        for (workspace, codes) in due {
            seen += codes.len();
            let tx = self.store.write().await?;
            let codes = codes.iter().map(String::as_str);
            let mut found = coupons::lock(&tx, &workspace, codes, std::iter::empty()).await?;
            let mut books = books_of(&tx, &workspace, &found).await?;
            for coupon in found.values_mut() {
                coupon.lapse(&mut books, now);
            }
            coupons::update(&tx, &workspace, found.values()).await?;
            ledger::close(&tx, &workspace, books).await?;
            Store::commit(tx).await?;
            self.metrics.ended(found.len());
        }
        Ok(seen)
    }

    /// When the next reservation or validity ends.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn next_end(&self) -> Result<Option<Timestamp>> {
        Ok(coupons::next_due(self.store.read()).await?)
    }

    /// Reads a coupon.
    ///
    /// # Errors
    /// If there is none.
    pub async fn coupon(&self, workspace: &Workspace, code: &str) -> Result<Coupon> {
        let found = coupons::find(self.store.read(), workspace, code).await?;
        found.ok_or_else(|| Error::CouponNotFound(code.to_owned()))
    }

    /// Coupons, newest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn coupons(
        &self,
        workspace: &Workspace,
        filter: &Filter,
        before: Option<(i64, String)>,
        limit: u64,
    ) -> Result<Vec<Coupon>> {
        Ok(coupons::list(self.store.read(), workspace, filter, before, limit).await?)
    }

    /// Exceptions, newest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn exceptions(
        &self,
        workspace: &Workspace,
        before: Option<(i64, String, String)>,
        limit: u64,
    ) -> Result<Vec<StoredException>> {
        Ok(exceptions::list(self.store.read(), workspace, before, limit).await?)
    }
}

/// Codes that nobody can guess: the offer's prefix and ten digits of 32 kinds, without those that look alike.
struct Codes {
    random: Vec<u8>,
}

impl Codes {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    fn new(count: usize) -> Self {
        let mut random = vec![0; count * 10];
        rand::rngs::OsRng.try_fill_bytes(&mut random).expect("the system has a source of randomness");
        Self { random }
    }

    fn next(&mut self, prefix: &str) -> String {
        let rest = self.random.split_off(self.random.len().saturating_sub(10));
        let digits = rest.iter().map(|it| char::from(Self::DIGITS[usize::from(it & 31)]));
        format!("{prefix}-{}", digits.collect::<String>())
    }
}
