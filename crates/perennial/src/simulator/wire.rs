//! What happens, in the words of the Segment specification.

use perennial_api::ingestion::v1::Event;
use perennial_rpc::{structs, time};
use serde_json::{Value, json};

use super::catalogue::{CATALOGUE, cost, value};
use super::{Customer, Happening, Line, What};

/// The event a shop would send. Nothing for what happens in the customer's inbox: that is seen by the links in it.
#[must_use]
pub fn event(customer: &Customer, it: &Happening) -> Option<Event> {
    let id = customer.id();
    let visitor = format!("v{:05}", customer.number);
    let (name, properties) = match &it.what {
        What::Identified => ("", traits(customer)),
        What::Viewed { line, .. } => ("Product Viewed", product(line)),
        What::Added { cart, line } => {
            let mut it = product(line);
            it["cart_id"] = cart.as_str().into();
            ("Product Added", it)
        }
        What::CheckoutStarted { cart, lines } => (
            "Checkout Started",
            json!({
                "checkout_id": cart, "cart_id": cart, "value": money(value(lines)), "currency": "EUR",
                "products": products(lines),
            }),
        ),
        What::Ordered(order) => {
            let goods = value(&order.lines);
            let mut it = json!({
                "order_id": order.id, "checkout_id": order.cart, "cart_id": order.cart, "currency": "EUR",
                "revenue": money(goods - order.discount), "discount": money(order.discount),
                "shipping": money(order.shipping), "total": money(goods - order.discount + order.shipping),
                "cost_total": money(cost(&order.lines)), "products": products(&order.lines),
            });
            if let Some(coupon) = &order.coupon {
                it["coupon"] = coupon.as_str().into();
            }
            ("Order Completed", it)
        }
        What::Refunded { order, amount } => {
            let mut it = json!({ "order_id": order, "currency": "EUR" });
            if let Some(amount) = amount {
                it["total"] = money(*amount);
            }
            ("Order Refunded", it)
        }
        What::TicketOpened { topic } => ("Support Ticket Opened", json!({ "topic": topic })),
        What::Opened(_) | What::Clicked(_) | What::Unsubscribed(_) => return None,
    };
    let anonymous = matches!(it.what, What::Viewed { anonymous: true, .. });
    let identified = name.is_empty();
    let shows_visitor = anonymous || (identified && customer.anonymous_first);
    let event = Event {
        message_id: format!("linden-{id}-{}", it.key),
        r#type: if identified { "identify" } else { "track" }.to_owned(),
        user_id: if anonymous { String::new() } else { id },
        anonymous_id: if shows_visitor { visitor } else { String::new() },
        event: name.to_owned(),
        properties: object(properties),
        context: object(json!({ "timezone": customer.zone_name })),
        event_time: Some(time::to_wire(it.at)),
        ..Event::default()
    };
    Some(event)
}

fn object(json: Value) -> Option<prost_types::Struct> {
    match json {
        Value::Object(it) => Some(structs::from_json(it)),
        _ => None,
    }
}

fn traits(customer: &Customer) -> Value {
    json!({
        "email": customer.email(), "first_name": customer.first_name, "last_name": customer.last_name,
        "timezone": customer.zone_name, "locale": "en", "consent": { "email": customer.consent },
    })
}

fn product(line: &Line) -> Value {
    let it = CATALOGUE[usize::from(line.product)];
    json!({
        "product_id": it.id, "name": it.name, "category": it.category, "price": money(it.price),
        "cost": money(it.cost), "quantity": line.quantity, "currency": "EUR",
        "url": format!("https://linden.example/{}", it.id),
    })
}

fn products(lines: &[Line]) -> Value {
    lines.iter().map(product).collect()
}

/// Cents as an amount of euros. Text, so that nothing is rounded on the way.
fn money(cents: i64) -> Value {
    perennial_types::Currency::EUR.format(cents).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{Settings, Shop};

    #[test]
    fn every_event_of_a_year_is_one_of_a_shop() {
        let start = "2025-03-01T00:00:00Z".parse().unwrap();
        let mut shop = Shop::new(Settings { seed: 4, customers: 50, days: 365, start });
        let happened = shop.until(perennial_types::Timestamp::MAX);
        let mut ids = std::collections::BTreeSet::new();
        for it in &happened {
            let customer = shop.customer(it.customer).unwrap();
            let event = event(customer, it).unwrap();
            assert!(ids.insert(event.message_id.clone()), "{}", event.message_id);
            assert!(!event.user_id.is_empty() || !event.anonymous_id.is_empty());
        }
        assert_eq!(ids.len(), happened.len());
    }
}
