//! Turns a call into an event: decides once, at the edge, what it means.

use jiff::Timestamp;
use perennial_types::{
    CartLine, IdentifierKind, MessageEvent, MessageReaction, OrderChange, ProfileId, Properties, Purpose,
    Scalar, new_id, parse_resource,
};
use std::time::Duration;
use uuid::Uuid;

use super::agreement::Said;
use super::call::{Call, CallKind, Shared, object, text};
use super::clock::event_time;
use super::commerce::{Commerce, Reaction, is_handling, known, reaction};
use super::event::{About, Event, Meaning};
use super::flat::Flat;
use super::problem::{Problem, shortened};
use super::settings::Settings;
use super::{consent, identity, orders};

/// How a request was sent.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When it was received.
    pub received: Timestamp,
    /// The sender says it is history.
    pub historical: bool,
    /// An event older than this at receipt is history.
    pub max_age: Duration,
    /// It comes from a service rather than over a write key that any visitor can read: it may name a profile.
    pub trusted: bool,
}

/// Understands one event as it was sent.
///
/// # Errors
/// The first problem that makes it unusable.
pub fn normalise(
    kind: Option<CallKind>,
    json: &str,
    shared: &Shared<'_>,
    arrival: Arrival,
    settings: &Settings,
) -> Result<Event, Problem> {
    let mut call = Call::parse(kind, json, shared)?;
    let at = event_time(call.told, arrival.received);
    let mut warnings = Vec::new();
    let identifiers = identity::identifiers(&call);
    let profile = if arrival.trusted { profile(&call, settings)? } else { None };
    if identifiers.is_empty() && profile.is_none() {
        let named = if call.user_id.is_some() { "userId" } else { "anonymousId" };
        return Err(Problem::new(
            named,
            "nothing in the event recognises a person",
            "send userId or anonymousId with a value of its own, not a placeholder such as \"null\" or 0",
        ));
    }
    let previous = match call.kind {
        CallKind::Alias => Some(previous(&call)?),
        _ => None,
    };
    let mut about = About { active: !is_false(&call), ..About::default() };
    let (name, meaning) = meaning(&mut call, &mut about, settings, at)?;
    about.active &= !is_handling(&name);
    surroundings(&call, &mut about, &mut warnings)?;
    let age = arrival.received.duration_since(at);
    let historical =
        arrival.historical || jiff::SignedDuration::try_from(arrival.max_age).is_ok_and(|most| age > most);
    // What has no id gets one here: by it the event is known when the log is exported and sent in again.
    let message_id = call.message_id.take().unwrap_or_else(|| new_id(arrival.received).to_string());
    let key = key(settings, &message_id, arrival.received);
    let properties = properties(&mut call);
    Ok(Event {
        id: identity::id_from(arrival.received, &[&key]),
        key,
        message_id,
        call: call.kind.as_str(),
        name,
        at,
        received: arrival.received,
        historical,
        identifiers,
        profile,
        previous,
        properties,
        meaning,
        about,
        body: String::new(),
        warnings,
        observed: Vec::new(),
    })
}

/// What a retry is recognised by. Without a message id every event is its own.
pub fn key(settings: &Settings, message_id: &str, received: Timestamp) -> [u8; 16] {
    let own = new_id(received);
    let name = if message_id.is_empty() { own.as_bytes() } else { message_id.as_bytes() };
    let mut key = [0; 16];
    let mut hash = <sha2::Sha256 as sha2::Digest>::new();
    for part in [settings.workspace.as_str().as_bytes(), name] {
        sha2::Digest::update(&mut hash, part);
        sha2::Digest::update(&mut hash, [0]);
    }
    key.copy_from_slice(&sha2::Digest::finalize(hash)[..16]);
    key
}

fn is_false(call: &Call<'_>) -> bool {
    call.context.active.is_some_and(|it| it.get() == "false")
}

fn profile(call: &Call<'_>, settings: &Settings) -> Result<Option<ProfileId>, Problem> {
    let Some(name) = &call.profile else { return Ok(None) };
    let refused = || {
        let reason = format!("{:?} is not a profile of this workspace", shortened(name, 80));
        Problem::new("profile", reason, format!("use {}/profiles/{{profile}}", settings.workspace.resource()))
    };
    let (workspace, id) = parse_resource(name, "profiles").map_err(|_| refused())?;
    if workspace != settings.workspace {
        return Err(refused());
    }
    ProfileId::parse(id).map(Some).map_err(|_| refused())
}

