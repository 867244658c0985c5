//! Rows become what is known of people.

use perennial_api::ingestion::v1::Event;
use perennial_rpc::{structs, time};
use prost_types::value::Kind as Held;
use serde_json::{Map, Value, json};

use super::fields::{Kind, Mapping, Reading};
use super::source::Content;
use super::value::Dates;

/// What is known of a person, as the call that tells it. Its `profile` is the id that an export told of it, if it did: only
/// the importer looks at it.
///
/// # Errors
/// What is wrong and what to do.
pub fn identify(reading: &Reading<'_>, dates: &Dates) -> Result<Event, String> {
    let mut traits = reading.rest();
    let mut context = reading.part("context", &mut traits);
    let told = reading.part("traits", &mut traits);
    for name in ["email", "phone"] {
        let Some(value) = reading.text(name) else { continue };
        // What is only known to belong to the person was never told as a trait.
        let same = |it: &Value| it.as_str().is_some_and(|it| it.eq_ignore_ascii_case(&value));
        let is_there = told.as_ref().is_some_and(|it| match it.get(name) {
            Some(told) => same(told),
            None => external_ids(context.as_ref()).any(|it| it["type"] == name && same(&it["id"])),
        });
        if !is_there {
            traits.insert(name.to_owned(), value.into());
        }
    }
    for (name, value) in told.into_iter().flatten() {
        traits.entry(name).or_insert(value);
    }
    match reading.json("consents") {
        Some(Value::Array(list)) => list.iter().for_each(|it| consent(it, &mut traits)),
        Some(other) => {
            traits.insert("consents".to_owned(), other);
        }
        None => {}
    }
    context = context.filter(|it| !it.is_empty());
    let at = reading.text("updated_at").map(|it| dates.read(&it)).transpose()?;
    let event = Event {
        r#type: "identify".to_owned(),
        user_id: reading.text("customer").unwrap_or_default(),
        anonymous_id: reading.text("anonymous").unwrap_or_default(),
        properties: Some(structs::from_json(traits)),
        context: context.map(structs::from_json),
        event_time: at.map(time::to_wire),
        profile: reading.told("profile").unwrap_or_default(),
        ..Event::default()
    };
    if recognised(&event) { Ok(event) } else { reading.need("customer").map(|_| event) }
}

/// The same of an object with the names of our own columns.
///
/// # Errors
/// What is wrong and what to do.
pub fn identify_object(object: Map<String, Value>) -> Result<Event, String> {
    let mapping = Mapping::find(Kind::Profiles, &[], &[]).map_err(|error| error.to_string())?;
    let dates = Dates { format: None, zone: jiff::tz::TimeZone::UTC };
    let content = Content::Object(object);
    identify(&Reading::new(Kind::Profiles, &[], &mapping, &content), &dates)
}

fn external_ids(context: Option<&Map<String, Value>>) -> impl Iterator<Item = &Value> {
    context.and_then(|it| it.get("externalIds")).and_then(Value::as_array).into_iter().flatten()
}

/// One consent of an export, as the trait that tells it. A column of its own, as in `email_consent`, counts before it where
/// the two differ: somebody changed it. One that waits for its confirmation is none yet.
fn consent(it: &Value, traits: &mut Map<String, Value>) {
    let (Some(channel), Some(purpose)) = (it["channel"].as_str(), it["purpose"].as_str()) else { return };
    let Some(granted) = it["granted"].as_bool() else { return };
    if purpose == "marketing" {
        let column = format!("{channel}_consent");
        match traits.get(&column) {
            Some(Value::Bool(said)) if *said == granted => drop(traits.remove(&column)),
            Some(_) => return,
            // It was emptied, or is no column of the file.
            None => {}
        }
    }
    let mut parts = Map::from_iter([("granted".to_owned(), granted.into())]);
    for name in ["confirmed", "source", "wording", "proof", "at"] {
        parts.extend(it.get(name).filter(|it| !it.is_null()).map(|it| (name.to_owned(), it.clone())));
    }
    traits.insert(format!("consent.{channel}.{purpose}"), json!(parts));
}

/// Whether a call names anybody.
pub fn recognised(event: &Event) -> bool {
    let has = |of: &Option<prost_types::Struct>, names: &[&str]| {
        let fields = of.as_ref().map(|it| &it.fields);
        names.iter().any(|name| {
            fields.and_then(|it| it.get(*name)).and_then(|it| it.kind.as_ref()).is_some_and(|it| match it {
                Held::StringValue(it) => !it.trim().is_empty(),
                Held::ListValue(it) => !it.values.is_empty(),
                Held::NumberValue(_) => true,
                _ => false,
            })
        })
    };
    let traits = event.context.as_ref().and_then(|it| it.fields.get("traits")).and_then(|it| it.kind.clone());
    let traits = if let Some(Held::StructValue(it)) = traits { Some(it) } else { None };
    let own = if event.r#type == "identify" { &event.properties } else { &None };
    !event.user_id.is_empty()
        || !event.anonymous_id.is_empty()
        || has(own, &["email", "phone"])
        || has(&traits, &["email", "phone"])
        || has(&event.context, &["externalIds"])
}
