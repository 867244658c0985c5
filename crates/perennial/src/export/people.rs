//! People as rows, and as the call that would tell all of it elsewhere.

use perennial_api::ingestion::v1::Event;
use perennial_api::profile::v1::{Consent, Contact, Profile};
use serde_json::{Map, Value, json};

use super::cell::{Cell, Column, Kind, column};
use crate::commands::instant_of;
use crate::import::identify_object;
use crate::session::bare;

/// The columns, in their order. New ones are added at the end.
pub const COLUMNS: &[Column] = &[
    column("customer", Kind::Text),
    column("email", Kind::Text),
    column("phone", Kind::Text),
    column("anonymous_id", Kind::Text),
    column("updated_at", Kind::Time),
    column("email_consent", Kind::Flag),
    column("sms_consent", Kind::Flag),
    column("push_consent", Kind::Flag),
    column("webhook_consent", Kind::Flag),
    column("on_site_consent", Kind::Flag),
    column("consents", Kind::Json),
    column("traits", Kind::Json),
    column("context", Kind::Json),
    column("perennial_profile", Kind::Text),
    column("perennial_first_seen", Kind::Time),
    column("perennial_last_seen", Kind::Time),
    column("perennial_time_zone", Kind::Text),
    column("perennial_locale", Kind::Text),
    column("perennial_country", Kind::Text),
];

/// A person as a row. `contact` is the same person as those who write to them see it, traits with addresses.
#[must_use]
pub fn row(it: &Profile, contact: &Contact) -> Vec<Cell> {
    let known = |kind: &'static str| it.identifiers.iter().filter(move |it| it.kind == kind);
    let first = |kind| known(kind).next().map_or("", |it| it.value.as_str());
    let (user, visitor) = (first("user_id"), first("anonymous_id"));
    let traits: Map<String, Value> = serde_json::from_str(&contact.traits_json).unwrap_or_default();
    // As it was told, if it was told as a trait and that is the one in use.
    let told = |name: &str, normal: &str| match traits.get(name).and_then(Value::as_str) {
        Some(told)
            if told.eq_ignore_ascii_case(normal)
                || (digits(told).is_some() && digits(told) == digits(normal)) =>
        {
            Cell::word(told)
        }
        _ => Cell::word(normal),
    };
    let told_consent = |channel: &str| {
        let of = |it: &&Consent| it.channel == channel && it.purpose == "marketing" && is_told(it);
        it.consents.iter().find(of).map_or(Cell::Nothing, |it| Cell::Flag(it.granted))
    };
    let said = it.consents.iter().filter(|it| it.update_time.is_some());
    let last = said.clone().filter_map(|it| instant_of(it.update_time.as_ref()));
    let updated = last.chain(instant_of(it.last_seen_time.as_ref())).max();
    let is_guest = user.is_empty() && contact.email.is_empty() && contact.phone.is_empty();
    let mut cells = vec![
        Cell::word(user),
        told("email", &contact.email),
        told("phone", &contact.phone),
        Cell::word(if is_guest { visitor } else { "" }),
        updated.map_or(Cell::Nothing, Cell::Time),
    ];
    cells.extend(["email", "sms", "push", "webhook", "on_site"].map(told_consent));
    cells.extend([
        Cell::json(said.map(consent).collect()),
        // Also where there are none: then an address is no trait, either.
        Cell::Json(traits.clone().into()),
        Cell::json(context(it).into()),
        Cell::word(bare(&it.name)),
        Cell::time(it.create_time.as_ref()),
        Cell::time(it.last_seen_time.as_ref()),
        Cell::word(&it.time_zone),
        Cell::word(&it.locale),
        Cell::word(&it.region),
    ]);
    cells
}

/// A telephone number, however it is grouped; nothing of an address.
fn digits(number: &str) -> Option<String> {
    let is_number = number.chars().all(|it| it.is_ascii_digit() || " +-().\u{a0}/".contains(it));
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    is_number.then(|| digits.trim_start_matches('0').to_owned())
}

/// Whether somebody said so; not if it is presumed, or waits to be confirmed.
fn is_told(it: &Consent) -> bool {
    it.update_time.is_some() && it.update_time != it.request_time
}

fn consent(it: &Consent) -> Value {
    let text = |it: &str| if it.is_empty() { Value::Null } else { it.into() };
    let time = |it| instant_of(it).map(|it| it.to_string());
    let parts = json!({
        "channel": it.channel,
        "purpose": it.purpose,
        "granted": is_told(it).then_some(it.granted),
        "confirmed": it.confirmed.then_some(true),
        "source": text(&it.source),
        "wording": text(&it.wording),
        "proof": text(&it.proof),
        "at": time(it.update_time.as_ref()),
        "waits_since": time(it.request_time.as_ref()),
    });
    let Value::Object(parts) = parts else { return Value::Null };
    parts.into_iter().filter(|(_, it)| !it.is_null()).collect::<Map<_, _>>().into()
}

/// What else the person is known by, and where their devices are.
fn context(it: &Profile) -> Map<String, Value> {
    let mut context = Map::new();
    let ids: Vec<Value> = it
        .identifiers
        .iter()
        .filter(|it| it.kind != "user_id")
        .map(|it| json!({ "id": it.value, "type": it.kind }))
        .collect();
    if !ids.is_empty() {
        context.insert("externalIds".to_owned(), ids.into());
    }
    if it.time_zone_source == "context" {
        context.insert("timezone".to_owned(), it.time_zone.clone().into());
    }
    if it.locale_source == "context" {
        context.insert("locale".to_owned(), it.locale.clone().into());
    }
    if it.region_source == "context" {
        context.insert("location".to_owned(), json!({ "country": it.region }));
    }
    context
}

/// The call that an import makes of a person's row, without its id; none if the row names nobody.
#[must_use]
pub fn told(it: &Profile, contact: &Contact) -> Option<Event> {
    let known = COLUMNS.iter().zip(row(it, contact)).filter(|(_, cell)| *cell != Cell::Nothing);
    let object = known.map(|(column, cell)| (column.name.to_owned(), cell.to_json())).collect();
    identify_object(object).ok()
}
