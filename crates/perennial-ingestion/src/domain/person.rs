//! What is known of one person, and how an event changes it: the step from an event to facts.

use jiff::Timestamp;
use perennial_types::{
    Channel, Fact, FactKind, Identifier, IdentifierKind, OrderChange, Properties, Purpose, Scalar, micros,
};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::agreement::{Agreement, Basis, InForce, Rule, Word, basis};
use super::cart::{Cart, Move};
use super::event::{Event, Meaning};
use super::identity::id_from;
use super::normalise::{identifies, region_of_locale, without_identifiers};
use super::settings::Settings;

/// How many orders are remembered, to know a repeated report from a new order.
const ORDERS: usize = 20;

/// What is known of one person besides what recognises them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Person {
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    traits: BTreeMap<String, Trait>,
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    consents: BTreeMap<String, Agreement>,
    /// What the page's banner last stood at, where it was not yet kept as of when.
    #[serde(rename = "b", default, skip_serializing_if = "BTreeMap::is_empty")]
    standing: BTreeMap<String, bool>,
    #[serde(rename = "zo", default, skip_serializing_if = "Option::is_none")]
    own_zone: Option<Dated>,
    #[serde(rename = "zd", default, skip_serializing_if = "Option::is_none")]
    device_zone: Option<Dated>,
    #[serde(rename = "lo", default, skip_serializing_if = "Option::is_none")]
    own_locale: Option<Dated>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    device_locale: Option<Dated>,
    #[serde(rename = "ro", default, skip_serializing_if = "Option::is_none")]
    own_region: Option<Dated>,
    #[serde(rename = "rd", default, skip_serializing_if = "Option::is_none")]
    device_region: Option<Dated>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    email: Option<Dated>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    phone: Option<Dated>,
    #[serde(rename = "k", default)]
    cart: Cart,
    /// Orders whose first report emptied a cart long ago, the latest last.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    orders: Vec<String>,
    /// It took over somebody else since it was last looked whether others know what it agreed to.
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    united: bool,
}

/// A trait and when it was told; without a value it was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trait {
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    value: Option<Scalar>,
    #[serde(rename = "a")]
    at: i64,
}

impl Trait {
    /// Whether it counts rather than another telling of the same trait: the later one; of two at one instant a removal,
    /// else what comes first in the alphabet, so that their order of arrival is no matter.
    fn counts_over(&self, other: &Self) -> bool {
        let rank = |it: &Self| (it.at, Reverse(it.value.as_ref().map(ToString::to_string)));
        self.at > other.at || (self.at == other.at && rank(self) > rank(other))
    }
}

/// Something told, and when: the latest counts, however late it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredDated")]
struct Dated(String, i64);

/// Before it was kept when, it was only text.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredDated {
    Text(String),
    Dated(String, i64),
}

impl From<StoredDated> for Dated {
    fn from(it: StoredDated) -> Self {
        match it {
            StoredDated::Text(text) => Self(text, i64::MIN),
            StoredDated::Dated(text, at) => Self(text, at),
        }
    }
}

/// Puts `told` into its place, unless something later, or as late and told before it in the alphabet, is there.
fn latest(place: &mut Option<Dated>, told: Option<Dated>) {
    if let Some(told) = told
        && place.as_ref().is_none_or(|there| (there.1, &told.0) < (told.1, &there.0))
    {
        *place = Some(told);
    }
}

/// Where something that is known of a person came from: the first of these that says it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The person's own traits.
    Profile,
    /// The device of the latest event that named it.
    Context,
    /// The country within the locale.
    Locale,
    /// What the workspace says of those of whom it is unknown.
    Workspace,
    /// Nobody.
    Unknown,
}

impl Origin {
    /// Its word; nothing if nobody said it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Context => "context",
            Self::Locale => "locale",
            Self::Workspace => "workspace",
            Self::Unknown => "",
        }
    }
}

/// What others need to know of a person to reach and address it, besides facts. Holds no identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// IANA time zone.
    pub time_zone: String,
    /// BCP 47 locale; empty if unknown.
    pub locale: String,
    /// Channels an address is known for.
    pub reachable: Vec<Channel>,
    /// A user id, e-mail or phone is known.
    pub identified: bool,
}

