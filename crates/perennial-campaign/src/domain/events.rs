//! Which facts an event name of a definition means, and what of them expressions can see.

use perennial_types::{Fact, FactKind, MessageEvent, OrderChange, Properties, Scalar};

use super::state::State;

/// The most properties of an event that an instance keeps.
const MAX_PROPERTIES: usize = 40;
/// The longest text of a property that an instance keeps, in characters.
const MAX_TEXT: usize = 300;

/// A fact as triggers see it: what it is called, and what it says.
pub struct Event<'a> {
    fact: &'a Fact,
    /// By its well-known name, if it has a meaning of its own.
    known_as: Option<&'static str>,
    /// It tells nothing new: an order told again, a consent given again.
    repeated: bool,
    /// What expressions see as `it`.
    pub properties: Properties,
}

/// The well-known name of a product looked at.
pub const VIEWED: &str = "Product Viewed";

impl<'a> Event<'a> {
    /// Reads a fact, before it is applied to `state`.
    pub fn of(fact: &'a Fact, state: &State) -> Self {
        let (known_as, repeated) = match &fact.kind {
            FactKind::Tracked | FactKind::Traits { .. } => (None, false),
            FactKind::Consent(it) => {
                let name = if it.granted { "Consent Given" } else { "Consent Withdrawn" };
                let key = format!("{}/{}", it.channel.as_str(), it.purpose.as_str());
                (Some(name), state.consent.get(&key).copied().unwrap_or(false) == it.granted)
            }
            FactKind::ProductViewed { .. } => (Some(VIEWED), false),
            FactKind::CartChanged { lines, .. } => {
                (Some(if lines.is_empty() { "Cart Emptied" } else { "Cart Changed" }), false)
            }
            FactKind::CheckoutStarted { .. } => (Some("Checkout Started"), false),
            FactKind::Order(OrderChange::Placed(order)) => {
                let known = state.orders.get(&order.order_id).is_some_and(|it| it.placed_at().is_some());
                (Some("Order Completed"), known)
            }
            FactKind::Order(OrderChange::Refunded(_)) => (Some("Order Refunded"), false),
            FactKind::Order(OrderChange::Cancelled(_)) => (Some("Order Cancelled"), false),
            FactKind::Message(it) => (Some(message_name(it.event)), false),
        };
        Self { fact, known_as, repeated, properties: properties(fact) }
    }

    /// Whether a definition's event name means this.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        match self.known_as {
            Some(known) if known == name => !self.repeated,
            // The name under which an order is tracked is free; what counts is that it is one, and told for the first time.
            Some("Order Completed") => self.fact.name == name && !self.repeated,
            // Traits and consent of one call share its name; only the first is the call itself.
            Some("Consent Given" | "Consent Withdrawn") => false,
            _ => self.fact.name == name,
        }
    }

    /// The names it is known by.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.fact.name.as_str()).chain(self.known_as)
    }
}

/// The well-known name of what a message went through.
pub fn message_name(event: MessageEvent) -> &'static str {
    match event {
        MessageEvent::Delivered => "Message Delivered",
        MessageEvent::Opened => "Message Opened",
        MessageEvent::Clicked => "Message Clicked",
        MessageEvent::Bounced => "Message Bounced",
        MessageEvent::Complained => "Message Complained",
        MessageEvent::Unsubscribed => "Message Unsubscribed",
    }
}

fn properties(fact: &Fact) -> Properties {
    let mut found: Properties = fact
        .properties
        .iter()
        .take(MAX_PROPERTIES)
        .map(|(name, value)| {
            let value = match value {
                Scalar::Text(text) if text.len() > MAX_TEXT => {
                    Scalar::Text(text.chars().take(MAX_TEXT).collect())
                }
                other => other.clone(),
            };
            (name.clone(), value)
        })
        .collect();
    let mut set = |name: &str, value: Scalar| {
        found.insert(name.to_owned(), value);
    };
    match &fact.kind {
        FactKind::Consent(it) => {
            set("channel", it.channel.as_str().into());
            set("purpose", it.purpose.as_str().into());
            set("source", it.source.as_str().into());
        }
        FactKind::ProductViewed { product_id } => set("product_id", product_id.as_str().into()),
        FactKind::CartChanged { cart_id, lines } => {
            set("cart_id", cart_id.as_str().into());
            set("items", Scalar::Int(lines.iter().fold(0, |sum, it| sum.saturating_add(it.quantity))));
            let value =
                lines.iter().fold(0_i64, |sum, it| sum.saturating_add(it.quantity.saturating_mul(it.price)));
            set("cart_value", Scalar::Int(value));
        }
        FactKind::CheckoutStarted { checkout_id: Some(id) } => set("checkout_id", id.as_str().into()),
        FactKind::Order(change) => set("order_id", change.order_id().into()),
        FactKind::Message(it) => {
            set("campaign", it.campaign.as_str().into());
            set("step", it.step.as_str().into());
        }
        _ => {}
    }
    found
}
