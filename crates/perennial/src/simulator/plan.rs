//! What a customer would do if nobody ever wrote to them: drawn once, before the first day.
//!
//! Orders follow the buy-till-you-die story the models assume: while they are with the shop customers order at their own
//! rate, and after each order leave for good with their own probability. Messages only ever *add* to this (see
//! `reaction`), which is what makes the true effect of each one known.

use perennial_types::Timestamp;

use super::catalogue::{FREE_FROM, SHIPPING, basket, value};
use super::chance::Chance;
use super::customer::{Calendar, Customer, plus};
use super::happening::{Happening, Line, Order, What};

/// The base life of one customer within the simulated time.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything they do unasked, in order of time.
    pub happenings: Vec<Happening>,
    /// What they put into a cart, and when: the latest one not later than a message is what it reminds of.
    pub carts: Vec<Cart>,
    /// Their orders: when, and the value of the goods in cents.
    pub orders: Vec<(Timestamp, i64)>,
    /// From when on they are no longer with the shop, which nobody can see.
    pub gone: Timestamp,
}

/// A cart as it was left.
#[derive(Clone, Debug)]
pub struct Cart {
    /// When the last product went in.
    pub at: Timestamp,
    /// What is in it.
    pub lines: Vec<Line>,
}

/// Draws the base life of `customer` in a shop that is watched from `start` to `end`.
#[must_use]
pub fn plan(seed: u64, customer: &Customer, start: Timestamp, end: Timestamp) -> Plan {
    let chance = Chance::new(seed, u64::from(customer.number) * 4 + 1);
    let calendar = Calendar::new(start, customer.zone_name);
    let plan = Plan { happenings: Vec::new(), carts: Vec::new(), orders: Vec::new(), gone: Timestamp::MAX };
    let mut draft = Draft { customer, chance, calendar, start, end, plan, events: 0, carts: 0 };
    let arrived = draft.arrive();
    draft.buy(arrived);
    draft.browse(arrived);
    let mut plan = draft.plan;
    plan.happenings.retain(|it| it.at < end);
    // Stable: what happens at one instant stays in the order in which it was drawn.
    plan.happenings.sort_by_key(|it| it.at);
    plan.carts.sort_by_key(|it| it.at);
    plan
}

struct Draft<'a> {
    customer: &'a Customer,
    chance: Chance,
    calendar: Calendar,
    start: Timestamp,
    end: Timestamp,
    plan: Plan,
    events: u32,
    carts: u32,
}

/// So many minutes before (negative) or after an instant.
fn minutes(at: Timestamp, minutes: i64) -> Timestamp {
    #[expect(clippy::cast_precision_loss, reason = "minutes of a simulation are few")]
    let days = minutes as f64 / 1_440.0;
    plus(at, days)
}