impl Person {
    /// Takes in one event and gives the facts it makes, in order. `owner` is the profile's draw key.
    pub fn apply(&mut self, event: &Event, owner: &str, settings: &Settings) -> Vec<Fact> {
        let at = micros(event.at);
        let mut facts = Facts { event, made: Vec::new() };
        let kind = self.meaning(event, owner, at);
        if event.meaning != Meaning::Consent {
            facts.add(&event.name, event.at, event.properties.clone(), kind);
        }
        self.surroundings(event, at);
        self.consent(event, at, &settings.consent_rules, &mut facts);
        if let Meaning::Order(OrderChange::Placed(order), _) = &event.meaning {
            let before = self.cart.now(&self.orders, owner);
            let after = self.moved(at, Move::Ordered(order.order_id.clone()), owner);
            if before.lines != after.lines {
                // An order that comes late leaves what was put in after it.
                let is_empty = after.lines.is_empty();
                let name = if is_empty { "Cart Emptied" } else { "Cart Changed" };
                let cart_id = if is_empty { before.id } else { after.id };
                let kind = FactKind::CartChanged { cart_id, lines: after.lines };
                facts.add(name, event.at, Properties::new(), kind);
            }
        }
        facts.made
    }

    fn meaning(&mut self, event: &Event, owner: &str, at: i64) -> FactKind {
        match &event.meaning {
            Meaning::Tracked | Meaning::Consent => FactKind::Tracked,
            Meaning::Traits => self.tell(event, at),
            Meaning::ProductViewed(product_id) => FactKind::ProductViewed { product_id: product_id.clone() },
            Meaning::CartAdded(id, line) => self.changed(at, Move::Added(id.clone(), line.clone()), owner),
            Meaning::CartRemoved(id, product_id, quantity) => {
                self.changed(at, Move::Removed(id.clone(), product_id.clone(), *quantity), owner)
            }
            Meaning::CartShown(id, lines) => self.changed(at, Move::Shown(id.clone(), lines.clone()), owner),
            Meaning::CheckoutStarted(id) => FactKind::CheckoutStarted { checkout_id: id.clone() },
            Meaning::Order(change, _) => FactKind::Order(change.clone()),
            Meaning::Message(reaction) => FactKind::Message(reaction.clone()),
        }
    }

    /// What is in the cart now.
    #[cfg(test)]
    pub fn cart_lines(&self) -> Vec<perennial_types::CartLine> {
        self.cart.now(&self.orders, "").lines
    }

    fn changed(&mut self, at: i64, it: Move, owner: &str) -> FactKind {
        let cart = self.moved(at, it, owner);
        // What happened before the order that emptied the cart, and arrives after it, is no longer in any cart.
        if !cart.concerns(at) {
            return FactKind::Tracked;
        }
        FactKind::CartChanged { cart_id: cart.id, lines: cart.lines }
    }

    /// The cart after something happened to it.
    fn moved(&mut self, at: i64, it: Move, owner: &str) -> Cart {
        self.cart.take(at, it, &mut self.orders, owner);
        let surplus = self.orders.len().saturating_sub(ORDERS);
        self.orders.drain(..surplus);
        self.cart.now(&self.orders, owner)
    }

    fn tell(&mut self, event: &Event, at: i64) -> FactKind {
        self.date_addresses();
        let set = event.about.set.iter().map(|(name, value)| (name, Some(value)));
        for (name, value) in set.chain(event.about.unset.iter().map(|name| (name, None))) {
            self.take(name, Trait { value: value.cloned(), at });
        }
        latest(&mut self.email, event.about.email.clone().map(|it| Dated(it, at)));
        latest(&mut self.phone, event.about.phone.clone().map(|it| Dated(it, at)));
        FactKind::Traits {
            set: without_identifiers(event.about.set.clone()),
            unset: event.about.unset.clone(),
        }
    }

    /// An address of before it was kept when it was told is as old as the trait that told it.
    fn date_addresses(&mut self) {
        for (place, name) in [(&mut self.email, "email"), (&mut self.phone, "phone")] {
            if let (Some(Dated(_, at @ i64::MIN)), Some(told)) = (place, self.traits.get(name)) {
                *at = told.at;
            }
        }
    }

    fn take(&mut self, name: &str, told: Trait) {
        match self.traits.get_mut(name) {
            // An old event that arrives late does not undo a newer one.
            Some(there) if told.counts_over(there) => *there = told,
            Some(_) => {}
            None => {
                self.traits.insert(name.to_owned(), told);
            }
        }
    }

