//! An event message as the Segment wire would have said it, so that there is one meaning and one log.

use perennial_api::ingestion::v1::Event;
use perennial_rpc::structs::to_json;
use serde_json::{Map, Value};

/// The event as JSON of the specification.
pub fn to_segment(event: Event) -> String {
    let mut item = Map::new();
    let mut text = |name: &str, value: String| {
        if !value.is_empty() {
            item.insert(name.to_owned(), Value::String(value));
        }
    };
    let is_about_traits = matches!(event.r#type.to_ascii_lowercase().as_str(), "identify" | "group");
    text("type", event.r#type);
    text("messageId", event.message_id);
    text("userId", event.user_id);
    text("anonymousId", event.anonymous_id);
    text("previousId", event.previous_id);
    text("groupId", event.group_id);
    text("event", event.event);
    text("profile", event.profile);
    if let Some(at) = event.event_time {
        // An instant outside the calendar stays as it is, to be refused by name.
        let instant = perennial_rpc::time::from_wire(&at, "event_time").map(|it| it.to_string());
        let told = instant.unwrap_or_else(|_| format!("{} s {} ns", at.seconds, at.nanos));
        item.insert("timestamp".to_owned(), Value::String(told));
    }
    if let Some(properties) = event.properties {
        let name = if is_about_traits { "traits" } else { "properties" };
        item.insert(name.to_owned(), Value::Object(to_json(properties)));
    }
    if let Some(context) = event.context {
        item.insert("context".to_owned(), Value::Object(to_json(context)));
    }
    Value::Object(item).to_string()
}
