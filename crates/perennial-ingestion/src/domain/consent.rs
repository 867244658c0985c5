//! Reads consent wherever senders put it.
//!
//! Three forms, all optional:
//! - traits of identify: `consent.email` or `consent.email.marketing` (nested or dotted), or `email_consent`; the same
//!   for `sms`, `push`, `webhook` and `on_site`. Said outright: the latest statement by event time counts.
//! - `context.consent.categoryPreferences` of any event: `email`, `email_marketing`, `email_transactional` (and the other
//!   channels), or `marketing` for e-mail, text and push together. Pages repeat it with every event, so only a change of
//!   it counts: a stale page does not undo an unsubscribe. Other categories are about cookies and mean nothing here.
//! - the events `Consent Changed` {channel, purpose, granted} and `Email Subscribed` / `Email Unsubscribed` (likewise for
//!   `SMS` and `Push`).
//!
//! Without a purpose it is marketing.

use perennial_types::{Channel, ConsentChange, Purpose, Scalar};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::flat::Flat;
use super::problem::{Problem, shortened};

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
pub fn take_from_traits(traits: &mut Flat) -> Result<Vec<ConsentChange>, Problem> {
    let mut found = Vec::new();
    let named: Vec<(String, (Channel, Purpose))> =
        traits.values.keys().filter_map(|name| Some((name.clone(), of_trait(name)?))).collect();
    for (name, (channel, purpose)) in named {
        let Some(value) = traits.values.remove(&name) else { continue };
        let granted = granted(&value).ok_or_else(|| {
            let quoted = shortened(&value.to_string(), 40);
            Problem::new(
                format!("traits.{name}"),
                format!("{quoted:?} is neither yes nor no"),
                "send true or false",
            )
        })?;
        found.push(ConsentChange { channel, purpose, granted, source: "identify".to_owned() });
    }
    traits.nulls.retain(|name| of_trait(name).is_none());
    Ok(found)
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
pub fn of_context(raw: Option<&RawValue>) -> Vec<ConsentChange> {
    let Some(raw) = raw else { return Vec::new() };
    let preferences: Preferences<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    let Some(flat) = preferences.category_preferences.and_then(|it| Flat::parse(it.get()).ok()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in &flat.values {
        let Some(granted) = granted(value) else { continue };
        for (channel, purpose) in of_category(name) {
            found.push(ConsentChange { channel, purpose, granted, source: "context".to_owned() });
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

/// Reads the event `Consent Changed`.
///
/// # Errors
/// The problem with its properties.
pub fn of_event(properties: &Flat) -> Result<ConsentChange, Problem> {
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
    let granted = properties.first(&["granted"]).and_then(granted).ok_or_else(|| {
        Problem::new("properties.granted", "it is neither yes nor no", "send true or false")
    })?;
    Ok(ConsentChange {
        channel,
        purpose,
        granted,
        source: word("source").unwrap_or_else(|| "event".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(changes: &[ConsentChange]) -> Vec<(&str, &str, bool)> {
        changes.iter().map(|it| (it.channel.as_str(), it.purpose.as_str(), it.granted)).collect()
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