    fn surroundings(&mut self, event: &Event, at: i64) {
        let about = &event.about;
        for (place, told) in [
            (&mut self.own_zone, &about.own_zone),
            (&mut self.device_zone, &about.device_zone),
            (&mut self.own_locale, &about.own_locale),
            (&mut self.device_locale, &about.device_locale),
            (&mut self.own_region, &about.own_region),
            (&mut self.device_region, &about.device_region),
        ] {
            latest(place, told.clone().map(|it| Dated(it, at)));
        }
    }

    /// Takes in what an event says about consent, and tells what is in force by it from then on.
    fn consent(&mut self, event: &Event, at: i64, rules: &[Rule], facts: &mut Facts<'_>) {
        let region = self.region().0;
        let mut concerned: BTreeSet<(Channel, Purpose)> = BTreeSet::new();
        if std::mem::take(&mut self.united) {
            concerned.extend(self.consents.keys().filter_map(|it| of_key(it)));
        }
        let outright = event.about.consents.iter().map(|it| (it, true));
        for (it, is_outright) in outright.chain(event.about.standing.iter().map(|it| (it, false))) {
            let basis = basis(rules, &region, it.channel, it.purpose);
            let place = key(it.channel, it.purpose);
            let agreement = self.consents.entry(place.clone()).or_default();
            // Nobody said anything after it was told.
            let said_at = it.at.map_or(at, |said| said.min(at));
            if is_outright {
                agreement.say(it, said_at, basis);
            } else if !agreement.see(it.word != Word::No, at, self.standing.remove(&place)) {
                continue;
            }
            concerned.insert((it.channel, it.purpose));
            if agreement.in_force(basis).is_some_and(|it| it.asked == Some(said_at)) {
                let text = |it: &str| Scalar::Text(it.to_owned());
                let properties = [("channel", it.channel.as_str()), ("purpose", it.purpose.as_str())];
                let properties = properties.map(|(name, it)| (name.to_owned(), text(it))).into();
                facts.add("Consent Requested", event.at, properties, FactKind::Tracked);
            }
        }
        // What a rule presumes, it presumes of those who can be reached at all; and what it presumed ends when they move.
        for rule in rules.iter().filter(|it| it.basis == Basis::Presumed && self.can_be_reached(it.channel)) {
            concerned.insert((rule.channel, rule.purpose));
        }
        for (channel, purpose) in concerned {
            let basis = basis(rules, &region, channel, purpose);
            let place = key(channel, purpose);
            if basis != Basis::Presumed && !self.consents.contains_key(&place) {
                continue;
            }
            let agreement = self.consents.entry(place).or_default();
            if let Some((at, change)) = agreement.news((channel, purpose), basis, &region, event.at) {
                facts.add("Consent Changed", at, Properties::new(), FactKind::Consent(change));
            }
        }
    }

    fn can_be_reached(&self, channel: Channel) -> bool {
        match channel {
            Channel::Email => self.email.is_some(),
            Channel::Sms => self.phone.is_some(),
            Channel::Push | Channel::Webhook | Channel::OnSite => true,
        }
    }

    /// Takes over what was known of a profile that turned out to be the same person. Of traits and consents the latest
    /// counts; of consents at the same instant a withdrawal.
    pub fn merge(&mut self, mut from: Self, owner: &str) {
        self.date_addresses();
        from.date_addresses();
        latest(&mut self.email, from.email);
        latest(&mut self.phone, from.phone);
        for (name, told) in from.traits {
            self.take(&name, told);
        }
        self.united = true;
        for (key, agreement) in from.consents {
            self.consents.entry(key).or_default().merge(agreement);
        }
        for (key, granted) in from.standing {
            self.standing.entry(key).or_insert(granted);
        }
        for (place, other) in [
            (&mut self.own_zone, from.own_zone),
            (&mut self.device_zone, from.device_zone),
            (&mut self.own_locale, from.own_locale),
            (&mut self.device_locale, from.device_locale),
            (&mut self.own_region, from.own_region),
            (&mut self.device_region, from.device_region),
        ] {
            latest(place, other);
        }
        let known: BTreeSet<String> = self.orders.iter().cloned().collect();
        let mut orders: Vec<String> = from.orders.into_iter().filter(|it| !known.contains(it)).collect();
        orders.append(&mut self.orders);
        self.orders = orders;
        self.cart.merge(from.cart, &mut self.orders, owner);
    }

    /// The zone that counts, and where it came from: the person's own, else the device's, else the workspace's.
    pub fn zone(&self, workspace: &str) -> (String, Origin) {
        match (&self.own_zone, &self.device_zone) {
            (Some(own), _) => (own.0.clone(), Origin::Profile),
            (None, Some(device)) => (device.0.clone(), Origin::Context),
            (None, None) => (workspace.to_owned(), Origin::Workspace),
        }
    }

