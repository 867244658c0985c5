//! All that campaign knows of one profile. Kept as JSON, so field names are short there and every field has a default.

use std::collections::{BTreeMap, BTreeSet};

use perennial_types::{Channel, OrderState, Properties, Purpose};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outcome::Exposure;
use super::returned::Underway;

/// One profile. Instants are microseconds since 1970, UTC; money is in minor units of the workspace's currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The unit of holdouts and splits; empty until the profile's first record.
    #[serde(rename = "k", skip_serializing_if = "String::is_empty")]
    pub draw_key: String,
    /// IANA time zone, as told; may be one we do not know.
    #[serde(rename = "z", skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Channels with a known address.
    #[serde(rename = "r", skip_serializing_if = "BTreeSet::is_empty")]
    pub reachable: BTreeSet<String>,
    /// A user id, e-mail or phone is known.
    #[serde(rename = "id", skip_serializing_if = "is_default")]
    pub identified: bool,
    /// Traits by dotted name.
    #[serde(rename = "t", skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: Properties,
    /// Consents by `channel/purpose`.
    #[serde(rename = "c", skip_serializing_if = "BTreeMap::is_empty")]
    pub consent: BTreeMap<String, bool>,
    /// Channels on which a complaint came: no marketing there ever again.
    #[serde(rename = "cp", skip_serializing_if = "BTreeSet::is_empty")]
    pub complained: BTreeSet<String>,
    /// Orders by the shop's id.
    #[serde(rename = "o", skip_serializing_if = "BTreeMap::is_empty")]
    pub orders: BTreeMap<String, OrderState>,
    /// What scoring last said.
    #[serde(rename = "s", skip_serializing_if = "is_default")]
    pub score: Score,
    /// Lifecycle stage; empty until segmentation said one.
    #[serde(rename = "g", skip_serializing_if = "String::is_empty")]
    pub stage: String,
    /// Segments it is in.
    #[serde(rename = "m", skip_serializing_if = "BTreeSet::is_empty")]
    pub segments: BTreeSet<String>,
    /// The cart as last seen; none after an order or when emptied.
    #[serde(rename = "ct", skip_serializing_if = "Option::is_none")]
    pub cart: Option<Cart>,
    /// When events that some campaign asks about with `did` were last seen.
    #[serde(rename = "e", skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, i64>,
    /// Holdout and splits by campaign.
    #[serde(rename = "d", skip_serializing_if = "BTreeMap::is_empty")]
    pub draws: BTreeMap<String, Draw>,
    /// Running instances by `campaign/key`.
    #[serde(rename = "i", skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, Instance>,
    /// Triggers that wait for the end of their instant.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// Marketing messages decided to be sent, oldest first, as far back as caps look.
    #[serde(rename = "n", skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// Messages sent off and not heard of yet, by decision.
    #[serde(rename = "w", skip_serializing_if = "BTreeMap::is_empty")]
    pub underway: BTreeMap<Uuid, Underway>,
    /// When `campaign/key` was last entered: what re-entry is decided by.
    #[serde(rename = "h", skip_serializing_if = "BTreeMap::is_empty")]
    pub entered: BTreeMap<String, i64>,
    /// Why the last trigger of a campaign led to nothing, so that the same reason is recorded once.
    #[serde(rename = "x", skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// Outcomes by campaign, since entry.
    #[serde(rename = "u", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposures: BTreeMap<String, Exposure>,
    /// Calendar triggers by campaign: when they are next due.
    #[serde(rename = "b", skip_serializing_if = "BTreeMap::is_empty")]
    pub dates: BTreeMap<String, i64>,
    /// The overdue instant that already triggered.
    #[serde(rename = "v", skip_serializing_if = "is_default")]
    pub overdue_fired: i64,
    /// The order after which overdue last triggered: a new model may move the instant, but one silence is one trigger.
    #[serde(rename = "vo", skip_serializing_if = "Option::is_none")]
    pub overdue_after: Option<i64>,
    /// The instant to be decided once everything at it is applied.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub decide: Option<i64>,
    /// Counts decisions, to keep their order within an instant.
    #[serde(rename = "q", skip_serializing_if = "is_default")]
    pub decisions: u64,
}

