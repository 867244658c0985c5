//! Message → fact.

use perennial_api::ingestion::v1 as wire;
use perennial_types::{
    CartLine, Channel, ConsentChange, Currency, Fact, FactKind, MessageEvent, MessageReaction, OrderChange,
    OrderLine, OrderPlaced, OrderRefunded, Properties, Purpose, Scalar, from_micros,
};
use uuid::Uuid;

use super::FactFault;

/// The fact of a message.
///
/// # Errors
/// [`FactFault::Field`] if a field holds what it cannot.
pub fn from_wire(wire: wire::Fact) -> Result<Fact, FactFault> {
    Ok(Fact {
        id: id("id", &wire.id)?,
        name: wire.name,
        at: from_micros(wire.time_micros),
        properties: properties("properties", wire.properties)?,
        kind: wire.meaning.map_or(Ok(FactKind::Tracked), kind)?,
    })
}

fn refused(field: &'static str, problem: impl Into<String>) -> FactFault {
    FactFault::Field { field, problem: problem.into() }
}

fn id(field: &'static str, bytes: &[u8]) -> Result<Uuid, FactFault> {
    Uuid::from_slice(bytes).map_err(|_| refused(field, format!("is {} bytes long, not 16", bytes.len())))
}

fn word<T>(field: &'static str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, FactFault> {
    parse(text).ok_or_else(|| refused(field, format!("is {text:?}, which this version does not know")))
}

fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn properties(field: &'static str, wire: Vec<wire::Property>) -> Result<Properties, FactFault> {
    let scalar = |it: wire::Property| {
        let value = match it.value {
            Some(wire::property::Value::BoolValue(it)) => Scalar::Bool(it),
            Some(wire::property::Value::IntValue(it)) => Scalar::Int(it),
            Some(wire::property::Value::FloatValue(it)) => Scalar::Float(it),
            Some(wire::property::Value::TextValue(it)) => Scalar::Text(it),
            None => {
                let problem = format!("hold {:?} without a value this version knows", it.name);
                return Err(refused(field, problem));
            }
        };
        Ok((it.name, value))
    };
    wire.into_iter().map(scalar).collect()
}

fn kind(meaning: wire::fact::Meaning) -> Result<FactKind, FactFault> {
    use wire::fact::Meaning;
    Ok(match meaning {
        Meaning::Traits(it) => FactKind::Traits { set: properties("traits.set", it.set)?, unset: it.unset },
        Meaning::Consent(it) => FactKind::Consent(ConsentChange {
            channel: word("consent.channel", &it.channel, Channel::parse)?,
            purpose: word("consent.purpose", &it.purpose, Purpose::parse)?,
            granted: it.granted,
            source: it.source,
        }),
        Meaning::ProductViewed(it) => FactKind::ProductViewed { product_id: it.product_id },
        Meaning::CartChanged(it) => {
            let line = |it: wire::CartLine| CartLine {
                product_id: it.product_id,
                name: optional(it.product_name),
                quantity: it.quantity,
                price: it.price_minor,
            };
            FactKind::CartChanged { cart_id: it.cart_id, lines: it.lines.into_iter().map(line).collect() }
        }
        Meaning::CheckoutStarted(it) => FactKind::CheckoutStarted { checkout_id: optional(it.checkout_id) },
        Meaning::OrderPlaced(it) => FactKind::Order(OrderChange::Placed(placed(it)?)),
        Meaning::OrderRefunded(it) => FactKind::Order(OrderChange::Refunded(OrderRefunded {
            order_id: it.order_id,
            amount: it.amount_minor,
        })),
        Meaning::OrderCancelled(it) => FactKind::Order(OrderChange::Cancelled(it.order_id)),
        Meaning::MessageReacted(it) => FactKind::Message(MessageReaction {
            decision_id: id("message_reacted.decision", &it.decision)?,
            campaign: it.campaign,
            step: it.step,
            event: word("message_reacted.event", &it.event, MessageEvent::parse)?,
        }),
    })
}

fn placed(wire: wire::OrderPlaced) -> Result<OrderPlaced, FactFault> {
    let line = |it: wire::OrderLine| OrderLine {
        product_id: it.product_id,
        category: optional(it.category),
        quantity: it.quantity,
        price: it.price_minor,
        cost: it.cost_minor,
    };
    Ok(OrderPlaced {
        order_id: wire.order_id,
        currency: word("order_placed.currency", &wire.currency, |it| Currency::parse(it).ok())?,
        revenue: wire.revenue_minor,
        discount: wire.discount_minor,
        profit: wire.profit_minor,
        cost_known_per_mille: wire.cost_known_per_mille,
        coupon: optional(wire.coupon),
        lines: wire.lines.into_iter().map(line).collect(),
    })
}
