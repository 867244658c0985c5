//! Records become events, each with an id drawn from what it says.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use perennial_api::ingestion::v1::Event;
use perennial_rpc::{structs, time};
use perennial_types::{Currency, Timestamp, micros};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::fields::{Kind, Mapping, Reading};
use super::lines::{Collector, OrderRow, Rows};
use super::products::product;
use super::reject::Rejected;
use super::returns::Sold;
use super::run::Item;
use super::source::Record;
use super::value::{Dates, amount, signed};

/// Rows that say the same are told apart by counting them; so many of the latest rows are remembered for it. Equal rows
/// further apart than this count as one: give such a file a column of order numbers.
const REMEMBERED: usize = 1 << 20;

/// Makes items of records.
pub struct Maker {
    /// What the file holds.
    pub kind: Kind,
    /// Its columns.
    pub columns: Arc<[String]>,
    /// What they mean.
    pub mapping: Arc<Mapping>,
    /// How dates are read.
    pub dates: Dates,
    /// Currency of amounts that name none.
    pub currency: Option<Currency>,
    /// Amounts have a decimal comma.
    pub comma: bool,
    /// The instant of the import: whether a sale is on.
    pub now: Timestamp,
    /// Rows of the orders that are being read.
    pub orders: Collector,
    /// What was sold, for what comes back.
    pub sold: Sold,
    /// Counts equal rows.
    pub equal: Equal,
}

/// An item, and the rows it was made from.
pub struct Made {
    /// What to send.
    pub item: Item,
    /// The place of its first row.
    pub first: u64,
    /// Line and text of its rows.
    pub rows: Vec<(u64, Vec<String>)>,
}

impl Maker {
    /// Takes the record at `place`, and gives the items that are whole by it, and the record if it cannot be used.
    pub fn push(&mut self, place: u64, record: Record) -> (Vec<Made>, Option<Rejected>) {
        let Record { line, content, raw } = record;
        let content = match content {
            Ok(it) => it,
            Err(reason) => return (self.closed(place), Some(Rejected { line, reason, raw })),
        };
        let (columns, mapping) = (self.columns.clone(), self.mapping.clone());
        let reading = Reading::new(self.kind, &columns, &mapping, &content);
        let made = match self.kind {
            Kind::Orders => match self.order_row(&reading, place, line, &raw) {
                Ok(row) => {
                    let whole = self.orders.push(row);
                    return (whole.into_iter().flat_map(|it| self.order(it)).collect(), None);
                }
                Err(reason) => Err(reason),
            },
            Kind::Events => self.event(&reading),
            Kind::Profiles => self.profile(&reading),
            Kind::Catalog => {
                product(&reading, self.currency, self.comma, self.now).map(|it| Item::Product(Box::new(it)))
            }
        };
        match made {
            Ok(item) => (vec![Made { item, first: place, rows: vec![(line, raw)] }], None),
            Err(reason) => (self.closed(place), Some(Rejected { line, reason, raw })),
        }
    }