fn previous(call: &Call<'_>) -> Result<String, Problem> {
    call.previous_id.clone().filter(|it| !identity::is_blocked(it)).ok_or_else(|| {
        Problem::new("previousId", "it is missing or a placeholder", "send the id the person had before")
    })
}

/// The fact's name and its meaning; traits and consents go to `about`.
fn meaning(
    call: &mut Call<'_>,
    about: &mut About,
    settings: &Settings,
    at: Timestamp,
) -> Result<(String, Meaning), Problem> {
    match call.kind {
        CallKind::Identify => {
            about.consents = consent::take_from_traits(&mut call.properties)?;
            about.set = std::mem::take(&mut call.properties.values);
            about.unset = std::mem::take(&mut call.properties.nulls);
            about.email = about.set.get("email").and_then(|it| identity::email(&it.to_string()));
            about.phone = about.set.get("phone").and_then(|it| identity::phone(&it.to_string()));
            Ok(("Identify".to_owned(), Meaning::Traits))
        }
        CallKind::Page => Ok(("Page".to_owned(), Meaning::Tracked)),
        CallKind::Screen => Ok(("Screen".to_owned(), Meaning::Tracked)),
        CallKind::Group => Ok(("Group".to_owned(), Meaning::Tracked)),
        CallKind::Alias => Ok(("Alias".to_owned(), Meaning::Tracked)),
        CallKind::Track => {
            let name = call.event.as_deref().ok_or_else(|| {
                Problem::new("event", "it is missing", "send the event's name, such as \"Order Completed\"")
            })?;
            let (name, commerce) = match known(name) {
                Some((name, commerce)) => (name.to_owned(), commerce),
                None => (name.to_owned(), Commerce::Named),
            };
            let meaning = commerce_meaning(call, about, commerce, &name, settings, at)?;
            Ok((name, meaning))
        }
    }
}

fn commerce_meaning(
    call: &Call<'_>,
    about: &mut About,
    commerce: Commerce,
    name: &str,
    settings: &Settings,
    at: Timestamp,
) -> Result<Meaning, Problem> {
    let told = &call.properties;
    let cart = || told.word(&["cart_id", "cartId"]);
    let purse = || orders::purse(told, settings, at);
    let listed = || orders::products(call.raw_properties, &purse()?);
    Ok(match commerce {
        Commerce::Named => return Ok(message_meaning(told, about, name)),
        Commerce::ConsentChanged => {
            about.consents.push(consent::of_event(told, false)?);
            Meaning::Consent
        }
        Commerce::ConsentConfirmed => {
            about.consents.push(consent::of_event(told, true)?);
            Meaning::Consent
        }
        Commerce::ProductViewed => Meaning::ProductViewed(orders::product("properties", told, &purse()?)?.id),
        Commerce::ProductAdded => {
            Meaning::CartAdded(cart(), orders::product("properties", told, &purse()?)?.cart_line())
        }
        Commerce::ProductRemoved => {
            let product = orders::product("properties", told, &purse()?)?;
            Meaning::CartRemoved(cart(), product.id, product.quantity)
        }
        Commerce::CartViewed => {
            let lines: Vec<CartLine> = listed()?.into_iter().map(orders::Product::cart_line).collect();
            Meaning::CartShown(cart(), lines)
        }
        Commerce::CheckoutStarted => {
            Meaning::CheckoutStarted(told.word(&["checkout_id", "checkoutId", "order_id", "orderId"]))
        }
        Commerce::OrderCompleted => {
            let (order, uncosted) = orders::placed(told, listed()?, &purse()?, settings)?;
            Meaning::Order(OrderChange::Placed(order), uncosted)
        }
        Commerce::OrderUpdated => {
            // An update may be about anything, such as an address; only one that tells amounts replaces them.
            let products = listed()?;
            if orders::has_amount(told, &products) {
                let (order, uncosted) = orders::placed(told, products, &purse()?, settings)?;
                Meaning::Order(OrderChange::Placed(order), uncosted)
            } else {
                Meaning::Tracked
            }
        }
        Commerce::OrderRefunded => {
            Meaning::Order(OrderChange::Refunded(orders::refunded(told, &listed()?, &purse()?)?), vec![])
        }
        Commerce::OrderCancelled => Meaning::Order(OrderChange::Cancelled(orders::order_id(told)?), vec![]),
    })
}

