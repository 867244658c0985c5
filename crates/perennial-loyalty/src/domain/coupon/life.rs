//! What happens to a coupon once it is given.

use perennial_types::{ProfileId, Timestamp};

use super::{Coupon, Refusal, State, account, grants_account};
use crate::domain::ledger::{Books, Entry};

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

    /// Gives `amount` back to what bears it, or takes it if it is negative: the offer's budget, and the campaign's.
    fn bearers(&self, amount: i64) -> Vec<(String, i64)> {
        let mut postings = vec![(self.budget.clone(), amount)];
        if !self.allowance.is_empty() {
            postings.push((self.allowance.clone(), amount));
            postings.push((account("charged", &self.campaign), -amount));
        }
        postings
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
    pub(in crate::domain) fn settle(&mut self, books: &mut Books, order: &str, discount: i64, at: Timestamp) {
        let discount = discount.max(0);
        let (promised, spent) = (account("promised", &self.offer), account("spent", &self.offer));
        let within = discount.min(self.promised);
        let mut postings = vec![(promised, -self.promised), (spent.clone(), within)];
        postings.extend(self.bearers(self.promised - within));
        let entry = self.entry("redeem", at, postings);
        books.post(entry).expect("what was promised is there to be moved");
        let more = discount - within;
        let mut postings = vec![(spent.clone(), more)];
        postings.extend(self.bearers(-more));
        let from_budget = self.entry("redeem", at, postings);
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
            let mut postings = vec![
                (account("spent", &self.offer), -discount),
                (account("promised", &self.offer), self.promised),
                (account("excess", &self.offer), self.excess),
            ];
            postings.extend(self.bearers(more - self.excess));
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
        let mut postings = vec![(account("promised", &self.offer), -self.promised)];
        postings.extend(self.bearers(self.promised));
        let entry = self.entry(kind, now, postings);
        books.post(entry).expect("what was promised is there to be moved");
        self.promised = 0;
    }
}
