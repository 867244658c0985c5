//! The orders of one person as every service counts them, with what only their events tell, for exports.

use jiff::Timestamp;
use perennial_types::{Currency, Fact, FactKind, OrderChange, OrderPlaced, OrderState, Scalar};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Names of events that tell of orders.
pub const NAMES: [&str; 4] = ["Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"];

/// From when on, and until before when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// The first instant; none: from the beginning.
    pub start: Option<Timestamp>,
    /// The first instant after it; none: without an end.
    pub end: Option<Timestamp>,
}

impl Within {
    /// Whether an instant is in it.
    pub fn holds(self, at: Timestamp) -> bool {
        self.start.is_none_or(|it| at >= it) && self.end.is_none_or(|it| at < it)
    }
}

/// The latest report of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// Message id of its event.
    pub message_id: String,
    /// The order.
    pub order: OrderPlaced,
    /// The names of the products of its lines, as far as the event tells them.
    pub products: Vec<Option<String>>,
    /// Where the customer came from, if told.
    pub channel: Option<String>,
    /// The country, if told.
    pub country: Option<String>,
}

/// Something that went back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// When.
    pub at: Timestamp,
    /// Message id of its event.
    pub message_id: String,
    /// The shop's id of the refund, if told.
    pub refund_id: Option<String>,
    /// How much in minor units; none: all that was left.
    pub amount: Option<i64>,
}

/// An order, and what went back of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sold {
    /// The shop's id of the order.
    pub order_id: String,
    /// The currency of its amounts, if any amount of it is known.
    pub currency: Option<Currency>,
    /// When it was placed and what it is, unless that was at another time than asked for, or is not known.
    pub placed: Option<(Timestamp, Telling)>,
    /// What went back in the time that was asked for, oldest first.
    pub returns: Vec<Return>,
    /// What is left of its revenue, in minor units.
    pub net_revenue: i64,
    /// What is left of its profit, likewise.
    pub net_profit: i64,
}

/// All that is known of one order.
#[derive(Debug, Default)]
struct Order {
    state: OrderState,
    latest: Option<Telling>,
    returns: BTreeMap<String, Return>,
}

/// All that is known of the orders of one person.
#[derive(Debug, Default)]
pub struct Orders(BTreeMap<String, Order>);

impl Orders {
    /// Takes in a fact of an event that was kept as `body`; one that is not about an order says nothing.
    pub fn take(&mut self, fact: Fact, message_id: &str, body: &str) {
        let FactKind::Order(change) = fact.kind else { return };
        let order = self.0.entry(change.order_id().to_owned()).or_default();
        let id = fact.id.simple().to_string();
        order.state.apply(&id, fact.at, &change);
        let text = |name: &str| fact.properties.get(name).map(Scalar::to_string).filter(|it| !it.is_empty());
        match change {
            OrderChange::Placed(placed) if order.state.told_by() == Some(id.as_str()) => {
                order.latest = Some(Telling {
                    message_id: message_id.to_owned(),
                    products: product_names(body, placed.lines.len()),
                    order: placed,
                    channel: text("channel"),
                    country: text("country"),
                });
            }
            OrderChange::Placed(_) => {}
            OrderChange::Refunded(_) | OrderChange::Cancelled(_) => {
                let amount = if let OrderChange::Refunded(it) = &change { it.amount } else { None };
                let refund_id = text("refund_id");
                let message_id = message_id.to_owned();
                order.returns.insert(id, Return { at: fact.at, message_id, refund_id, amount });
            }
        }
    }