fn is_default<T: Default + PartialEq>(it: &T) -> bool {
    *it == T::default()
}

/// What scoring said, as far as campaigns ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Score {
    /// The model; empty while there is none.
    #[serde(rename = "m")]
    pub model: String,
    /// Probability of being alive.
    #[serde(rename = "a")]
    pub p_alive: f64,
    /// Expected orders in 90 days.
    #[serde(rename = "o")]
    pub orders_90d: f64,
    /// Expected profit in 90 days.
    #[serde(rename = "p")]
    pub profit_90d: i64,
    /// Predictive CLV, 12 months.
    #[serde(rename = "c")]
    pub clv_12m: i64,
    /// Share of the population at or below.
    #[serde(rename = "q")]
    pub percentile: f64,
    /// When overdue; 0 for never.
    #[serde(rename = "v")]
    pub overdue: i64,
    /// When lapsed; 0 for never.
    #[serde(rename = "l")]
    pub lapse: i64,
    /// Recency, frequency and monetary score.
    #[serde(rename = "f")]
    pub rfm: (u32, u32, u32),
}

/// A cart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// The cart instance.
    #[serde(rename = "i")]
    pub id: String,
    /// Its lines: product, name, units, price of one.
    #[serde(rename = "l")]
    pub lines: Vec<(String, String, i64, i64)>,
}

impl Cart {
    /// Units in it.
    #[must_use]
    pub fn items(&self) -> i64 {
        self.lines.iter().fold(0, |sum, it| sum.saturating_add(it.2))
    }

    /// What it comes to, minor units.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.lines.iter().fold(0, |sum, it| sum.saturating_add(it.2.saturating_mul(it.3)))
    }
}

/// The arm of one campaign, drawn once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// When it was drawn; after a merge the earliest counts.
    #[serde(rename = "a")]
    pub at: i64,
    /// Drawn into the holdout: what reports count by.
    #[serde(rename = "h", default, skip_serializing_if = "is_default")]
    pub held_out: bool,
    /// Never contacted, because some side of a merge is held out.
    #[serde(rename = "b", default, skip_serializing_if = "is_default")]
    pub blocked: bool,
    /// The share that was held out when it was drawn.
    #[serde(rename = "p")]
    pub share: f64,
    /// Arms of sticky splits, by split name.
    #[serde(rename = "s", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, usize>,
}

/// A trigger that matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The campaign.
    #[serde(rename = "c")]
    pub campaign: String,
    /// The instance's key: empty for one per profile.
    #[serde(rename = "k")]
    pub key: String,
    /// The triggering event's properties.
    #[serde(rename = "p", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub it: Properties,
}

/// One run of a campaign for this profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The campaign.
    #[serde(rename = "c")]
    pub campaign: String,
    /// The version it entered with, and keeps.
    #[serde(rename = "v")]
    pub version: u64,
    /// The instance's key.
    #[serde(rename = "k", default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// When it entered.
    #[serde(rename = "a")]
    pub entered: i64,
    /// The operation it stands at.
    #[serde(rename = "s")]
    pub step: usize,
    /// What it waits for there.
    #[serde(rename = "w")]
    pub wait: Wait,
    /// The triggering event's properties.
    #[serde(rename = "p", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub it: Properties,
    /// The last wait ended later than its grace; the next message asks what to do then.
    #[serde(rename = "l", default, skip_serializing_if = "is_default")]
    pub late: bool,
    /// It has passed a message: a new trigger no longer starts it over.
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub messaged: bool,
    /// It is no run of its own but one message of a run, which came back so many times.
    #[serde(rename = "n", default, skip_serializing_if = "is_default")]
    pub again: u32,
}

