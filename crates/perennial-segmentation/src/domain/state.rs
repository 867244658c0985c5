//! All that is kept of one profile: what live rules can ask for, and the answers in force.
//!
//! Stored as JSON for each profile, hence the one-letter names.

use perennial_types::{Channel, OrderState, Purpose, Scalar};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::rule::{SeriesKey, fnv};

/// The most traits kept of one profile.
pub const MAX_TRAITS: usize = 256;
/// The most entries kept of one series: beyond it the oldest are forgotten, and a count stops there.
pub const MAX_ENTRIES: usize = 10_000;

/// One profile. Instants are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Traits and when they were set; `None` is one that was removed.
    #[serde(rename = "t", skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, (Option<Scalar>, i64)>,
    /// Consents by `channel:purpose`, and since when.
    #[serde(rename = "c", skip_serializing_if = "BTreeMap::is_empty")]
    pub consents: BTreeMap<String, (bool, i64)>,
    /// Channels with a known address.
    #[serde(rename = "r", skip_serializing_if = "BTreeSet::is_empty")]
    pub reachable: BTreeSet<Channel>,
    /// A user id, e-mail or phone is known.
    #[serde(rename = "i", skip_serializing_if = "is_false")]
    pub identified: bool,
    /// The latest scores.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Entries that live rules count or sum.
    #[serde(rename = "e", skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<SeriesKey, Entries>,
    /// Orders that live rules count or sum, by the shop's id.
    #[serde(rename = "o", skip_serializing_if = "BTreeMap::is_empty")]
    pub orders: BTreeMap<String, OrderEntry>,
    /// Orders placed before every window, by a hash of their id: whatever is still told of them changes nothing.
    #[serde(rename = "p", skip_serializing_if = "BTreeSet::is_empty")]
    pub past_orders: BTreeSet<u64>,
    /// Segments it is in, by number, and since when.
    #[serde(rename = "m", skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<u32, i64>,
    /// When time alone may next change a segment's answer.
    #[serde(rename = "f", skip_serializing_if = "BTreeMap::is_empty")]
    pub flips: BTreeMap<u32, i64>,
    /// The stage and since when.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub stage: Option<(String, i64)>,
    /// When time alone may next change the stage.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub stage_flip: Option<i64>,
    /// The revision of the workspace's rules this is complete for; 0 for a profile never seen.
    #[serde(rename = "v", skip_serializing_if = "is_zero")]
    pub revision: u64,
}

/// What scoring says; instants in microseconds (0: none), money in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Score {
    /// A model served: without one there is nothing to expect.
    #[serde(rename = "m")]
    pub modelled: bool,
    /// Orders not wholly cancelled or refunded.
    #[serde(rename = "o")]
    pub orders: i64,
    /// Revenue after refunds.
    #[serde(rename = "r")]
    pub revenue: i64,
    /// Profit to date.
    #[serde(rename = "p")]
    pub profit: i64,
    /// The latest order.
    #[serde(rename = "l")]
    pub last_order: i64,
    /// Probability of being alive.
    #[serde(rename = "a")]
    pub p_alive: f64,
    /// Share of the population at or below.
    #[serde(rename = "q")]
    pub percentile: f64,
    /// Expected profit of the next 90 days.
    #[serde(rename = "x")]
    pub expected_profit_90d: i64,
    /// Expected profit of the next 12 months, discounted.
    #[serde(rename = "y")]
    pub expected_profit_12m: i64,
    /// When it becomes overdue.
    #[serde(rename = "d")]
    pub overdue: i64,
    /// When it lapses.
    #[serde(rename = "z")]
    pub lapse: i64,
    /// The latest order came after the lapse instant.
    #[serde(rename = "b")]
    pub reactivated: bool,
    /// Recency, frequency and monetary scores, 1–5; 0 without an order.
    #[serde(rename = "f")]
    pub rfm: [u8; 3],
}

/// Entries of one series, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entries {
    /// Event times.
    #[serde(rename = "a")]
    pub at: Vec<i64>,
    /// What each adds; empty where each adds one.
    #[serde(rename = "v", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f64>,
}