impl Draft<'_> {
    fn push(&mut self, at: Timestamp, what: What) {
        let key = format!("b{}", self.events);
        self.events += 1;
        self.plan.happenings.push(Happening { at, customer: self.customer.number, key, what });
    }

    /// First visit; from the end of it on, the customer is known.
    fn arrive(&mut self) -> Timestamp {
        let at = self.calendar.instant(&mut self.chance, self.customer.arrival);
        if self.customer.anonymous_first {
            for ago in [9, 4] {
                let line = self.product();
                self.push(minutes(at, -ago).max(self.start), What::Viewed { line, anonymous: true });
            }
        }
        self.push(at, What::Identified);
        at
    }

    fn product(&mut self) -> Line {
        let worth = self.customer.worth * 0.7;
        basket(&mut self.chance, worth).swap_remove(0)
    }

    /// All orders until they leave or the time is over.
    fn buy(&mut self, arrived: Timestamp) {
        let mut days = self.customer.arrival + self.customer.to_first_order;
        let mut before = arrived;
        let mut number = 0;
        loop {
            if !days.is_finite() || plus(self.start, days) >= self.end {
                return;
            }
            let mut at = self.calendar.instant(&mut self.chance, days);
            if at <= minutes(before, 10) {
                at = minutes(before, self.chance.between(15, 240));
            }
            number += 1;
            self.order(at, before, number);
            before = at;
            if self.chance.happens(self.customer.dropout) {
                self.plan.gone = at;
                return;
            }
            days += self.chance.exponential(365.0 / self.customer.orders_a_year.max(0.05));
        }
    }

    /// A visit that ends in an order. A quarter of carts wait a while first: a reminder then reaches somebody who would
    /// have bought anyway.
    fn order(&mut self, at: Timestamp, before: Timestamp, number: u32) {
        let worth = self.chance.gamma(6.0, self.customer.worth);
        let lines = basket(&mut self.chance, worth);
        let cart = self.cart();
        let waits = if self.chance.happens(0.25) { self.chance.between(180, 2_400) } else { 6 };
        let added = minutes(at, -waits).max(minutes(before, 2));
        let viewed = minutes(added, -self.chance.between(2, 9)).max(minutes(before, 1));
        self.push(viewed, What::Viewed { line: lines[0].clone(), anonymous: false });
        for line in &lines {
            self.push(added, What::Added { cart: cart.clone(), line: line.clone() });
        }
        self.plan.carts.push(Cart { at: added, lines: lines.clone() });
        self.push(
            minutes(at, -2).max(added),
            What::CheckoutStarted { cart: cart.clone(), lines: lines.clone() },
        );
        let id = format!("L{:05}-{number}", self.customer.number);
        let goods = value(&lines);
        let shipping = if goods >= FREE_FROM { 0 } else { SHIPPING };
        let order = Order { id: id.clone(), cart, lines, discount: 0, shipping, coupon: None };
        self.push(at, What::Ordered(Box::new(order)));
        self.plan.orders.push((at, goods));
        self.afterwards(at, &id, goods);
    }

    /// Some orders come back, some raise a question.
    fn afterwards(&mut self, at: Timestamp, order: &str, goods: i64) {
        let draw = self.chance.unit();
        if draw < 0.04 {
            let back = plus(at, 3.0 + 9.0 * self.chance.unit());
            let amount = (draw >= 0.025).then_some(goods / 2);
            self.push(back, What::Refunded { order: order.to_owned(), amount });
        }
        if self.chance.happens(0.02) {
            let topic = ["delivery", "return", "product"][self.chance.below(3)];
            let asked = plus(at, 0.5 + 5.0 * self.chance.unit());
            self.push(asked, What::TicketOpened { topic });
        }
    }

    fn cart(&mut self) -> String {
        self.carts += 1;
        format!("k{:05}-{}", self.customer.number, self.carts)
    }

    /// Visits without an order: while they are with the shop, and fading if they never buy.
    fn browse(&mut self, arrived: Timestamp) {
        let patience = if self.customer.to_first_order.is_finite() {
            f64::INFINITY
        } else {
            20.0 + self.chance.exponential(60.0)
        };
        let mut days = self.customer.arrival;
        loop {
            days += self.chance.exponential(365.0 / self.customer.visits_a_year);
            let at = plus(self.start, days);
            if days > self.customer.arrival + patience || at >= self.end || at >= self.plan.gone {
                return;
            }
            let at = self.calendar.instant(&mut self.chance, days).max(minutes(arrived, 5));
            self.visit(at);
        }
    }

    fn visit(&mut self, at: Timestamp) {
        let looks = 1 + self.chance.below(3);
        let mut seen = Vec::new();
        for look in 0..looks {
            let line = self.product();
            seen.push(line.clone());
            let at = minutes(at, 3 * i64::try_from(look).unwrap_or_default());
            self.push(at, What::Viewed { line, anonymous: false });
        }
        if !self.chance.happens(0.34) {
            return;
        }
        let cart = self.cart();
        let line = seen.swap_remove(self.chance.below(seen.len()));
        let added = minutes(at, 12);
        self.push(added, What::Added { cart: cart.clone(), line: line.clone() });
        let lines = vec![line];
        if self.chance.happens(0.3) {
            self.push(minutes(added, 2), What::CheckoutStarted { cart, lines: lines.clone() });
        }
        self.plan.carts.push(Cart { at: added, lines });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(seed: u64, count: u32) -> Vec<(Customer, Plan)> {
        let start: Timestamp = "2025-03-01T00:00:00Z".parse().unwrap();
        let end = plus(start, 365.0);
        let one = |number| {
            let customer = Customer::draw(seed, number, 365.0);
            let plan = plan(seed, &customer, start, end);
            (customer, plan)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_year_has_about_fifteen_events_a_customer() {
        let plans = plans(42, 2_000);
        let events: usize = plans.iter().map(|(_, it)| it.happenings.len()).sum();
        let orders: usize = plans.iter().map(|(_, it)| it.orders.len()).sum();
        assert!((12 * 2_000..19 * 2_000).contains(&events), "{events} events");
        assert!((2_000..6_000).contains(&orders), "{orders} orders");
    }

    #[test]
    fn who_they_are_is_said_before_anything_else_is_known_of_them() {
        for (customer, plan) in plans(5, 400) {
            let identified = plan.happenings.iter().position(|it| it.what == What::Identified);
            let known = plan
                .happenings
                .iter()
                .position(|it| !matches!(it.what, What::Viewed { anonymous: true, .. } | What::Identified));
            if let (Some(identified), Some(known)) = (identified, known) {
                assert!(identified < known, "{customer:?} {:?}", &plan.happenings[..=identified]);
            }
        }
    }

    #[test]
    fn a_plan_is_in_order_and_every_key_is_there_once() {
        for (_, plan) in plans(9, 300) {
            assert!(plan.happenings.is_sorted_by_key(|it| it.at));
            let keys: std::collections::BTreeSet<_> = plan.happenings.iter().map(|it| &it.key).collect();
            assert_eq!(keys.len(), plan.happenings.len());
        }
    }
}
