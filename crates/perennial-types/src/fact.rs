//! Typed facts: what an event means, normalised once at the edge.
//!
//! A fact never carries an identifier (address, phone, external id); those live in identity, profile, raw payload and
//! send rows only, so that erasing a person does not need to touch facts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{OrderChange, Properties, Scalar, Timestamp};

/// One thing that happened to one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The event's id in the log.
    pub id: Uuid,
    /// The name it was tracked under, such as `Order Completed`; `Identify` and `Page` for those calls.
    pub name: String,
    /// When it happened (event time, after clock correction).
    pub at: Timestamp,
    /// Its scalar properties, flattened with dots.
    pub properties: Properties,
    /// What it means to us.
    pub kind: FactKind,
}

/// What a fact means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FactKind {
    /// Something tracked that has no meaning of its own to us; rules still see name and properties.
    Tracked,
    /// Traits were set; a null removed one.
    Traits {
        /// Traits to set, flattened with dots. Identifiers are replaced by their presence (`email: true`).
        set: Properties,
        /// Traits to remove.
        unset: Vec<String>,
    },
    /// Consent was given or withdrawn.
    Consent(ConsentChange),
    /// A product page was seen.
    ProductViewed {
        /// The product.
        product_id: String,
    },
    /// The cart changed: all that is in it now.
    CartChanged {
        /// The cart instance; a new one begins after an order.
        cart_id: String,
        /// Lines now in the cart; none means it was emptied.
        lines: Vec<CartLine>,
    },
    /// Checkout began.
    CheckoutStarted {
        /// The checkout's or the order's id, if the event named one.
        checkout_id: Option<String>,
    },
    /// Something about an order.
    Order(OrderChange),
    /// A message of ours was delivered, opened, clicked, …
    Message(MessageReaction),
}

/// One line of a cart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CartLine {
    /// The product's id, else its SKU.
    pub product_id: String,
    /// Its name, for the message.
    pub name: Option<String>,
    /// Units.
    pub quantity: i64,
    /// Price of one unit in minor units of the workspace's currency.
    pub price: i64,
}

/// A change of consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentChange {
    /// The channel it is about.
    pub channel: Channel,
    /// The purpose it is about.
    pub purpose: Purpose,
    /// Given (true) or withdrawn.
    pub granted: bool,
    /// Where it came from, such as `identify`, `one-click`, `import`.
    pub source: String,
}

/// A way to reach a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// E-mail.
    Email,
    /// Text message.
    Sms,
    /// Mobile or web push.
    Push,
    /// Signed webhook.
    Webhook,
    /// Content on the shop's own site or app.
    OnSite,
}

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Required by law or for safety: nothing stops it.
    Compliance,
    /// Answers something the person did: needs no marketing consent.
    Transactional,
    /// Everything else.
    Marketing,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReaction {
    /// The decision that sent it.
    pub decision_id: Uuid,
    /// The campaign, by its bare name.
    pub campaign: String,
    /// The step within the campaign.
    pub step: String,
    /// What happened.
    pub event: MessageEvent,
}

/// Steps in a message's life, as facts about the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageEvent {
    /// The next hop took it.
    Delivered,
    /// A person opened it.
    Opened,
    /// A person clicked a link in it.
    Clicked,
    /// It came back.
    Bounced,
    /// The person marked it as spam.
    Complained,
    /// The person unsubscribed from it.
    Unsubscribed,
}

/// A way to recognise a profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identifier {
    /// What kind it is.
    pub kind: IdentifierKind,
    /// Its value, normalised (addresses in lower case).
    pub value: String,
}

/// Kinds of identifiers, in the order of their priority: when a merge would break a limit, the last is dropped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// The shop's own id of the customer: one for ever.
    UserId,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A browser's or device's id from before the person was known.
    AnonymousId,
}

impl Fact {
    /// A numeric property by its dotted name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.properties.get(name).and_then(Scalar::number)
    }
}

macro_rules! words {
    ($type:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Its word in files, tables and APIs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads its word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(Channel { Email => "email", Sms => "sms", Push => "push", Webhook => "webhook", OnSite => "on_site" });
words!(Purpose { Compliance => "compliance", Transactional => "transactional", Marketing => "marketing" });
words!(MessageEvent {
    Delivered => "delivered", Opened => "opened", Clicked => "clicked",
    Bounced => "bounced", Complained => "complained", Unsubscribed => "unsubscribed",
});
words!(IdentifierKind { UserId => "user_id", Email => "email", Phone => "phone", AnonymousId => "anonymous_id" });