/// One order, and the series it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderEntry {
    /// The order as an entity.
    #[serde(rename = "s")]
    pub order: OrderState,
    /// The series whose filter one of its tellings passed.
    #[serde(rename = "m", skip_serializing_if = "BTreeSet::is_empty")]
    pub series: BTreeSet<SeriesKey>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_false(it: &bool) -> bool {
    !it
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_zero(it: &u64) -> bool {
    *it == 0
}

fn comes_before(one: &Option<Scalar>, other: &Option<Scalar>) -> bool {
    let text = |it: &Option<Scalar>| it.as_ref().map(ToString::to_string);
    text(one) < text(other)
}

/// The key of a consent.
pub fn consent_key(channel: Channel, purpose: Purpose) -> &'static str {
    let [marketing, transactional, compliance] = match channel {
        Channel::Email => ["email:marketing", "email:transactional", "email:compliance"],
        Channel::Sms => ["sms:marketing", "sms:transactional", "sms:compliance"],
        Channel::Push => ["push:marketing", "push:transactional", "push:compliance"],
        Channel::Webhook => ["webhook:marketing", "webhook:transactional", "webhook:compliance"],
        Channel::OnSite => ["on_site:marketing", "on_site:transactional", "on_site:compliance"],
    };
    match purpose {
        Purpose::Marketing => marketing,
        Purpose::Transactional => transactional,
        Purpose::Compliance => compliance,
    }
}

impl Entries {
    /// Takes in one entry and forgets those that no window reaches any more.
    pub fn insert(&mut self, at: i64, value: Option<f64>, forget_until: i64) {
        let place = self.at.partition_point(|it| *it <= at);
        self.at.insert(place, at);
        if let Some(value) = value {
            self.values.insert(place.min(self.values.len()), value);
        }
        let over = self.at.len().saturating_sub(MAX_ENTRIES);
        let forgotten = self.at.partition_point(|it| *it <= forget_until).max(over);
        self.at.drain(..forgotten);
        self.values.drain(..forgotten.min(self.values.len()));
    }

    fn merge(&mut self, other: Self) {
        let values: Vec<Option<f64>> = if other.values.is_empty() {
            vec![None; other.at.len()]
        } else {
            other.values.into_iter().map(Some).collect()
        };
        for (at, value) in other.at.into_iter().zip(values) {
            self.insert(at, value, i64::MIN);
        }
    }
}

impl State {
    /// When time alone may next change something.
    pub fn due(&self) -> Option<i64> {
        self.flips.values().copied().chain(self.stage_flip).min()
    }

    /// Sets or removes a trait, unless a later telling is known; of two at one instant, as ingestion does, a removal counts,
    /// else what comes first in the alphabet.
    pub fn set_trait(&mut self, name: &str, value: Option<Scalar>, at: i64) {
        let room = self.traits.len() < MAX_TRAITS;
        match self.traits.get_mut(name) {
            Some(known) if known.1 < at || (known.1 == at && comes_before(&value, &known.0)) => {
                *known = (value, at);
            }
            None if room => drop(self.traits.insert(name.to_owned(), (value, at))),
            Some(_) | None => {}
        }
    }

    /// Gives or withdraws consent, unless a later telling is known; of two at one instant the withdrawal counts.
    pub fn set_consent(&mut self, key: String, granted: bool, at: i64) {
        let known = self.consents.entry(key).or_insert((granted, at));
        if known.1 < at || (known.1 == at && !granted) {
            *known = (granted, at);
        }
    }

    /// The order a fact is about; none if it was placed before every window.
    pub fn order(&mut self, id: &str) -> Option<&mut OrderEntry> {
        if self.past_orders.contains(&fnv(id)) {
            return None;
        }
        if self.orders.len() >= MAX_ENTRIES && !self.orders.contains_key(id) {
            return None;
        }
        Some(self.orders.entry(id.to_owned()).or_default())
    }

    /// Forgets what no window over orders reaches any more, but for the ids.
    pub fn forget_orders(&mut self, until: i64) {
        let past = &mut self.past_orders;
        self.orders.retain(|id, it| {
            let live = it.order.placed_at().is_none_or(|at| perennial_types::micros(at) > until);
            if !live {
                past.insert(fnv(id));
            }
            live
        });
    }

    /// Adds what was known of a profile that became this one. Answers (segments, stage) are this one's until evaluated.
    pub fn absorb(&mut self, from: Self) {
        for (name, (value, at)) in from.traits {
            self.set_trait(&name, value, at);
        }
        for (key, (granted, at)) in from.consents {
            self.set_consent(key, granted, at);
        }
        self.reachable.extend(from.reachable);
        self.identified |= from.identified;
        for (key, entries) in from.series {
            self.series.entry(key).or_default().merge(entries);
        }
        for (id, entry) in from.orders {
            let known = self.orders.entry(id).or_default();
            known.order.merge(entry.order);
            known.series.extend(entry.series);
        }
        self.past_orders.extend(from.past_orders);
        let past = &self.past_orders;
        self.orders.retain(|id, _| !past.contains(&fnv(id)));
        // Scoring folds the merge itself and tells the survivor's new scores; until then the fuller ones stand.
        if from.score.is_some_and(|it| self.score.is_none_or(|own| own.orders < it.orders)) {
            self.score = from.score;
        }
    }
}