    /// What was sold and what went back within a time, by when that was.
    pub fn within(self, within: Within) -> Vec<Sold> {
        let sold = |(order_id, order): (String, Order)| {
            let Order { state, latest, returns } = order;
            let currency = latest.as_ref().map(|it| it.order.currency);
            let placed = state.placed_at().zip(latest).filter(|(at, _)| within.holds(*at));
            let mut returns: Vec<Return> = returns.into_values().filter(|it| within.holds(it.at)).collect();
            returns.sort_by_key(|it| it.at);
            let (net_revenue, net_profit) = (state.net_revenue(), state.net_profit());
            let is_in = placed.is_some() || !returns.is_empty();
            is_in.then_some(Sold { order_id, currency, placed, returns, net_revenue, net_profit })
        };
        let mut sold: Vec<Sold> = self.0.into_iter().filter_map(sold).collect();
        sold.sort_by_key(|it| match (&it.placed, it.returns.first()) {
            (Some((at, _)), _) => Some(*at),
            (None, first) => first.map(|it| it.at),
        });
        sold
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    products: Vec<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Option<serde_json::Value>,
}

/// The names of an event's products, one for each of its `lines`.
fn product_names(body: &str, lines: usize) -> Vec<Option<String>> {
    if lines == 0 {
        return Vec::new();
    }
    let body: Body = serde_json::from_str(body).unwrap_or_default();
    let text = |it: Named| match it.name? {
        serde_json::Value::String(it) => Some(it).filter(|it| !it.trim().is_empty()),
        serde_json::Value::Number(it) => Some(it.to_string()),
        _ => None,
    };
    let mut names: Vec<Option<String>> = body.properties.products.into_iter().map(text).collect();
    names.resize(lines, None);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::{OrderLine, OrderRefunded, Properties, from_micros};
    use uuid::Uuid;

    fn fact(id: u128, at: i64, change: OrderChange) -> Fact {
        let properties = Properties::from([("channel".to_owned(), Scalar::from("search"))]);
        let kind = FactKind::Order(change);
        Fact { id: Uuid::from_u128(id), name: "Order".to_owned(), at: from_micros(at), properties, kind }
    }

    fn placed(order: &str, revenue: i64) -> OrderChange {
        let line = OrderLine {
            product_id: "mug".to_owned(),
            category: None,
            quantity: 2,
            price: revenue / 2,
            cost: None,
        };
        OrderChange::Placed(OrderPlaced {
            order_id: order.to_owned(),
            currency: Currency::EUR,
            revenue,
            discount: 0,
            profit: revenue / 2,
            cost_known_per_mille: 0,
            coupon: None,
            lines: vec![line],
        })
    }

    fn refunded(order: &str, amount: Option<i64>) -> OrderChange {
        OrderChange::Refunded(OrderRefunded { order_id: order.to_owned(), amount })
    }

    #[test]
    fn an_order_is_told_once_by_its_latest_report_at_the_time_of_its_first() {
        let mut orders = Orders::default();
        let body = r#"{"properties":{"products":[{"product_id":"mug","name":"Red mug"}]}}"#;
        orders.take(fact(2, 20, placed("1", 800)), "server", body);
        orders.take(fact(1, 10, placed("1", 900)), "browser", "{}");
        orders.take(fact(3, 30, refunded("1", Some(300))), "back", "{}");
        orders.take(fact(4, 5, refunded("0", None)), "unknown", "{}");
        let sold = orders.within(Within::default());
        assert_eq!(sold.iter().map(|it| it.order_id.as_str()).collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!((sold[0].placed.is_some(), sold[0].returns.len()), (false, 1));
        let (at, telling) = sold[1].placed.clone().unwrap();
        assert_eq!(
            (at, telling.message_id.as_str(), telling.order.revenue),
            (from_micros(10), "server", 800)
        );
        assert_eq!(telling.products, [Some("Red mug".to_owned())]);
        assert_eq!(telling.channel.as_deref(), Some("search"));
        assert_eq!((sold[1].net_revenue, sold[1].net_profit), (500, 250));
    }

    #[test]
    fn each_month_has_what_happened_in_it() {
        let within = |start: i64, end: i64| {
            let mut orders = Orders::default();
            orders.take(fact(1, 10, placed("1", 900)), "a", "{}");
            orders.take(fact(2, 20, refunded("1", Some(100))), "b", "{}");
            let within = Within { start: Some(from_micros(start)), end: Some(from_micros(end)) };
            orders.within(within).pop().map(|it| (it.placed.is_some(), it.returns.len(), it.net_revenue))
        };
        assert_eq!(within(10, 20), Some((true, 0, 800)));
        assert_eq!(within(11, 21), Some((false, 1, 800)));
        assert_eq!(within(0, 10), None);
    }
}