impl Instance {
    /// Which message of its step this is: one that came back is another one.
    #[must_use]
    pub fn message_occurrence(&self) -> String {
        match self.again {
            0 => self.occurrence(),
            again => format!("{}~{}", self.occurrence(), again + 1),
        }
    }

    /// Which run this is: the key where there is one, else the instant of entry.
    #[must_use]
    pub fn occurrence(&self) -> String {
        if self.key.is_empty() { self.entered.to_string() } else { self.key.clone() }
    }

    /// Where it is kept.
    #[must_use]
    pub fn place(&self) -> String {
        match self.again {
            0 => place(&self.campaign, &self.key),
            // No campaign has such a name.
            _ => place(&format!("{}#{}", self.campaign, self.step), &self.key),
        }
    }
}

/// Where an instance is kept.
#[must_use]
pub fn place(campaign: &str, key: &str) -> String {
    format!("{campaign}/{key}")
}

/// What an instance waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Wait {
    /// Nothing: it walks on at the next decision.
    #[serde(rename = "r")]
    Ready,
    /// An instant.
    #[serde(rename = "t")]
    Until(i64),
    /// An event, segment or stage, or an instant.
    #[serde(rename = "e")]
    Event(i64),
    /// A slot to be contacted in.
    #[serde(rename = "m")]
    Slot {
        /// Since when it wishes.
        #[serde(rename = "s")]
        since: i64,
        /// Until when it makes sense.
        #[serde(rename = "n")]
        not_after: i64,
        /// When to ask again; 0: at the next decision.
        #[serde(rename = "r", default)]
        retry: i64,
        /// Lost or had to wait before, for this reason.
        #[serde(rename = "y", default, skip_serializing_if = "String::is_empty")]
        held: String,
    },
}

/// A marketing message that counts against the caps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Contact {
    /// When it was decided.
    #[serde(rename = "a")]
    pub at: i64,
    /// By which channel.
    #[serde(rename = "h")]
    pub channel: Channel,
    /// By which campaign.
    #[serde(rename = "c")]
    pub campaign: String,
    /// By which decision; absent for those of earlier releases.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Uuid>,
}

impl State {
    /// Whether consent is given. Transactional and compliance messages need none unless it was withdrawn.
    #[must_use]
    pub fn consents(&self, channel: Channel, purpose: Purpose) -> bool {
        let key = format!("{}/{}", channel.as_str(), purpose.as_str());
        self.consent.get(&key).copied().unwrap_or(purpose != Purpose::Marketing)
    }

    /// Orders, revenue and profit to date.
    #[must_use]
    pub fn totals(&self) -> (i64, i64, i64) {
        self.orders.values().filter(|it| it.counts()).fold((0, 0, 0), |(n, revenue, profit), it| {
            (n + 1, revenue + it.net_revenue(), profit + it.net_profit())
        })
    }

    /// When the latest order that counts was placed.
    #[must_use]
    pub fn last_order(&self) -> Option<i64> {
        let placed = |it: &OrderState| it.placed_at().map(perennial_types::micros);
        self.orders.values().filter(|it| it.counts()).filter_map(placed).max()
    }

    /// Asks for a decision at the instant `at`: a timer due then fires once everything the instant brought is applied.
    pub fn decide_at(&mut self, at: i64) {
        self.decide = Some(self.decide.map_or(at, |it| it.min(at)));
    }

    /// When something is next due.
    #[must_use]
    pub fn next_due(&self) -> Option<i64> {
        let waits = self.instances.values().filter_map(|it| match it.wait {
            Wait::Ready => None,
            Wait::Until(due) | Wait::Event(due) => Some(due),
            Wait::Slot { not_after, retry, .. } => (retry > 0).then(|| retry.min(not_after)),
        });
        let overdue = (self.score.overdue > self.overdue_fired).then_some(self.score.overdue);
        waits.chain(overdue).chain(self.decide).chain(self.dates.values().copied()).min()
    }
}
