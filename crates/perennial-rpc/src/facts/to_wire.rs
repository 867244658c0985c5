//! Fact → message.

use perennial_api::ingestion::v1 as wire;
use perennial_types::{Fact, FactKind, OrderChange, OrderPlaced, Properties, Scalar, micros};

/// The message of a fact. An absent text and an empty one are the same on the wire.
#[must_use]
pub fn encode(fact: &Fact) -> wire::Fact {
    wire::Fact {
        id: fact.id.as_bytes().to_vec(),
        name: fact.name.clone(),
        time_micros: micros(fact.at),
        properties: properties(&fact.properties),
        meaning: meaning(&fact.kind),
    }
}

fn properties(properties: &Properties) -> Vec<wire::Property> {
    let property = |(name, scalar): (&String, &Scalar)| wire::Property {
        name: name.clone(),
        value: Some(match scalar {
            Scalar::Bool(it) => wire::property::Value::BoolValue(*it),
            Scalar::Int(it) => wire::property::Value::IntValue(*it),
            Scalar::Float(it) => wire::property::Value::FloatValue(*it),
            Scalar::Text(it) => wire::property::Value::TextValue(it.clone()),
        }),
    };
    properties.iter().map(property).collect()
}

fn meaning(kind: &FactKind) -> Option<wire::fact::Meaning> {
    use wire::fact::Meaning;
    Some(match kind {
        FactKind::Tracked => return None,
        FactKind::Traits { set, unset } => {
            Meaning::Traits(wire::TraitsChanged { set: properties(set), unset: unset.clone() })
        }
        FactKind::Consent(it) => Meaning::Consent(wire::ConsentChanged {
            channel: it.channel.as_str().to_owned(),
            purpose: it.purpose.as_str().to_owned(),
            granted: it.granted,
            source: it.source.clone(),
        }),
        FactKind::ProductViewed { product_id } => {
            Meaning::ProductViewed(wire::ProductViewed { product_id: product_id.clone() })
        }
        FactKind::CartChanged { cart_id, lines } => {
            let line = |it: &perennial_types::CartLine| wire::CartLine {
                product_id: it.product_id.clone(),
                product_name: it.name.clone().unwrap_or_default(),
                quantity: it.quantity,
                price_minor: it.price,
            };
            Meaning::CartChanged(wire::CartChanged {
                cart_id: cart_id.clone(),
                lines: lines.iter().map(line).collect(),
            })
        }
        FactKind::CheckoutStarted { checkout_id } => Meaning::CheckoutStarted(wire::CheckoutStarted {
            checkout_id: checkout_id.clone().unwrap_or_default(),
        }),
        FactKind::Order(OrderChange::Placed(it)) => Meaning::OrderPlaced(placed(it)),
        FactKind::Order(OrderChange::Refunded(it)) => Meaning::OrderRefunded(wire::OrderRefunded {
            order_id: it.order_id.clone(),
            amount_minor: it.amount,
        }),
        FactKind::Order(OrderChange::Cancelled(order_id)) => {
            Meaning::OrderCancelled(wire::OrderCancelled { order_id: order_id.clone() })
        }
        FactKind::Message(it) => Meaning::MessageReacted(wire::MessageReacted {
            decision: it.decision_id.as_bytes().to_vec(),
            campaign: it.campaign.clone(),
            step: it.step.clone(),
            event: it.event.as_str().to_owned(),
        }),
    })
}

fn placed(order: &OrderPlaced) -> wire::OrderPlaced {
    let line = |it: &perennial_types::OrderLine| wire::OrderLine {
        product_id: it.product_id.clone(),
        category: it.category.clone().unwrap_or_default(),
        quantity: it.quantity,
        price_minor: it.price,
        cost_minor: it.cost,
    };
    wire::OrderPlaced {
        order_id: order.order_id.clone(),
        currency: order.currency.code().to_owned(),
        revenue_minor: order.revenue,
        discount_minor: order.discount,
        profit_minor: order.profit,
        cost_known_per_mille: order.cost_known_per_mille,
        coupon: order.coupon.clone().unwrap_or_default(),
        lines: order.lines.iter().map(line).collect(),
    }
}