    /// The first of `rows` that is not done: its order is not whole yet.
    #[must_use]
    pub fn done(&self, rows: u64) -> u64 {
        self.orders.waiting().unwrap_or(rows)
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Vec<Made> {
        self.orders.finish().into_iter().flat_map(|it| self.order(it)).collect()
    }

    /// What is whole by a row that is none.
    fn closed(&mut self, place: u64) -> Vec<Made> {
        self.orders.whole(place).into_iter().flat_map(|it| self.order(it)).collect()
    }

    /// An order, or where its rows come to less than nothing, what goes back of which orders.
    fn order(&mut self, rows: Rows) -> Vec<Made> {
        let Some(first) = rows.0.first() else { return Vec::new() };
        let told = first.more.get("currency").and_then(Value::as_str);
        let of = told.and_then(|it| Currency::parse(it).ok()).or(self.currency).unwrap_or(Currency::EUR);
        let minor = |it: &OrderRow| of.minor_units(&it.revenue).unwrap_or_default();
        let revenue = rows.0.iter().map(minor).fold(0_i64, i64::saturating_add);
        let number = first.order.clone().unwrap_or_default();
        let text = of.format(revenue);
        let base = digest(&["order", &first.customer, &micros(first.at).to_string(), &text, &number]);
        // An order with a number is that order; one without is told from its equals by their count.
        let ordinal = if first.order.is_some() { 0 } else { self.equal.count(&base) };
        let id = digest(&[&hex(&base), &ordinal.to_string()]);
        let order_id = first.order.clone().unwrap_or_else(|| format!("imp-{}", &hex(&id)[..16]));
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
        let refund = |(order, (amount, products)): (String, (i64, Vec<Value>))| {
            let mut properties = Map::new();
            for name in ["currency", "email"] {
                properties.extend(first.more.get(name).map(|it| (name.to_owned(), it.clone())));
            }
            properties.insert("order_id".to_owned(), order.clone().into());
            properties.insert("refund_id".to_owned(), number.into());
            properties.insert("revenue".to_owned(), of.format(amount).into());
            if !products.is_empty() {
                properties.insert("products".to_owned(), products.into());
            }
            let id = digest(&["refund", &hex(id), &order]);
            let item = about_order("Order Refunded", first, properties, &id);
            Made { item, first: rows.first(), rows: lines(rows.0.clone()) }
        };
        shares.into_iter().map(refund).collect()
    }

    fn event(&mut self, reading: &Reading<'_>) -> Result<Item, String> {
        let segment = reading.object().filter(|it| it.contains_key("type") && it["type"].is_string());
        let mut event = match segment {
            Some(object) => self.segment_event(object)?,
            None => {
                let name = reading.need("event")?;
                let at = self.dates.read(&reading.need("happened_at")?)?;
                let properties = reading.rest();
                Event {
                    message_id: reading.text("message").unwrap_or_default(),
                    r#type: if name.eq_ignore_ascii_case("identify") { "identify" } else { "track" }
                        .to_owned(),
                    user_id: reading.text("customer").unwrap_or_default(),
                    anonymous_id: reading.text("anonymous").unwrap_or_default(),
                    event: name,
                    properties: Some(structs::from_json(properties)),
                    event_time: Some(time::to_wire(at)),
                    ..Event::default()
                }
            }
        };
        if event.user_id.is_empty() && event.anonymous_id.is_empty() {
            return Err("nobody is named: give the customer or the anonymous visitor".to_owned());
        }
        if event.message_id.is_empty() {
            event.message_id = self.own_id(&event);
        }
        Ok(Item::Event(Box::new(event)))
    }

    fn segment_event(&self, object: &Map<String, Value>) -> Result<Event, String> {
        let text = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| match object.get(*name)? {
                    Value::String(it) => Some(it.clone()),
                    Value::Number(it) => Some(it.to_string()),
                    _ => None,
                })
                .unwrap_or_default()
        };
        let part = |names: &[&str]| {
            names.iter().find_map(|name| object.get(*name)?.as_object().cloned()).map(structs::from_json)
        };
        let at = text(&["timestamp", "originalTimestamp", "original_timestamp"]);
        let event_time = if at.is_empty() {
            return Err("timestamp is missing: history needs to say when it happened".to_owned());
        } else {
            Some(time::to_wire(self.dates.read(&at)?))
        };
        let mut properties = part(&["properties", "traits"]);
        if matches!(text(&["type"]).as_str(), "page" | "screen") {
            let fields = &mut properties.get_or_insert_default().fields;
            for name in ["name", "category"] {
                if let Some(value) = object.get(name) {
                    fields.entry(name.to_owned()).or_insert_with(|| structs::value_from_json(value.clone()));
                }
            }
        }
        Ok(Event {
            message_id: text(&["messageId", "message_id"]),
            r#type: text(&["type"]),
            user_id: text(&["userId", "user_id"]),
            anonymous_id: text(&["anonymousId", "anonymous_id"]),
            event: text(&["event"]),
            properties,
            context: part(&["context"]),
            event_time,
            previous_id: text(&["previousId", "previous_id"]),
            group_id: text(&["groupId", "group_id"]),
            ..Event::default()
        })
    }

    fn profile(&mut self, reading: &Reading<'_>) -> Result<Item, String> {
        let customer = reading.need("customer")?;
        let mut traits = reading.rest();
        for name in ["email", "phone"] {
            if let Some(value) = reading.text(name) {
                traits.insert(name.to_owned(), value.into());
            }
        }
        let at = reading.text("updated_at").map(|it| self.dates.read(&it)).transpose()?;
        let mut event = Event {
            r#type: "identify".to_owned(),
            user_id: customer,
            properties: Some(structs::from_json(traits)),
            event_time: at.map(time::to_wire),
            ..Event::default()
        };
        event.message_id = self.own_id(&event);
        Ok(Item::Event(Box::new(event)))
    }

    fn order_row(
        &self,
        reading: &Reading<'_>,
        place: u64,
        line: u64,
        raw: &[String],
    ) -> Result<OrderRow, String> {
        let (dates, currency, comma) = (&self.dates, self.currency, self.comma);
        let customer = reading.need("customer")?;
        let at: Timestamp = dates.read(&reading.need("ordered_at")?)?;
        let told = reading.text("currency");
        let of = match &told {
            Some(code) => Some(Currency::parse(code).map_err(|error| error.to_string())?),
            None => currency,
        };
        let revenue = signed("revenue", &reading.need("revenue")?, of, comma)?;
        let goes_back = revenue.starts_with('-');
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
        for name in ["coupon", "email", "channel", "country"] {
            if let Some(text) = reading.text(name) {
                more.insert(name.to_owned(), text.into());
            }
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
                Some(product)
            }
        };
        let (order, refunds) = (reading.text("order"), reading.text("refunds"));
        let raw = raw.to_vec();
        Ok(OrderRow { place, line, customer, at, order, refunds, revenue, more, product, quantity, raw })
    }

    /// An id of all that the event says, and of how many equal ones came before it.
    fn own_id(&mut self, event: &Event) -> String {
        let json = |it: &Option<prost_types::Struct>| {
            it.clone().map(|it| Value::Object(structs::to_json(it)).to_string()).unwrap_or_default()
        };
        let at = event.event_time.as_ref().map(|it| format!("{}.{}", it.seconds, it.nanos));
        let base = digest(&[
            &event.r#type,
            &event.user_id,
            &event.anonymous_id,
            &event.event,
            &at.unwrap_or_default(),
            &json(&event.properties),
            &json(&event.context),
            &event.previous_id,
            &event.group_id,
        ]);
        let ordinal = self.equal.count(&base);
        message_id(&digest(&[&hex(&base), &ordinal.to_string()]))
    }
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
    let email = properties.remove("email");
    let context = email.map(|it| object(json!({ "traits": { "email": it } })));
    let said = Value::Object(properties.clone()).to_string();
    Item::Event(Box::new(Event {
        message_id: message_id(&digest(&[&hex(id), &said])),
        r#type: "track".to_owned(),
        user_id: first.customer.clone(),
        event: name.to_owned(),
        properties: Some(structs::from_json(properties)),
        context,
        event_time: Some(time::to_wire(first.at)),
        ..Event::default()
    }))
}

fn object(json: Value) -> prost_types::Struct {
    match json {
        Value::Object(it) => structs::from_json(it),
        _ => prost_types::Struct::default(),
    }
}

fn digest(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn message_id(digest: &[u8; 16]) -> String {
    format!("import-{}", hex(digest))
}

/// Counts equal rows among the latest.
#[derive(Debug, Default)]
pub struct Equal {
    counts: HashMap<u64, (u32, u32)>,
    latest: VecDeque<u64>,
}

impl Equal {
    /// How many rows equal to this one came before it.
    fn count(&mut self, digest: &[u8; 16]) -> u32 {
        let key = u64::from_be_bytes(digest[..8].try_into().unwrap_or_default());
        let (seen, remembered) = self.counts.entry(key).or_default();
        let ordinal = *seen;
        *seen += 1;
        *remembered += 1;
        self.latest.push_back(key);
        if self.latest.len() > REMEMBERED
            && let Some(oldest) = self.latest.pop_front()
            && let Some((_, remembered)) = self.counts.get_mut(&oldest)
        {
            *remembered -= 1;
            if *remembered == 0 {
                self.counts.remove(&oldest);
            }
        }
        ordinal
    }
}