/// What became of a message, if it is one of ours; unsubscribing and complaining withdraw consent in any case.
fn message_meaning(told: &Flat, about: &mut About, name: &str) -> Meaning {
    let Some((channel, what)) = reaction(name) else { return Meaning::Tracked };
    let granted = match what {
        Reaction::Subscribed => Some(true),
        Reaction::Event(MessageEvent::Unsubscribed | MessageEvent::Complained) => Some(false),
        Reaction::Event(_) => None,
    };
    if let Some(granted) = granted {
        let source = told.word(&["source"]).unwrap_or_else(|| name.to_ascii_lowercase().replace(' ', "-"));
        let text = |name: &str| told.word(&[name]).map(|it| shortened(&it, 2_000));
        about.consents.push(Said {
            wording: text("wording"),
            proof: text("proof"),
            ..Said::plain(channel, Purpose::Marketing, granted, source)
        });
    }
    let decision = told.word(&["decision_id"]).and_then(|it| Uuid::parse_str(&it).ok());
    match (what, decision) {
        (Reaction::Event(event), Some(decision_id)) => Meaning::Message(MessageReaction {
            decision_id,
            campaign: told.word(&["campaign"]).unwrap_or_default(),
            step: told.word(&["step"]).unwrap_or_default(),
            event,
        }),
        _ => Meaning::Tracked,
    }
}

/// Zone, locale and standing consents. What is wrong with them costs only them: the event itself is good.
fn surroundings(call: &Call<'_>, about: &mut About, warnings: &mut Vec<Problem>) -> Result<(), Problem> {
    let mut zone = |field: &str, name: Option<String>| {
        let name = name?;
        // The name as the database of zones spells it, whatever the sender's case.
        if let Ok(known) = jiff::tz::TimeZone::get(&name)
            && let Some(spelled) = known.iana_name()
        {
            return Some(spelled.to_owned());
        }
        if let Some(named) = of_offset(&name) {
            return Some(named);
        }
        let quoted = shortened(&name, 60);
        let remedy = "use an IANA name such as Europe/Madrid; until then the workspace's zone counts";
        warnings.push(Problem::new(field, format!("{quoted:?} is no known time zone"), remedy));
        None
    };
    let own = ["timezone", "time_zone", "timeZone"]
        .iter()
        .find_map(|it| Some((it, about.set.get(*it)?.to_string())));
    if let Some((field, name)) = own {
        about.own_zone = zone(&format!("traits.{field}"), Some(name));
    }
    about.device_zone = zone("context.timezone", text("context.timezone", call.context.timezone, 512)?);
    let own = |names: &[&str]| names.iter().find_map(|it| about.set.get(*it)).map(ToString::to_string);
    let (own_locale, own_region) = (own(&["locale", "language"]), own(&COUNTRY));
    about.own_locale = own_locale.and_then(|it| locale(&it));
    about.own_region = own_region.and_then(|it| region(&it));
    about.device_locale = text("context.locale", call.context.locale, 512)?.and_then(|it| locale(&it));
    let location = object("context.location", call.context.location).unwrap_or_default();
    about.device_region =
        location.word(&["country", "country_code", "countryCode"]).and_then(|it| region(&it));
    about.standing = consent::of_context(call.context.consent);
    Ok(())
}

/// The zone of a fixed offset such as `GMT+0200`, which some browsers' libraries send: `Etc/GMT-2`, whose sign counts the
/// other way. Half hours have no zone of that kind.
fn of_offset(name: &str) -> Option<String> {
    let (sign, digits) = name.strip_prefix("GMT").or(name.strip_prefix("UTC"))?.split_at_checked(1)?;
    let digits = digits.replace(':', "");
    let (hours, minutes) =
        if digits.len() > 2 { digits.split_at_checked(digits.len() - 2)? } else { (digits.as_str(), "") };
    let hours: u8 = hours.parse().ok()?;
    let opposite = match sign {
        "+" => '-',
        "-" => '+',
        _ => return None,
    };
    match (hours, minutes) {
        (0, "" | "00") => Some("UTC".to_owned()),
        (1..=12, "" | "00") => Some(format!("Etc/GMT{opposite}{hours}")),
        _ => None,
    }
}

