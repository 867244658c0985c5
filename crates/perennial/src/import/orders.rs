//! Rows become orders and refunds.

use std::collections::BTreeMap;

use perennial_api::ingestion::v1::Event;
use perennial_rpc::{structs, time};
use perennial_types::{Currency, Timestamp, micros};
use serde_json::{Map, Value};

use super::events::{Made, Maker};
use super::fields::Reading;
use super::ids::{digest, hex, message_id};
use super::lines::{OrderRow, Rows};
use super::run::Item;
use super::value::{amount, signed};

impl Maker {
    /// An order, or where its rows come to less than nothing, what goes back of which orders.
    pub(super) fn order(&mut self, rows: Rows) -> Vec<Made> {
        let Some(first) = rows.0.first() else { return Vec::new() };
        let told = first.more.get("currency").and_then(Value::as_str);
        let of = told.and_then(|it| Currency::parse(it).ok()).or(self.currency).unwrap_or(Currency::EUR);
        let minor =
            |it: &OrderRow| it.revenue.as_deref().and_then(|it| of.minor_units(it).ok()).unwrap_or_default();
        let revenue = rows.0.iter().map(minor).fold(0_i64, i64::saturating_add);
        let number = first.order.clone().unwrap_or_default();
        let text = of.format(revenue);
        let base = digest(&["order", &first.customer, &micros(first.at).to_string(), &text, &number]);
        // An order with a number is that order; one without is told from its equals by their count.
        let ordinal = if first.order.is_some() { 0 } else { self.equal.count(&base) };
        let id = digest(&[&hex(&base), &ordinal.to_string()]);
        let order_id = first.order.clone().unwrap_or_else(|| format!("imp-{}", &hex(&id)[..16]));
        if rows.0.iter().all(|it| it.revenue.is_none()) {
            return all_back(rows, &id, &order_id);
        }
        if revenue < 0 {
            return self.refunds(&rows, of, minor, &id, &order_id);
        }
        for it in &rows.0 {
            let units = it.quantity.unwrap_or(1.0);
            if let (Some(product), true) = (product_id(it), units > 0.0) {
                self.sold.add(&it.customer, product, &order_id, units);
            }
        }
        let mut properties = first.more.clone();
        properties.insert("order_id".to_owned(), order_id.into());
        properties.insert("revenue".to_owned(), text.into());
        // What lowers an order is in its revenue; as a line it would be no number of units.
        let sold = rows.0.iter().filter(|it| it.quantity.is_none_or(|it| it >= 0.0));
        let products: Vec<Value> = sold.filter_map(|it| it.product.clone()).map(Value::Object).collect();
        if !products.is_empty() {
            properties.insert("products".to_owned(), products.into());
        }
        let item = about_order("Order Completed", first, properties, &id);
        vec![Made { item, first: rows.first(), rows: lines(rows.0) }]
    }

