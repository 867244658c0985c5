//! What a delivered message does to a customer, and the true worth of it.
//!
//! A message adds at most one order to the customer's base life, with a probability that follows from who they are and
//! what the message meets them in. The order's goods and delay are drawn first, so the expected difference in profit that
//! the message makes is known exactly at that moment, whether or not the order then comes.

use std::collections::HashMap;

use perennial_types::Timestamp;

use super::catalogue::{self, FREE_FROM, SHIPPING};
use super::chance::{Chance, stream};
use super::customer::{Customer, plus};
use super::happening::{Happening, Line, Order, What};
use super::plan::Plan;

/// A message that reached a customer's inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Its name: what its file is called.
    pub id: String,
    /// The customer's number.
    pub customer: u32,
    /// The campaign's bare name.
    pub campaign: String,
    /// The step within the campaign.
    pub step: String,
    /// When it was delivered.
    pub at: Timestamp,
    /// The coupon it carries.
    pub coupon: Option<Coupon>,
}

/// A coupon in a customer's hands, money in cents.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupon {
    /// Its code.
    pub code: String,
    /// Tenths of a percent off the goods.
    pub per_mille: i64,
    /// An amount off.
    pub amount: i64,
    /// No shipping.
    pub free_shipping: bool,
    /// Until when.
    pub until: Timestamp,
}

impl Coupon {
    /// What it takes off goods of this value.
    #[must_use]
    pub fn discount(&self, goods: i64) -> i64 {
        let shipping = if self.free_shipping && goods < FREE_FROM { SHIPPING } else { 0 };
        (goods * self.per_mille / 1_000 + self.amount + shipping).min(goods)
    }
}

/// A message as it counts for the truth.
#[derive(Clone, Debug)]
struct Sent {
    customer: u32,
    at: Timestamp,
    /// Expected profit of the order it may add, in cents, if all the time in the world is left for it.
    gain: f64,
    /// Expected cost of its coupon used on orders that would have come anyway, by when.
    cost: Option<(Timestamp, f64)>,
}

/// A coupon not used yet, and whether its owner remembers it on an order they place anyway.
#[derive(Clone, Debug)]
struct Held {
    coupon: Coupon,
    remembered: bool,
}

/// What all messages so far have done.
#[derive(Debug, Default)]
pub struct Reactions {
    sent: HashMap<String, Vec<Sent>>,
    received: HashMap<u32, Vec<Timestamp>>,
    counts: HashMap<(u32, String), u32>,
    coupons: HashMap<u32, Vec<Held>>,
}

/// Mean delay from a message to the order it brings, in hours, and the longest one.
const DELAY: (f64, f64) = (16.0, 84.0);
/// Share of the orders it brings that come back.
const RETURNED: f64 = 0.025;
/// Share of those who hold a coupon who use it on an order they place anyway.
const REMEMBERED: f64 = 0.75;

/// The probability that a message brings an order from the average customer, by campaign.
fn power(campaign: &str) -> f64 {
    match campaign {
        "welcome" => 0.026,
        "cart" => 0.075,
        "at-risk-save" => 0.048,
        _ => 0.012,
    }
}

/// The probability that the order a message brings comes within `hours` of it.
fn within(hours: f64) -> f64 {
    let (mean, longest) = DELAY;
    let up_to = |hours: f64| 1.0 - (-hours.clamp(0.0, longest) / mean).exp();
    up_to(hours) / up_to(longest)
}

fn hours(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() / 3_600.0
}

