//! Records become events, each with an id drawn from what it says.

use std::sync::Arc;

use perennial_api::ingestion::v1::Event;
use perennial_rpc::{structs, time};
use perennial_types::{Currency, Timestamp};
use serde_json::{Map, Value};

use super::fields::{Kind, Mapping, Reading};
use super::ids::{Equal, own_id};
use super::lines::Collector;
use super::people::{identify, recognised};
use super::products::product;
use super::reject::Rejected;
use super::returns::Sold;
use super::run::Item;
use super::source::Record;
use super::value::Dates;

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
            Kind::Profiles => identify(&reading, &self.dates).map(|mut event| {
                event.message_id = own_id(&mut self.equal, &event);
                Item::Event(Box::new(event))
            }),
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

    fn event(&mut self, reading: &Reading<'_>) -> Result<Item, String> {
        let segment = reading.object().filter(|it| it.contains_key("type") && it["type"].is_string());
        let mut event = match segment {
            Some(object) => self.segment_event(object)?,
            None => {
                let name = reading.need("event")?;
                let at = self.dates.read(&reading.need("happened_at")?)?;
                let mut properties = reading.rest();
                let context = reading.part("context", &mut properties);
                properties.extend(reading.part("properties", &mut Map::new()).unwrap_or_default());
                let call = reading.text("call").map(|it| it.to_lowercase());
                let identifies = name.eq_ignore_ascii_case("identify");
                let call = call.unwrap_or_else(|| if identifies { "identify" } else { "track" }.to_owned());
                Event {
                    message_id: reading.text("message").unwrap_or_default(),
                    user_id: reading.text("customer").unwrap_or_default(),
                    anonymous_id: reading.text("anonymous").unwrap_or_default(),
                    previous_id: reading.text("previous").unwrap_or_default(),
                    group_id: reading.text("group").unwrap_or_default(),
                    event: if call == "track" { name } else { String::new() },
                    r#type: call,
                    properties: Some(structs::from_json(properties)),
                    context: context.map(structs::from_json),
                    event_time: Some(time::to_wire(at)),
                    ..Event::default()
                }
            }
        };
        if !recognised(&event) {
            return Err("nobody is named: give the customer or the anonymous visitor".to_owned());
        }
        if event.message_id.is_empty() {
            event.message_id = own_id(&mut self.equal, &event);
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
}
