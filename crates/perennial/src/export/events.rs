//! Events as rows: what every call says in columns, and the rest as JSON.

use perennial_api::ingestion::v1::LoggedEvent;
use serde_json::{Map, Value};

use super::cell::{Cell, Column, Kind, column};
use crate::session::bare;

/// The columns, in their order. New ones are added at the end.
pub const COLUMNS: &[Column] = &[
    column("event", Kind::Text),
    column("customer", Kind::Text),
    column("anonymous_id", Kind::Text),
    column("happened_at", Kind::Time),
    column("message_id", Kind::Text),
    column("call", Kind::Text),
    column("previous_id", Kind::Text),
    column("group_id", Kind::Text),
    column("properties", Kind::Json),
    column("context", Kind::Json),
    column("perennial_profile", Kind::Text),
    column("perennial_received_at", Kind::Time),
];

/// An event as a row.
#[must_use]
pub fn row(it: &LoggedEvent) -> Vec<Cell> {
    let mut call: Map<String, Value> = serde_json::from_str(&it.call_json).unwrap_or_default();
    let mut text = |name: &str| match call.remove(name) {
        Some(Value::String(it)) => Cell::word(&it),
        Some(it @ (Value::Number(_) | Value::Bool(_))) => Cell::Text(it.to_string()),
        _ => Cell::Nothing,
    };
    let [customer, anonymous, previous, group] =
        ["userId", "anonymousId", "previousId", "groupId"].map(&mut text);
    let [name, category] = ["name", "category"].map(text);
    // Of identify and group they are called traits.
    let told = |name: &str| call.get(name).and_then(Value::as_object).filter(|it| !it.is_empty());
    let properties = match it.call.as_str() {
        "identify" | "group" => told("traits").or_else(|| told("properties")),
        _ => told("properties"),
    };
    let mut properties = properties.cloned().unwrap_or_default();
    if matches!(it.call.as_str(), "page" | "screen") {
        for (key, cell) in [("name", name), ("category", category)] {
            if let Cell::Text(text) = cell {
                properties.entry(key.to_owned()).or_insert_with(|| text.into());
            }
        }
    }
    vec![
        Cell::word(&it.event),
        customer,
        anonymous,
        Cell::time(it.event_time.as_ref()),
        Cell::word(&it.message_id),
        Cell::word(&it.call),
        previous,
        group,
        Cell::json(properties.into()),
        Cell::json(call.get("context").filter(|it| it.is_object()).cloned().unwrap_or_default()),
        Cell::word(bare(&it.profile)),
        Cell::time(it.receive_time.as_ref()),
    ]
}