impl Reactions {
    /// A message arrives: what it will make the customer do. Depends on the seed, the customer and their messages only.
    pub fn receive(
        &mut self,
        seed: u64,
        customer: &Customer,
        plan: &Plan,
        letter: &Letter,
    ) -> Vec<Happening> {
        let count = self.count(letter);
        let words: [&[u8]; 4] = [
            &letter.customer.to_be_bytes(),
            letter.campaign.as_bytes(),
            letter.step.as_bytes(),
            &count.to_be_bytes(),
        ];
        // The lowest bits apart from the streams of the customers' own lives.
        let mut chance = Chance::new(seed, stream(&words) | 1 << 63);
        let recent = self.tired(letter);
        let cart = plan.carts.iter().rev().find(|it| it.at <= letter.at && hours(it.at, letter.at) < 96.0);
        let about_cart = letter.campaign == "cart";
        let lines = match cart {
            Some(cart) if about_cart => cart.lines.clone(),
            _ => {
                let worth = chance.gamma(6.0, customer.worth);
                catalogue::basket(&mut chance, worth)
            }
        };
        let delay = delay(&mut chance);
        let probability = {
            let gone = if letter.at >= plan.gone { 0.3 } else { 1.0 };
            let nothing_left = if about_cart && cart.is_none() { 0.2 } else { 1.0 };
            let sweetened = if letter.coupon.is_some() { 1.3 } else { 1.0 };
            let tired = 0.8_f64.powi(i32::try_from(recent).unwrap_or(9));
            let all = power(&letter.campaign) * customer.persuadability * gone * nothing_left * sweetened;
            (all * tired).min(0.6)
        };
        self.book(plan, letter, &lines, probability);
        if let Some(coupon) = &letter.coupon {
            let remembered = chance.happens(REMEMBERED);
            self.coupons
                .entry(letter.customer)
                .or_default()
                .push(Held { coupon: coupon.clone(), remembered });
        }
        let kind = format!("{}-{}-{count}", letter.campaign, letter.step);
        let mut future = Future { letter, kind, happenings: Vec::new() };
        if chance.happens(probability) {
            future.order(&mut chance, lines, delay);
        } else {
            future.glance(&mut chance, recent);
        }
        future.happenings
    }

    /// Which one of this step's messages it is for that customer, from 0.
    fn count(&mut self, letter: &Letter) -> u32 {
        let key = (letter.customer, format!("{}/{}", letter.campaign, letter.step));
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count - 1
    }

    /// How many messages they had in the week before.
    fn tired(&mut self, letter: &Letter) -> usize {
        let received = self.received.entry(letter.customer).or_default();
        received.retain(|it| hours(*it, letter.at) < 168.0);
        received.push(letter.at);
        received.len() - 1
    }

    /// Writes down what the message is truly worth.
    fn book(&mut self, plan: &Plan, letter: &Letter, lines: &[Line], probability: f64) {
        #[expect(clippy::cast_precision_loss, reason = "amounts of orders are far below 2^53")]
        let cents = |it: i64| it as f64;
        let goods = catalogue::value(lines);
        let off = letter.coupon.as_ref().map_or(0, |it| it.discount(goods));
        let gain = probability * (1.0 - RETURNED) * cents(goods - off - catalogue::cost(lines));
        let cost = letter.coupon.as_ref().and_then(|coupon| {
            let next = plan.orders.iter().find(|(at, _)| *at > letter.at && *at <= coupon.until)?;
            Some((next.0, (1.0 - probability) * REMEMBERED * cents(coupon.discount(next.1))))
        });
        let sent = Sent { customer: letter.customer, at: letter.at, gain, cost };
        self.sent.entry(letter.campaign.clone()).or_default().push(sent);
    }

    /// The coupon a customer uses on an order placed at `at` for goods of this value, and what it takes off. It is gone
    /// then.
    pub fn redeem(
        &mut self,
        customer: u32,
        at: Timestamp,
        goods: i64,
        brought_by_message: bool,
    ) -> Option<(String, i64)> {
        let held = self.coupons.get_mut(&customer)?;
        held.retain(|it| it.coupon.until >= at);
        let used = held.iter().position(|it| brought_by_message || it.remembered)?;
        let coupon = held.remove(used).coupon;
        let discount = coupon.discount(goods);
        Some((coupon.code, discount))
    }

    /// The expected difference that a campaign's messages made to profit up to `now`, in cents: those to customers whose
    /// first one is at least `window` hours old. And how many messages that were.
    #[must_use]
    pub fn truth(&self, campaign: &str, now: Timestamp, window: f64) -> (f64, usize) {
        let Some(sent) = self.sent.get(campaign) else { return (0.0, 0) };
        let mut first: HashMap<u32, Timestamp> = HashMap::new();
        for it in sent {
            let at = first.entry(it.customer).or_insert(it.at);
            *at = (*at).min(it.at);
        }
        let counted = sent.iter().filter(|it| hours(first[&it.customer], now) >= window);
        let worth = |it: &Sent| {
            let cost = it.cost.filter(|(at, _)| *at <= now).map_or(0.0, |(_, cost)| cost);
            it.gain * within(hours(it.at, now)) - cost
        };
        counted.fold((0.0, 0), |(sum, count), it| (sum + worth(it), count + 1))
    }

