//! What is known of one person, and how an event changes it: the step from an event to facts.

use jiff::Timestamp;
use perennial_types::{
    Channel, ConsentChange, Fact, FactKind, Identifier, IdentifierKind, OrderChange, Properties, Purpose,
    Scalar, micros,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::cart::Cart;
use super::event::{Event, Meaning};
use super::identity::id_from;
use super::normalise::{identifies, without_identifiers};

/// How many orders are remembered, to know a repeated report from a new order.
const ORDERS: usize = 20;

/// What is known of one person besides what recognises them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Person {
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    traits: BTreeMap<String, Trait>,
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    consents: BTreeMap<String, Given>,
    /// What the page's banner last stood at.
    #[serde(rename = "b", default, skip_serializing_if = "BTreeMap::is_empty")]
    standing: BTreeMap<String, bool>,
    #[serde(rename = "zo", default, skip_serializing_if = "Option::is_none")]
    own_zone: Option<String>,
    #[serde(rename = "zd", default, skip_serializing_if = "Option::is_none")]
    device_zone: Option<String>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(rename = "k", default)]
    cart: Cart,
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    orders: Vec<String>,
}

/// A trait and when it was told; without a value it was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trait {
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    value: Option<Scalar>,
    #[serde(rename = "a")]
    at: i64,
}

/// A consent, where it came from and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Given or withdrawn.
    #[serde(rename = "g")]
    pub granted: bool,
    /// Where it came from.
    #[serde(rename = "s")]
    pub source: String,
    /// Since when, in microseconds since 1970, UTC.
    #[serde(rename = "a")]
    pub at: i64,
}

/// Where a person's time zone came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneSource {
    /// The person's own traits.
    Profile,
    /// The device of the latest event that named one.
    Context,
    /// The workspace's zone.
    Workspace,
}

impl ZoneSource {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Context => "context",
            Self::Workspace => "workspace",
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
    pub fn apply(&mut self, event: &Event, owner: &str) -> Vec<Fact> {
        let at = micros(event.at);
        let mut facts = Facts { event, made: Vec::new() };
        let kind = self.meaning(event, owner, at);
        if event.meaning != Meaning::Consent {
            facts.add(&event.name, event.properties.clone(), kind);
        }
        self.surroundings(event);
        let mut changes: Vec<&ConsentChange> = event.about.consents.iter().collect();
        for change in &event.about.standing {
            let key = key(change.channel, change.purpose);
            if self.standing.insert(key, change.granted) != Some(change.granted) {
                changes.push(change);
            }
        }
        for change in changes {
            if self.consent(change, at) {
                facts.add("Consent Changed", Properties::new(), FactKind::Consent(change.clone()));
            }
        }
        if let Meaning::Order(OrderChange::Placed(order), _) = &event.meaning {
            // Browser and server report the same order: only its first report ends the cart it came from.
            if !self.orders.contains(&order.order_id) {
                self.orders.push(order.order_id.clone());
                let surplus = self.orders.len().saturating_sub(ORDERS);
                self.orders.drain(..surplus);
                if self.cart.concerns(at) {
                    let had_lines = self.cart.empty(at);
                    let cart_id = self.cart.close();
                    if had_lines {
                        let kind = FactKind::CartChanged { cart_id, lines: Vec::new() };
                        facts.add("Cart Emptied", Properties::new(), kind);
                    }
                }
            }
        }
        facts.made
    }

    fn meaning(&mut self, event: &Event, owner: &str, at: i64) -> FactKind {
        let changed =
            |cart: &Cart| FactKind::CartChanged { cart_id: cart.id.clone(), lines: cart.lines.clone() };
        match &event.meaning {
            Meaning::Tracked | Meaning::Consent => FactKind::Tracked,
            Meaning::Traits => self.tell(event, at),
            Meaning::ProductViewed(product_id) => FactKind::ProductViewed { product_id: product_id.clone() },
            // What happened before the order that emptied the cart, and arrives after it, is no longer in any cart.
            Meaning::CartAdded(..) | Meaning::CartRemoved(..) | Meaning::CartShown(..)
                if !self.cart.concerns(at) =>
            {
                FactKind::Tracked
            }
            Meaning::CartAdded(id, line) => {
                self.cart.add(id.as_deref(), line.clone(), owner);
                changed(&self.cart)
            }
            Meaning::CartRemoved(id, product_id, quantity) => {
                self.cart.remove(id.as_deref(), product_id, *quantity, owner);
                changed(&self.cart)
            }
            Meaning::CartShown(id, lines) => {
                self.cart.show(id.as_deref(), lines.clone(), owner);
                changed(&self.cart)
            }
            Meaning::CheckoutStarted(id) => FactKind::CheckoutStarted { checkout_id: id.clone() },
            Meaning::Order(change, _) => FactKind::Order(change.clone()),
            Meaning::Message(reaction) => FactKind::Message(reaction.clone()),
        }
    }

    fn tell(&mut self, event: &Event, at: i64) -> FactKind {
        let set = event.about.set.iter().map(|(name, value)| (name, Some(value)));
        for (name, value) in set.chain(event.about.unset.iter().map(|name| (name, None))) {
            let told = Trait { value: value.cloned(), at };
            match self.traits.get_mut(name) {
                // An old event that arrives late does not undo a newer one.
                Some(there) if there.at > at => {}
                Some(there) => *there = told,
                None => {
                    self.traits.insert(name.clone(), told);
                }
            }
        }
        let latest = |name: &str| self.traits.get(name).is_some_and(|it| it.at <= at);
        if event.about.email.is_some() && latest("email") {
            self.email.clone_from(&event.about.email);
        }
        if event.about.phone.is_some() && latest("phone") {
            self.phone.clone_from(&event.about.phone);
        }
        FactKind::Traits {
            set: without_identifiers(event.about.set.clone()),
            unset: event.about.unset.clone(),
        }
    }