    /// The locale that counts, and where it came from, likewise; empty if not even the workspace names one.
    pub fn locale(&self, workspace: &str) -> (String, Origin) {
        match (&self.own_locale, &self.device_locale) {
            (Some(own), _) => (own.0.clone(), Origin::Profile),
            (None, Some(device)) => (device.0.clone(), Origin::Context),
            (None, None) if workspace.is_empty() => (String::new(), Origin::Unknown),
            (None, None) => (workspace.to_owned(), Origin::Workspace),
        }
    }

    /// The country that counts, and where it came from: the person's own, else the device's, else the one within the
    /// locale; empty if unknown.
    pub fn region(&self) -> (String, Origin) {
        match (&self.own_region, &self.device_region) {
            (Some(own), _) => (own.0.clone(), Origin::Profile),
            (None, Some(device)) => (device.0.clone(), Origin::Context),
            (None, None) => region_of_locale(&self.locale("").0)
                .map_or((String::new(), Origin::Unknown), |it| (it, Origin::Locale)),
        }
    }

    /// What others need to know besides facts.
    pub fn reach(&self, identifiers: &BTreeSet<Identifier>, settings: &Settings) -> Reach {
        let has = |kind| identifiers.iter().any(|it| it.kind == kind);
        let mut reachable = Vec::new();
        if self.email(identifiers).is_some() {
            reachable.push(Channel::Email);
        }
        if self.phone(identifiers).is_some() {
            reachable.push(Channel::Sms);
        }
        reachable.push(Channel::Webhook);
        reachable.push(Channel::OnSite);
        Reach {
            time_zone: self.zone(&settings.time_zone).0,
            locale: self.locale(&settings.locale).0,
            reachable,
            identified: has(IdentifierKind::UserId)
                || has(IdentifierKind::Email)
                || has(IdentifierKind::Phone),
        }
    }

    /// The address to write to: the latest told, else one it is recognised by.
    pub fn email(&self, identifiers: &BTreeSet<Identifier>) -> Option<String> {
        self.email.as_ref().map(|it| it.0.clone()).or_else(|| first(identifiers, IdentifierKind::Email))
    }

    /// The number to call: the latest told, else one it is recognised by.
    pub fn phone(&self, identifiers: &BTreeSet<Identifier>) -> Option<String> {
        self.phone.as_ref().map(|it| it.0.clone()).or_else(|| first(identifiers, IdentifierKind::Phone))
    }

    /// Traits by name, identifiers included or left out.
    pub fn traits(&self, with_identifiers: bool) -> Properties {
        self.traits
            .iter()
            .filter_map(|(name, told)| Some((name.clone(), told.value.clone()?)))
            .filter(|(name, value)| with_identifiers || !identifies(name, value))
            .collect()
    }

    /// Consents by channel and purpose, as they are in force where the person lives.
    pub fn consents(&self, rules: &[Rule]) -> Vec<(Channel, Purpose, InForce)> {
        let region = self.region().0;
        self.consents
            .iter()
            .filter_map(|(key, agreement)| {
                let (channel, purpose) = of_key(key)?;
                let in_force = agreement.in_force(basis(rules, &region, channel, purpose))?;
                Some((channel, purpose, in_force))
            })
            .collect()
    }
}

fn key(channel: Channel, purpose: Purpose) -> String {
    format!("{}:{}", channel.as_str(), purpose.as_str())
}

fn of_key(key: &str) -> Option<(Channel, Purpose)> {
    let (channel, purpose) = key.split_once(':')?;
    Some((Channel::parse(channel)?, Purpose::parse(purpose)?))
}

fn first(identifiers: &BTreeSet<Identifier>, kind: IdentifierKind) -> Option<String> {
    identifiers.iter().find(|it| it.kind == kind).map(|it| it.value.clone())
}

/// The facts of one event: the first has its id, the others ids that follow from it.
struct Facts<'a> {
    event: &'a Event,
    made: Vec<Fact>,
}

impl Facts<'_> {
    fn add(&mut self, name: &str, at: Timestamp, properties: Properties, kind: FactKind) {
        let id = match u8::try_from(self.made.len()) {
            Ok(0) | Err(_) => self.event.id,
            Ok(n) => id_from(self.event.received, &[self.event.id.as_bytes(), &[n]]),
        };
        self.made.push(Fact { id, name: name.to_owned(), at, properties, kind });
    }
}
