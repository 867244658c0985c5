//! A shop whose customers are known to the last coin toss: Linden & Co.
//!
//! The simulator stands in for the world outside: it emits what a shop would send (identify, views, carts, orders,
//! refunds, tickets) and reacts to the messages that reach its customers' inboxes. It does no I/O and knows no time but
//! what it is told, and it knows what each message is truly worth, which is what a report's estimate is held against.
//!
//! The same seed and the same messages received at the same slices give the same events, down to their ids.

mod catalogue;
mod chance;
mod customer;
mod happening;
mod plan;
mod reaction;
pub mod wire;

use std::collections::BTreeMap;

use perennial_types::Timestamp;

pub use catalogue::{CATALOGUE, Product};
pub use customer::Customer;
pub use happening::{Happening, Line, Order, What};
pub use reaction::{Coupon, Letter};

use plan::Plan;
use reaction::Reactions;

/// What makes one shop differ from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The seed of everything.
    pub seed: u64,
    /// How many customers come by within the time.
    pub customers: u32,
    /// How many days are watched.
    pub days: u32,
    /// When the first day begins.
    pub start: Timestamp,
}

/// The shop.
#[derive(Debug)]
pub struct Shop {
    settings: Settings,
    customers: Vec<Customer>,
    plans: Vec<Plan>,
    /// Everybody's base lives in one line; those up to `next` have happened.
    line: Vec<(Timestamp, u32, u32)>,
    next: usize,
    /// What messages brought about, still to come: by instant, customer and key, so that order never depends on when a
    /// message was seen.
    brought: BTreeMap<(Timestamp, u32, String), Happening>,
    reactions: Reactions,
}

impl Shop {
    /// A shop before its first day.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let end = customer::plus(settings.start, f64::from(settings.days));
        let draw = |number| Customer::draw(settings.seed, number, f64::from(settings.days));
        let customers: Vec<Customer> = (0..settings.customers).map(draw).collect();
        let plans: Vec<Plan> =
            customers.iter().map(|it| plan::plan(settings.seed, it, settings.start, end)).collect();
        let mut line: Vec<(Timestamp, u32, u32)> = Vec::new();
        for (customer, plan) in (0_u32..).zip(&plans) {
            line.extend((0_u32..).zip(&plan.happenings).map(|(index, it)| (it.at, customer, index)));
        }
        line.sort_unstable();
        Self {
            settings,
            customers,
            plans,
            line,
            next: 0,
            brought: BTreeMap::new(),
            reactions: Reactions::default(),
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// A customer by number.
    #[must_use]
    pub fn customer(&self, number: u32) -> Option<&Customer> {
        self.customers.get(usize::try_from(number).ok()?)
    }

    /// When anything happens next, unless a message changes that.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        let planned = self.line.get(self.next).map(|(at, ..)| *at);
        let brought = self.brought.keys().next().map(|(at, ..)| *at);
        match (planned, brought) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Everything that has happened up to and including `now` and was not told yet, in order of time.
    pub fn until(&mut self, now: Timestamp) -> Vec<Happening> {
        let mut happened = Vec::new();
        while let Some((at, customer, index)) = self.line.get(self.next).copied().filter(|it| it.0 <= now) {
            let mut happening = self.plans[customer as usize].happenings[index as usize].clone();
            self.next += 1;
            if let What::Ordered(order) = &mut happening.what {
                self.pay(customer, at, order, false);
            }
            happened.push(happening);
        }
        while let Some(entry) = self.brought.first_entry().filter(|it| it.key().0 <= now) {
            let mut happening = entry.remove();
            if let What::Ordered(order) = &mut happening.what {
                self.pay(happening.customer, happening.at, order, true);
            }
            happened.push(happening);
        }
        happened.sort_by_key(|it| (it.at, it.customer));
        happened
    }

    fn pay(&mut self, customer: u32, at: Timestamp, order: &mut Order, brought: bool) {
        let goods = catalogue::value(&order.lines);
        if let Some((code, discount)) = self.reactions.redeem(customer, at, goods, brought) {
            order.coupon = Some(code);
            order.discount = discount;
        }
    }

    /// A message reached an inbox. One to somebody else's customer changes nothing.
    pub fn receive(&mut self, letter: &Letter) {
        let number = letter.customer as usize;
        let (Some(customer), Some(plan)) = (self.customers.get(number), self.plans.get(number)) else {
            return;
        };
        for it in self.reactions.receive(self.settings.seed, customer, plan, letter) {
            self.brought.insert((it.at, it.customer, it.key.clone()), it);
        }
    }

    /// What a campaign's messages truly earned up to `now`, in cents, counting customers whose first message from it is
    /// at least `window_hours` old, as a report does; and how many messages that were.
    #[must_use]
    pub fn truth(&self, campaign: &str, now: Timestamp, window_hours: f64) -> (f64, usize) {
        self.reactions.truth(campaign, now, window_hours)
    }

    /// Campaigns whose messages were received.
    #[must_use]
    pub fn campaigns(&self) -> Vec<&str> {
        self.reactions.campaigns()
    }
}

#[cfg(test)]
mod tests;
