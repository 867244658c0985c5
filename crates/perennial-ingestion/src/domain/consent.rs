//! Reads consent wherever senders put it.
//!
//! Three forms, all optional:
//! - traits of identify: `consent.email` or `consent.email.marketing` (nested or dotted), or `email_consent`; the same
//!   for `sms`, `push`, `webhook` and `on_site`. Said outright: the latest statement by event time counts. Instead of yes
//!   or no it may be an object: `granted`, `confirmed`, `source`, `wording`, `proof`, and `at` where it was said before.
//! - `context.consent.categoryPreferences` of any event: `email`, `email_marketing`, `email_transactional` (and the other
//!   channels), or `marketing` for e-mail, text and push together. Pages repeat it with every event, so only a change of
//!   it counts: a stale page does not undo an unsubscribe. Other categories are about cookies and mean nothing here.
//! - the events `Consent Changed` {channel, purpose, granted, confirmed, source, wording, proof, at}, `Consent Confirmed`
//!   {channel, purpose, source, proof}, and `Email Subscribed` / `Email Unsubscribed` (likewise for `SMS` and `Push`).
//!
//! Without a purpose it is marketing.

use perennial_types::{Channel, Purpose, Scalar, micros};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::agreement::{Said, Word};
use super::flat::Flat;
use super::problem::{Problem, shortened};

/// The longest wording and proof that are kept, in characters.
const LONGEST: usize = 2_000;
/// What an object about a consent may say.
const PARTS: [&str; 6] = ["granted", "confirmed", "source", "wording", "proof", "at"];