    /// One refund for each order that money goes back for: the one that is named, else the one that sold what comes back,
    /// else none that is known, which the number of the credit note stands for.
    fn refunds(
        &mut self,
        rows: &Rows,
        of: Currency,
        minor: impl Fn(&OrderRow) -> i64,
        id: &[u8; 16],
        number: &str,
    ) -> Vec<Made> {
        let mut shares: BTreeMap<String, (i64, Vec<Value>)> = BTreeMap::new();
        for row in &rows.0 {
            let units = row.quantity.unwrap_or(-1.0).abs();
            let found = match (&row.refunds, product_id(row)) {
                (Some(order), _) => vec![(Some(order.clone()), 1.0)],
                (None, Some(product)) => self.sold.take(&row.customer, product, units),
                (None, None) => vec![(None, 1.0)],
            };
            let mut left = minor(row).saturating_neg();
            let many = found.len();
            for (n, (order, share)) in found.into_iter().enumerate() {
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    reason = "a share of an amount is exact to the cent below 90 trillion; the last takes the rest"
                )]
                let part = if n + 1 == many { left } else { (minor(row) as f64 * -share).round() as i64 };
                left = left.saturating_sub(part);
                let (sum, products) = shares.entry(order.unwrap_or_else(|| number.to_owned())).or_default();
                *sum = sum.saturating_add(part);
                products.extend(row.product.clone().map(|mut it| {
                    it.insert("quantity".to_owned(), (units * share).into());
                    Value::Object(it)
                }));
            }
        }
        let Some(first) = rows.0.first() else { return Vec::new() };
        let is_one = shares.len() == 1;
        let refund = |(order, (amount, products)): (String, (i64, Vec<Value>))| {
            let mut properties = refunded(first, &order, number);
            properties.insert("revenue".to_owned(), of.format(amount).into());
            if !products.is_empty() {
                properties.insert("products".to_owned(), products.into());
            }
            let id = digest(&["refund", &hex(id), &order]);
            let mut item = about_order("Order Refunded", first, properties, &id);
            if let (Item::Event(event), Some(told), false) = (&mut item, &first.message, is_one) {
                // One message cannot be several events.
                event.message_id = message_id(&digest(&["refund", told, &order]));
            }
            Made { item, first: rows.first(), rows: lines(rows.0.clone()) }
        };
        shares.into_iter().map(refund).collect()
    }

    /// Reads one row.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub(super) fn order_row(
        &self,
        reading: &Reading<'_>,
        place: u64,
        line: u64,
        raw: &[String],
    ) -> Result<OrderRow, String> {
        let (dates, currency, comma) = (&self.dates, self.currency, self.comma);
        let [user, email, phone, anonymous] =
            ["customer", "email", "phone", "anonymous"].map(|name| reading.text(name));
        let is_guest = user.is_none();
        // Whoever has no number at the shop is told from others by what else they are known by.
        let customer = user.or_else(|| email.clone()).or_else(|| phone.clone()).or_else(|| anonymous.clone());
        let customer = customer.map_or_else(|| reading.need("customer"), Ok)?;
        let at: Timestamp = dates.read(&reading.need("ordered_at")?)?;
        let told = reading.text("currency");
        let of = match &told {
            Some(code) => Some(Currency::parse(code).map_err(|error| error.to_string())?),
            None => currency,
        };
        let (order, refunds, message) =
            (reading.text("order"), reading.text("refunds"), reading.text("message"));
        let revenue = match reading.text("revenue") {
            None if refunds.is_some() => None,
            _ => Some(signed("revenue", &reading.need("revenue")?, of, comma)?),
        };
        let goes_back = revenue.as_deref().is_none_or(|it| it.starts_with('-'));
        let mut more = Map::new();
        if let Some(of) = of {
            more.insert("currency".to_owned(), of.code().into());
        }
        for (name, key) in [("discount", "discount"), ("cost", "cost_total")] {
            // What goes back says nothing of discounts and costs, and may write them either way.
            if let Some(text) = reading.text(name).filter(|_| !goes_back) {
                more.insert(key.to_owned(), amount(name, &text, of, comma)?.into());
            }
        }
        let coupon = reading.text("coupon");
        let (channel, country) = (reading.text("channel"), reading.text("country"));
        for (name, told) in [
            ("coupon", coupon),
            ("email", email),
            ("phone", phone),
            ("channel", channel),
            ("country", country),
        ] {
            more.extend(told.map(|it| (name.to_owned(), it.into())));
        }
        if let Some(products) = reading.object().and_then(|it| it.get("products")).filter(|it| it.is_array())
        {
            more.insert("products".to_owned(), products.clone());
        }
        let quantity = reading.text("quantity").map(|it| units(&it)).transpose()?;
        let product = match reading.text("product") {
            None => None,
            Some(id) => {
                let mut product = Map::from_iter([("product_id".to_owned(), Value::String(id))]);
                for (name, key) in [("product_name", "name"), ("category", "category")] {
                    if let Some(text) = reading.text(name) {
                        product.insert(key.to_owned(), text.into());
                    }
                }
                if let Some(units) = quantity {
                    product.insert("quantity".to_owned(), units.into());
                }
                if let Some(price) = reading.text("price") {
                    let price = if goes_back {
                        signed("price", &price, of, comma)?.trim_start_matches('-').to_owned()
                    } else {
                        amount("price", &price, of, comma)?
                    };
                    product.insert("price".to_owned(), price.into());
                }
                if let Some(cost) = reading.text("unit_cost").filter(|_| !goes_back) {
                    product.insert("cost".to_owned(), amount("unit_cost", &cost, of, comma)?.into());
                }
                Some(product)
            }
        };
        Ok(OrderRow {
            place,
            line,
            customer,
            is_guest,
            anonymous,
            at,
            order,
            refunds,
            message,
            revenue,
            more,
            product,
            quantity,
            raw: raw.to_vec(),
        })
    }
}

/// What an event about a refund says of it besides how much it is.
fn refunded(first: &OrderRow, order: &str, number: &str) -> Map<String, Value> {
    let mut properties = Map::new();
    for name in ["currency", "email", "phone"] {
        properties.extend(first.more.get(name).map(|it| (name.to_owned(), it.clone())));
    }
    properties.insert("order_id".to_owned(), order.into());
    properties.insert("refund_id".to_owned(), number.into());
    properties
}

/// All that is left of an order goes back: rows that name it, and no amount.
fn all_back(rows: Rows, id: &[u8; 16], number: &str) -> Vec<Made> {
    let Some(first) = rows.0.first() else { return Vec::new() };
    let order = first.refunds.clone().unwrap_or_else(|| number.to_owned());
    let item = about_order("Order Refunded", first, refunded(first, &order, number), id);
    vec![Made { item, first: rows.first(), rows: lines(rows.0) }]
}

/// How many units; negative where they come back.
fn units(text: &str) -> Result<f64, String> {
    let units = text.parse().ok().filter(|it: &f64| it.abs() <= 1e9);
    units.ok_or_else(|| format!("quantity {text:?} is no number of units: use a number"))
}

fn product_id(row: &OrderRow) -> Option<&str> {
    row.product.as_ref()?.get("product_id")?.as_str()
}

fn lines(rows: Vec<OrderRow>) -> Vec<(u64, Vec<String>)> {
    rows.into_iter().map(|it| (it.line, it.raw)).collect()
}

/// An event about an order; its id is drawn from `id` and from all that it says.
fn about_order(name: &str, first: &OrderRow, mut properties: Map<String, Value>, id: &[u8; 16]) -> Item {
    let told = ["email", "phone"].map(|name| properties.remove(name).map(|it| (name.to_owned(), it)));
    let traits: Map<String, Value> = told.into_iter().flatten().collect();
    let context = (!traits.is_empty())
        .then(|| structs::from_json(Map::from_iter([("traits".to_owned(), traits.into())])));
    let said = Value::Object(properties.clone()).to_string();
    Item::Event(Box::new(Event {
        message_id: first.message.clone().unwrap_or_else(|| message_id(&digest(&[&hex(id), &said]))),
        r#type: "track".to_owned(),
        user_id: if first.is_guest { String::new() } else { first.customer.clone() },
        anonymous_id: first.anonymous.clone().unwrap_or_default(),
        event: name.to_owned(),
        properties: Some(structs::from_json(properties)),
        context,
        event_time: Some(time::to_wire(first.at)),
        ..Event::default()
    }))
}