/// Traits that name the country a person lives in.
const COUNTRY: [&str; 5] =
    ["country", "country_code", "countryCode", "address.country", "address.country_code"];

/// A country by its two letters; a name says nothing, since names are many.
fn region(text: &str) -> Option<String> {
    let text = text.trim();
    (text.len() == 2 && text.bytes().all(|it| it.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
}

/// The country within a locale such as `de-DE` or `zh-Hant-TW`.
pub fn region_of_locale(locale: &str) -> Option<String> {
    locale.split('-').skip(1).find_map(region)
}

/// A locale in the form of BCP 47; none if it cannot be one.
fn locale(text: &str) -> Option<String> {
    let text = text.trim().split('.').next().unwrap_or_default().replace('_', "-");
    let sound = (2..=35).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
        && text.as_bytes()[0].is_ascii_alphabetic();
    sound.then_some(text)
}

/// Scalar properties for rules and templates, without identifiers of anybody.
fn properties(call: &mut Call<'_>) -> Properties {
    let mut properties = std::mem::take(&mut call.properties.values);
    if matches!(call.kind, CallKind::Page | CallKind::Screen) {
        for (name, value) in [("name", &call.name), ("category", &call.category)] {
            if let Some(value) = value {
                properties.entry(name.to_owned()).or_insert_with(|| Scalar::Text(value.clone()));
            }
        }
    }
    if let Some(group) = &call.group_id {
        properties.insert("group_id".to_owned(), Scalar::Text(group.clone()));
    }
    if let Ok(campaign) = object("context.campaign", call.context.campaign) {
        for (name, value) in campaign.values {
            properties.insert(format!("context.campaign.{name}"), value);
        }
    }
    without_identifiers(properties)
}

/// Replaces what identifies a person by its presence.
pub fn without_identifiers(properties: Properties) -> Properties {
    properties
        .into_iter()
        .map(
            |(name, value)| {
                if identifies(&name, &value) { (name, Scalar::Bool(true)) } else { (name, value) }
            },
        )
        .collect()
}

/// Whether a property holds an address, a number or an id of a person, by its name or by its look.
pub fn identifies(name: &str, value: &Scalar) -> bool {
    let Scalar::Text(text) = value else {
        return matches!(value, Scalar::Int(_)) && matches!(last(name), "phone" | "user_id" | "userId");
    };
    if text.is_empty() {
        return false;
    }
    matches!(
        last(name),
        "email" | "phone" | "user_id" | "userId" | "anonymous_id" | "anonymousId" | "username" | "ip"
    ) || (text.contains('@') && identity::email(text).is_some())
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The identifiers an alias joins to those of its event: the former id as each of the kinds it may be of.
pub fn former(previous: &str) -> [Option<perennial_types::Identifier>; 2] {
    [IdentifierKind::UserId, IdentifierKind::AnonymousId].map(|kind| identity::identifier(kind, previous))
}

#[cfg(test)]
mod tests {
    use super::of_offset;

    #[test]
    fn an_offset_is_the_zone_that_has_it() {
        for (name, zone) in [
            ("GMT+0200", Some("Etc/GMT-2")),
            ("GMT-05:00", Some("Etc/GMT+5")),
            ("UTC+1", Some("Etc/GMT-1")),
            ("UTC+10", Some("Etc/GMT-10")),
            ("GMT+0000", Some("UTC")),
            ("GMT+0530", None),
            ("GMT+14:00", None),
            ("GMT", None),
            ("GMT+", None),
            ("GMT+é0", None),
        ] {
            assert_eq!(of_offset(name).as_deref(), zone, "{name}");
            assert!(zone.is_none_or(|it| jiff::tz::TimeZone::get(it).is_ok()), "{zone:?}");
        }
    }
}