    /// Campaigns that sent anything, by name.
    #[must_use]
    pub fn campaigns(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.sent.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

fn delay(chance: &mut Chance) -> f64 {
    let (mean, longest) = DELAY;
    let all = 1.0 - (-longest / mean).exp();
    -mean * (1.0 - chance.unit() * all).ln()
}

struct Future<'a> {
    letter: &'a Letter,
    kind: String,
    happenings: Vec<Happening>,
}

impl Future<'_> {
    fn push(&mut self, hours: f64, what: What) {
        let key = format!("{}-{}", self.kind, self.happenings.len());
        let at = plus(self.letter.at, hours / 24.0);
        self.happenings.push(Happening { at, customer: self.letter.customer, key, what });
    }

    /// They open it, follow it and buy.
    fn order(&mut self, chance: &mut Chance, lines: Vec<Line>, delay: f64) {
        // A minute at least: whoever reacts within seconds is taken for a machine.
        let delay = delay.max(0.1);
        let cart = format!("m{:05}-{}", self.letter.customer, self.kind);
        self.push(delay * 0.6, What::Opened(self.letter.id.clone()));
        self.push(delay * 0.8, What::Clicked(self.letter.id.clone()));
        self.push(delay * 0.85, What::Viewed { line: lines[0].clone(), anonymous: false });
        self.push(delay * 0.98, What::CheckoutStarted { cart: cart.clone(), lines: lines.clone() });
        let id = format!("M{:05}-{}", self.letter.customer, self.kind);
        let shipping = if catalogue::value(&lines) >= FREE_FROM { 0 } else { SHIPPING };
        let order = Order { id: id.clone(), cart, lines, discount: 0, shipping, coupon: None };
        self.push(delay, What::Ordered(Box::new(order)));
        if chance.happens(RETURNED) {
            self.push(delay + 24.0 * (3.0 + 9.0 * chance.unit()), What::Refunded { order: id, amount: None });
        }
    }

    /// They look at it or do not; now and then somebody has had enough.
    fn glance(&mut self, chance: &mut Chance, recent: usize) {
        let opens = chance.happens(0.34);
        let after = 0.2 + chance.exponential(6.0).min(60.0);
        let clicks = chance.happens(0.12);
        #[expect(clippy::cast_precision_loss, reason = "messages of a week are few")]
        let leaves = chance.happens(0.004 * (1.0 + recent as f64));
        if opens || leaves {
            self.push(after, What::Opened(self.letter.id.clone()));
        }
        if leaves {
            self.push(after + 0.05, What::Unsubscribed(self.letter.id.clone()));
        } else if opens && clicks {
            self.push(after + 0.05, What::Clicked(self.letter.id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_within_what_the_truth_assumes() {
        let mut chance = Chance::new(3, 3);
        let n = 20_000;
        let early = (0..n).map(|_| delay(&mut chance)).filter(|it| *it <= 12.0).count();
        #[expect(clippy::cast_precision_loss, reason = "a share of 20,000")]
        let share = early as f64 / f64::from(n);
        assert!((share - within(12.0)).abs() < 0.02, "{share}");
        assert!((within(DELAY.1) - 1.0).abs() < 1e-12 && within(0.0).abs() < 1e-12);
    }

    #[test]
    fn a_coupon_never_takes_off_more_than_the_goods_are_worth() {
        let until = Timestamp::MAX;
        let coupon =
            Coupon { code: "X".to_owned(), per_mille: 100, amount: 1_000, free_shipping: true, until };
        assert_eq!(coupon.discount(500), 500);
        assert_eq!(coupon.discount(10_000), 2_000);
        assert_eq!(coupon.discount(5_000), 1_990);
    }
}