    fn surroundings(&mut self, event: &Event) {
        let about = &event.about;
        for (place, told) in [
            (&mut self.own_zone, &about.own_zone),
            (&mut self.device_zone, &about.device_zone),
            (&mut self.locale, &about.locale),
        ] {
            if told.is_some() {
                place.clone_from(told);
            }
        }
    }

    /// Says whether it changed anything.
    fn consent(&mut self, change: &ConsentChange, at: i64) -> bool {
        let given = Given { granted: change.granted, source: change.source.clone(), at };
        match self.consents.get_mut(&key(change.channel, change.purpose)) {
            Some(there) if there.at > at => false,
            Some(there) if there.granted == change.granted => {
                there.at = at;
                false
            }
            Some(there) => {
                *there = given;
                true
            }
            None => {
                self.consents.insert(key(change.channel, change.purpose), given);
                true
            }
        }
    }

    /// Takes over what was known of a profile that turned out to be the same person. Of traits and consents the latest
    /// counts; of two at the same instant the survivor's, but a withdrawal before a grant.
    pub fn merge(&mut self, from: Self) {
        for (name, told) in from.traits {
            match self.traits.get_mut(&name) {
                Some(there) if there.at >= told.at => {}
                Some(there) => *there = told,
                None => {
                    self.traits.insert(name, told);
                }
            }
        }
        for (key, given) in from.consents {
            match self.consents.get_mut(&key) {
                Some(there) if there.at > given.at => {}
                Some(there) if there.at == given.at && (!there.granted || given.granted) => {}
                Some(there) => *there = given,
                None => {
                    self.consents.insert(key, given);
                }
            }
        }
        for (key, granted) in from.standing {
            self.standing.entry(key).or_insert(granted);
        }
        for (place, other) in [
            (&mut self.own_zone, from.own_zone),
            (&mut self.device_zone, from.device_zone),
            (&mut self.locale, from.locale),
            (&mut self.email, from.email),
            (&mut self.phone, from.phone),
        ] {
            if place.is_none() {
                *place = other;
            }
        }
        self.cart.merge(from.cart);
        let known: BTreeSet<String> = self.orders.iter().cloned().collect();
        let mut orders: Vec<String> = from.orders.into_iter().filter(|it| !known.contains(it)).collect();
        orders.append(&mut self.orders);
        self.orders = orders;
    }

    /// The zone that counts, and where it came from: the person's own, else the device's, else the workspace's.
    pub fn zone(&self, workspace: &str) -> (String, ZoneSource) {
        match (&self.own_zone, &self.device_zone) {
            (Some(own), _) => (own.clone(), ZoneSource::Profile),
            (None, Some(device)) => (device.clone(), ZoneSource::Context),
            (None, None) => (workspace.to_owned(), ZoneSource::Workspace),
        }
    }

    /// What others need to know besides facts.
    pub fn reach(&self, identifiers: &BTreeSet<Identifier>, workspace_zone: &str) -> Reach {
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
            time_zone: self.zone(workspace_zone).0,
            locale: self.locale.clone().unwrap_or_default(),
            reachable,
            identified: has(IdentifierKind::UserId)
                || has(IdentifierKind::Email)
                || has(IdentifierKind::Phone),
        }
    }

    /// The address to write to: the latest told, else one it is recognised by.
    pub fn email(&self, identifiers: &BTreeSet<Identifier>) -> Option<String> {
        self.email.clone().or_else(|| first(identifiers, IdentifierKind::Email))
    }

    /// The number to call: the latest told, else one it is recognised by.
    pub fn phone(&self, identifiers: &BTreeSet<Identifier>) -> Option<String> {
        self.phone.clone().or_else(|| first(identifiers, IdentifierKind::Phone))
    }

    /// The locale; empty if unknown.
    pub fn locale(&self) -> &str {
        self.locale.as_deref().unwrap_or_default()
    }

    /// Traits by name, identifiers included or left out.
    pub fn traits(&self, with_identifiers: bool) -> Properties {
        self.traits
            .iter()
            .filter_map(|(name, told)| Some((name.clone(), told.value.clone()?)))
            .filter(|(name, value)| with_identifiers || !identifies(name, value))
            .collect()
    }

    /// Consents by channel and purpose.
    pub fn consents(&self) -> Vec<(Channel, Purpose, &Given)> {
        let parse = |key: &str| {
            let (channel, purpose) = key.split_once(':')?;
            Some((Channel::parse(channel)?, Purpose::parse(purpose)?))
        };
        self.consents
            .iter()
            .filter_map(|(key, given)| parse(key).map(|(channel, purpose)| (channel, purpose, given)))
            .collect()
    }
}

fn key(channel: Channel, purpose: Purpose) -> String {
    format!("{}:{}", channel.as_str(), purpose.as_str())
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
    fn add(&mut self, name: &str, properties: Properties, kind: FactKind) {
        let at: Timestamp = self.event.at;
        let id = match u8::try_from(self.made.len()) {
            Ok(0) | Err(_) => self.event.id,
            Ok(n) => id_from(self.event.received, &[self.event.id.as_bytes(), &[n]]),
        };
        self.made.push(Fact { id, name: name.to_owned(), at, properties, kind });
    }
}
