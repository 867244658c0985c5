//! Reads and normalises what recognises a person, and names profiles by it.

use jiff::Timestamp;
use perennial_types::{Identifier, IdentifierKind, ProfileId, Workspace};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::call::{Call, CallKind};
use super::flat::Flat;

/// Values that recognise nobody: what software sends when it has no id.
const BLOCKED: [&str; 14] = [
    "-1",
    "null",
    "anonymous",
    "undefined",
    "none",
    "nil",
    "nan",
    "n/a",
    "na",
    "unknown",
    "guest",
    "false",
    "true",
    "[object object]",
];

/// An identifier of a kind with a value that may recognise somebody; none if the value is blocked or malformed.
pub fn identifier(kind: IdentifierKind, value: &str) -> Option<Identifier> {
    let value = value.trim();
    let value = match kind {
        IdentifierKind::Email => email(value)?,
        IdentifierKind::Phone => phone(value)?,
        IdentifierKind::UserId | IdentifierKind::AnonymousId => value.to_owned(),
    };
    if is_blocked(&value) { None } else { Some(Identifier { kind, value }) }
}

/// Whether a value recognises nobody: blank, only zeros and dashes, or a word that software sends instead of an id.
pub fn is_blocked(value: &str) -> bool {
    value.bytes().all(|it| it == b'0' || it == b'-') || BLOCKED.contains(&value.to_ascii_lowercase().as_str())
}

/// An address in lower case, if it looks like one: one `@`, something before it and a dotted host after it.
pub fn email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, host) = text.split_once('@')?;
    let sound = !local.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !host.contains('@')
        && text.len() <= 254
        && !text.chars().any(|it| it.is_whitespace() || it.is_control() || "<>(),;:\"".contains(it));
    sound.then_some(text)
}

/// A phone number in E.164, if it is an international one; `00` reads as `+`.
pub fn phone(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|it| !" -().\u{a0}/".contains(*it)).collect();
    let digits = bare.strip_prefix('+').or_else(|| bare.strip_prefix("00"))?;
    let sound = (7..=15).contains(&digits.len())
        && digits.bytes().all(|it| it.is_ascii_digit())
        && !digits.starts_with('0');
    sound.then(|| format!("+{digits}"))
}

#[derive(Deserialize)]
struct ExternalId {
    id: serde_json::Value,
    #[serde(rename = "type")]
    kind: String,
}

/// Everything in a call that recognises its person, without repetition, the strongest first.
///
/// They come from fixed places only: `userId`, `anonymousId`, the traits `email` and `phone` (of identify, and in
/// `context.traits` of any call), and `context.externalIds` of the kinds we know. An address among the properties of
/// an event may be somebody else's (a gift, a referral), so it is not one of them.
pub fn identifiers(call: &Call<'_>) -> Vec<Identifier> {
    let mut found = Vec::new();
    let mut add = |kind, value: &str| found.extend(identifier(kind, value));
    if let Some(id) = &call.user_id {
        add(IdentifierKind::UserId, id);
    }
    if let Some(id) = &call.anonymous_id {
        add(IdentifierKind::AnonymousId, id);
    }
    let told = call.context.traits.and_then(|it| Flat::parse(it.get()).ok());
    let own = (call.kind == CallKind::Identify).then_some(&call.properties);
    for traits in own.into_iter().chain(told.as_ref()) {
        for (name, kind) in [("email", IdentifierKind::Email), ("phone", IdentifierKind::Phone)] {
            if let Some(value) = traits.word(&[name]) {
                add(kind, &value);
            }
        }
    }
    if let Some(raw) = call.context.external_ids {
        let listed: Vec<ExternalId> = serde_json::from_str(raw.get()).unwrap_or_default();
        for id in listed {
            let Some(kind) = IdentifierKind::parse(&id.kind) else { continue };
            match id.id {
                serde_json::Value::String(value) => add(kind, &value),
                serde_json::Value::Number(value) => add(kind, &value.to_string()),
                _ => {}
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The unit of a person's draws (holdouts, splits): a hash of the first identifier it was seen with, so that it is the
/// same in every run and on every machine.
pub fn draw_key(workspace: &Workspace, first: &Identifier) -> String {
    let mut hash = Sha256::new();
    for part in [workspace.as_str(), first.kind.as_str(), &first.value] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id of a profile born at `at` with this draw key. Its random part comes from the key, hence so does the
/// partition: whoever meets the same person for the first time at the same time names it alike.
pub fn profile_id(draw_key: &str, at: Timestamp) -> ProfileId {
    ProfileId(id_from(at, &[b"profile", draw_key.as_bytes()]))
}

/// A UUIDv7 of `at` whose random part is a hash of `parts`.
pub fn id_from(at: Timestamp, parts: &[&[u8]]) -> uuid::Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let mut random = [0; 10];
    random.copy_from_slice(&hash.finalize()[..10]);
    let millis = at.as_millisecond().max(0).unsigned_abs();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_recognise_nobody_are_no_identifiers() {
        for value in
            ["", "0", "0000-00", "00000000-0000-0000-0000-000000000000", "-1", "NULL", "Anonymous", "guest"]
        {
            assert_eq!(identifier(IdentifierKind::UserId, value), None, "{value}");
        }
        assert!(identifier(IdentifierKind::UserId, "42").is_some());
    }

    #[test]
    fn addresses_and_numbers_are_normalised_or_left_out() {
        assert_eq!(email(" Ana@Example.COM "), Some("ana@example.com".to_owned()));
        for text in ["ana", "ana@", "@example.com", "ana@example", "a b@example.com", "a@b@c.de"] {
            assert_eq!(email(text), None, "{text}");
        }
        assert_eq!(phone("+49 (30) 1234-567"), Some("+49301234567".to_owned()));
        assert_eq!(phone("0049 30 1234567"), Some("+49301234567".to_owned()));
        for text in ["030 1234567", "+12", "call me"] {
            assert_eq!(phone(text), None, "{text}");
        }
    }
}
