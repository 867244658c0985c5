//! An event, normalised: what it means, whose it is and what it says about the person. Nothing here depends on what is
//! already known of that person; that is the next step's (`person`).

use jiff::Timestamp;
use perennial_types::{CartLine, Identifier, MessageReaction, OrderChange, ProfileId, Properties};
use std::time::Duration;
use uuid::Uuid;

use super::agreement::Said;
use super::catalogue::costs::Named;
use super::identity::id_from;
use super::problem::Problem;

/// An event ready to be taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id in the log; the same for a retry within the same millisecond, else another.
    pub id: Uuid,
    /// What a retry is recognised by: a hash of its message id.
    pub key: [u8; 16],
    /// The sender's message id, or the one it was given.
    pub message_id: String,
    /// The kind of call, such as `track`.
    pub call: &'static str,
    /// Its name, in the words of the specification where they are known.
    pub name: String,
    /// When it happened.
    pub at: Timestamp,
    /// When it was received.
    pub received: Timestamp,
    /// Changes state, but starts and sends nothing.
    pub historical: bool,
    /// What recognises its person, the strongest first.
    pub identifiers: Vec<Identifier>,
    /// Its person by our own id: reports of our own services.
    pub profile: Option<ProfileId>,
    /// For alias: the former id, as either a user id or an anonymous id.
    pub previous: Option<String>,
    /// Scalar properties without identifiers.
    pub properties: Properties,
    /// What it means.
    pub meaning: Meaning,
    /// What it says about the person.
    pub about: About,
    /// The event as it was sent.
    pub body: String,
    /// What had to be left out of it.
    pub warnings: Vec<Problem>,
    /// What the tracking plan has against it; it is taken even so.
    pub observed: Vec<Problem>,
}

impl Event {
    /// The part of its key that is remembered.
    pub fn hash(&self) -> i64 {
        self.key.first_chunk().map_or(0, |it| i64::from_be_bytes(*it))
    }

    /// It was refused when it came at first, and comes again now: when it happened stays, but it enters the log now, and is
    /// history by then if it is older than `max_age`.
    pub fn receive_again(&mut self, now: Timestamp, historical: bool, max_age: Duration) {
        self.received = now;
        self.id = id_from(now, &[&self.key]);
        let age = now.duration_since(self.at);
        self.historical = historical || jiff::SignedDuration::try_from(max_age).is_ok_and(|most| age > most);
    }
}

/// What an event means, before it meets what is known of its person.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Nothing of its own.
    Tracked,
    /// Traits were told.
    Traits,
    /// Consent was told, and nothing else.
    Consent,
    /// A product was seen.
    ProductViewed(String),
    /// Something went into the cart.
    CartAdded(Option<String>, CartLine),
    /// Something was taken out; without a quantity, all of it.
    CartRemoved(Option<String>, String, Option<i64>),
    /// The whole cart was shown.
    CartShown(Option<String>, Vec<CartLine>),
    /// Checkout began, with its id.
    CheckoutStarted(Option<String>),
    /// Something about an order, and those of its lines whose cost it does not tell.
    Order(OrderChange, Vec<Named>),
    /// Something became of a message of ours.
    Message(MessageReaction),
}

/// What an event says about its person besides what happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Traits to set, identifiers included.
    pub set: Properties,
    /// Traits to remove.
    pub unset: Vec<String>,
    /// Consents said outright.
    pub consents: Vec<Said>,
    /// Consents as the page's banner stands: said with every event, so only a change of them counts.
    pub standing: Vec<Said>,
    /// A valid IANA zone the person's traits name.
    pub own_zone: Option<String>,
    /// A valid IANA zone the device is in.
    pub device_zone: Option<String>,
    /// A locale the person's traits name.
    pub own_locale: Option<String>,
    /// The locale of the device.
    pub device_locale: Option<String>,
    /// The country the person's traits name, in the letters of ISO 3166-1.
    pub own_region: Option<String>,
    /// The country the device is in.
    pub device_region: Option<String>,
    /// An address to write to.
    pub email: Option<String>,
    /// A number to call.
    pub phone: Option<String>,
    /// A sign of life.
    pub active: bool,
}