/// Whether a value grants (true) or withdraws consent.
pub fn granted(value: &Scalar) -> Option<bool> {
    match value {
        Scalar::Bool(it) => Some(*it),
        Scalar::Int(1) => Some(true),
        Scalar::Int(0) => Some(false),
        Scalar::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "granted" | "given" | "subscribed" | "opted_in" | "opt_in" | "1" => Some(true),
            "false" | "no" | "denied" | "withdrawn" | "unsubscribed" | "opted_out" | "opt_out" | "0" => {
                Some(false)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Takes the consents out of an identify's traits.
///
/// # Errors
/// The problem with a trait of that form whose value is neither yes nor no.
pub fn take_from_traits(traits: &mut Flat) -> Result<Vec<Said>, Problem> {
    let mut found: BTreeMap<String, Flat> = BTreeMap::new();
    let named: Vec<String> =
        traits.values.keys().filter(|it| of_trait(base(it).0).is_some()).cloned().collect();
    for name in named {
        let Some(value) = traits.values.remove(&name) else { continue };
        let (consent, part) = base(&name);
        found.entry(consent.to_owned()).or_default().values.insert(part.to_owned(), value);
    }
    traits.nulls.retain(|name| of_trait(base(name).0).is_none());
    let mut said = Vec::new();
    for (name, parts) in found {
        let Some((channel, purpose)) = of_trait(&name) else { continue };
        said.push(of_parts(&format!("traits.{name}"), channel, purpose, &parts, "identify")?);
    }
    Ok(said)
}

/// A trait's name as that of the consent and the part of it that it is: `granted`, unless it says which.
fn base(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((consent, part)) if PARTS.contains(&part) => (consent, part),
        _ => (name, "granted"),
    }
}

/// A statement from its parts; `field` is where it stands.
fn of_parts(
    field: &str,
    channel: Channel,
    purpose: Purpose,
    parts: &Flat,
    source: &str,
) -> Result<Said, Problem> {
    let yes_or_no = |name: &str| {
        let Some(value) = parts.first(&[name]) else { return Ok(None) };
        granted(value).map(Some).ok_or_else(|| {
            let quoted = shortened(&value.to_string(), 40);
            let field = if name == "granted" { field.to_owned() } else { format!("{field}.{name}") };
            Problem::new(field, format!("{quoted:?} is neither yes nor no"), "send true or false")
        })
    };
    let confirmed = yes_or_no("confirmed")?;
    let word = match (yes_or_no("granted")?, confirmed) {
        (Some(false), _) => Word::No,
        (_, Some(true)) => Word::Confirmed,
        (Some(true), _) => Word::Yes,
        (None, _) => return Err(Problem::new(field, "it is neither yes nor no", "send true or false")),
    };
    let text = |name: &str| parts.word(&[name]).map(|it| shortened(&it, LONGEST));
    let at = match parts.word(&["at"]) {
        None => None,
        Some(text) => Some(text.parse().map(micros).map_err(|_: jiff::Error| {
            let quoted = shortened(&text, 40);
            Problem::new(
                format!("{field}.at"),
                format!("{quoted:?} is no instant"),
                "send ISO 8601 with a zone, such as 2026-01-31T09:30:00Z, or leave it out",
            )
        })?),
    };
    Ok(Said {
        at,
        channel,
        purpose,
        word,
        source: text("source").unwrap_or_else(|| source.to_owned()),
        wording: text("wording"),
        proof: text("proof"),
    })
}

fn of_trait(name: &str) -> Option<(Channel, Purpose)> {
    if let Some(channel) = name.strip_suffix("_consent") {
        return Some((Channel::parse(channel)?, Purpose::Marketing));
    }
    let rest = name.strip_prefix("consent.")?;
    match rest.split_once('.') {
        Some((channel, purpose)) => Some((Channel::parse(channel)?, Purpose::parse(purpose)?)),
        None => Some((Channel::parse(rest)?, Purpose::Marketing)),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Preferences<'a> {
    #[serde(borrow)]
    category_preferences: Option<&'a RawValue>,
}

/// Reads `context.consent`; what is not of its form says nothing.
pub fn of_context(raw: Option<&RawValue>) -> Vec<Said> {
    let Some(raw) = raw else { return Vec::new() };
    let preferences: Preferences<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    let Some(flat) = preferences.category_preferences.and_then(|it| Flat::parse(it.get()).ok()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in &flat.values {
        let Some(granted) = granted(value) else { continue };
        for (channel, purpose) in of_category(name) {
            found.push(Said::plain(channel, purpose, granted, "context"));
        }
    }
    found
}

fn of_category(name: &str) -> Vec<(Channel, Purpose)> {
    let name: String =
        name.to_ascii_lowercase().chars().map(|it| if "-. ".contains(it) { '_' } else { it }).collect();
    if name == "marketing" {
        return [Channel::Email, Channel::Sms, Channel::Push].map(|it| (it, Purpose::Marketing)).to_vec();
    }
    let (channel, purpose) = match (name.strip_suffix("_marketing"), name.strip_suffix("_transactional")) {
        (Some(channel), _) => (channel, Purpose::Marketing),
        (_, Some(channel)) => (channel, Purpose::Transactional),
        _ => (name.as_str(), Purpose::Marketing),
    };
    Channel::parse(channel).map(|it| (it, purpose)).into_iter().collect()
}

/// Reads the event `Consent Changed`, or `Consent Confirmed`, which needs not say yes.
///
/// # Errors
/// The problem with its properties.
pub fn of_event(properties: &Flat, confirmed: bool) -> Result<Said, Problem> {
    let word = |name: &str| properties.word(&[name]);
    let channel =
        word("channel").and_then(|it| Channel::parse(&it.to_ascii_lowercase())).ok_or_else(|| {
            Problem::new("properties.channel", "it is no channel", "use email, sms, push, webhook or on_site")
        })?;
    let purpose = match word("purpose") {
        None => Purpose::Marketing,
        Some(it) => Purpose::parse(&it.to_ascii_lowercase()).ok_or_else(|| {
            Problem::new("properties.purpose", "it is no purpose", "use marketing or transactional")
        })?,
    };
    let mut parts = properties.clone();
    if confirmed {
        parts.values.insert("confirmed".to_owned(), Scalar::Bool(true));
    }
    of_parts("properties.granted", channel, purpose, &parts, if confirmed { "confirmation" } else { "event" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(found: &[Said]) -> Vec<(&str, &str, bool)> {
        found.iter().map(|it| (it.channel.as_str(), it.purpose.as_str(), it.word != Word::No)).collect()
    }

    #[test]
    fn traits_say_consent_in_three_spellings() {
        let mut traits = Flat::parse(
            r#"{"name":"Ana","consent":{"email":{"marketing":true},"sms":"no"},"push_consent":1,"consented":true}"#,
        )
        .unwrap();
        let found = take_from_traits(&mut traits).unwrap();
        let expected =
            [("email", "marketing", true), ("sms", "marketing", false), ("push", "marketing", true)];
        assert_eq!(said(&found), expected);
        let told = r#"{"consent":{"email":{"marketing":{"granted":true,"wording":"Send me news","proof":"form 7",
            "source":"checkout"},"transactional":{"confirmed":1}}}}"#;
        let found = take_from_traits(&mut Flat::parse(told).unwrap()).unwrap();
        let shown: Vec<_> =
            found.iter().map(|it| (it.word, it.source.as_str(), it.proof.as_deref())).collect();
        assert_eq!(shown, [(Word::Yes, "checkout", Some("form 7")), (Word::Confirmed, "identify", None)]);
        assert_eq!(found[0].wording.as_deref(), Some("Send me news"));
        assert_eq!(traits.values.keys().collect::<Vec<_>>(), ["consented", "name"]);
        let mut traits = Flat::parse(r#"{"email_consent":"perhaps"}"#).unwrap();
        let refused = take_from_traits(&mut traits).unwrap_err();
        assert_eq!(refused.field, "traits.email_consent");
    }

    #[test]
    fn cookie_categories_say_nothing_about_messages() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        let context = raw(
            r#"{"categoryPreferences":{"Advertising":true,"Email-Marketing":false,"sms_transactional":true}}"#,
        );
        let expected = [("email", "marketing", false), ("sms", "transactional", true)];
        assert_eq!(said(&of_context(Some(&context))), expected);
        assert_eq!(of_context(Some(&raw(r#"{"categoryPreferences":{"marketing":true}}"#))).len(), 3);
        assert!(of_context(Some(&raw("[]"))).is_empty());
    }
}
