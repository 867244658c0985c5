//! Whether a text that came in names a person: by any of what recognises them, wherever it stands.

use perennial_types::{Identifier, IdentifierKind, ProfileId};
use serde_json::Value;
use std::collections::BTreeSet;

use super::identity;

/// Shorter values name somebody only where an id is expected: a customer may be called 7.
const TELLING: usize = 5;

/// What a person is looked for by.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    identifiers: BTreeSet<Identifier>,
    profiles: BTreeSet<String>,
}

impl Wanted {
    /// By these identifiers, and by the ids of these profiles.
    pub fn new(identifiers: BTreeSet<Identifier>, profiles: impl IntoIterator<Item = ProfileId>) -> Self {
        Self { identifiers, profiles: profiles.into_iter().map(|it| it.to_string()).collect() }
    }

    /// Whether a text names the person: in a value if it is JSON, anywhere if it is not.
    pub fn is_in(&self, text: &str) -> bool {
        match serde_json::from_str(text) {
            Ok(json) => self.is_in_value("", &json),
            Err(_) => {
                let lower = text.to_lowercase();
                let values = self.identifiers.iter().map(|it| it.value.to_lowercase());
                values
                    .chain(self.profiles.iter().cloned())
                    .any(|it| it.len() >= TELLING && lower.contains(&it))
            }
        }
    }

    fn is_in_value(&self, key: &str, value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields.iter().any(|(key, value)| self.is_in_value(key, value)),
            Value::Array(items) => items.iter().any(|it| self.is_in_value(key, it)),
            Value::String(text) => self.is_named(key, text),
            Value::Number(number) => self.is_named(key, &number.to_string()),
            Value::Bool(_) | Value::Null => false,
        }
    }

    fn is_named(&self, key: &str, text: &str) -> bool {
        let bare: String =
            key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let is_id = ["id", "userid", "anonymousid", "previousid"].contains(&bare.as_str());
        let is_wanted = |it: &Identifier| match it.kind {
            IdentifierKind::UserId | IdentifierKind::AnonymousId => {
                it.value == text.trim() && (is_id || it.value.len() >= TELLING)
            }
            IdentifierKind::Email => identity::email(text).is_some_and(|found| found == it.value),
            IdentifierKind::Phone => identity::phone(text).is_some_and(|found| found == it.value),
        };
        self.identifiers.iter().any(is_wanted)
            || self.profiles.iter().any(|it| text == it || text.rsplit('/').next() == Some(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        let identifier = |kind, value: &str| identity::identifier(kind, value).unwrap();
        let identifiers = [
            identifier(IdentifierKind::UserId, "7"),
            identifier(IdentifierKind::Email, "ana@example.com"),
            identifier(IdentifierKind::Phone, "+49301234567"),
            identifier(IdentifierKind::AnonymousId, "a-long-cookie"),
        ];
        Wanted::new(identifiers.into(), [ProfileId(uuid::Uuid::nil())])
    }

    #[test]
    fn a_person_is_found_however_they_are_written() {
        for text in [
            r#"{"userId": 7}"#,
            r#"{"traits": {"contact": [{"mail": "Ana@Example.COM "}]}}"#,
            r#"{"properties": {"tel": "0049 (30) 1234-567"}}"#,
            r#"{"x": "a-long-cookie"}"#,
            r#"{"profile": "workspaces/main/profiles/00000000-0000-0000-0000-000000000000"}"#,
            "not json, but from ana@example.com",
        ] {
            assert!(wanted().is_in(text), "{text}");
        }
    }

    #[test]
    fn somebody_else_is_not() {
        for text in [
            r#"{"userId": "70", "properties": {"quantity": 7, "price": 7}}"#,
            r#"{"email": "anna@example.com"}"#,
            "7 is not json",
        ] {
            assert!(!wanted().is_in(text), "{text}");
        }
    }
}
