//! An event as it goes out again: the call of the specification that, sent in elsewhere, means the same.

use jiff::Timestamp;
use perennial_types::{Identifier, IdentifierKind};
use serde_json::json;

use super::call::{Call, CallKind, Shared};
use super::identity;
use super::intake::{Parts, parts, raw};

/// The call that was kept as `body`, in one line. What counts of it is said outright: its kind, its message id, when it
/// happened by the corrected clock. What was said besides to find that out, or to be let in, is left out. Reports of our own
/// services name a profile of ours; where that is all they name, `owner` tells who it is elsewhere.
pub fn call(body: &str, kind: &str, message_id: &str, at: Timestamp, owner: Option<&Identifier>) -> String {
    let mut whole = parts(body).unwrap_or_default();
    for name in ["writeKey", "sentAt", "originalTimestamp"] {
        whole.remove(name);
    }
    let at = at.to_string();
    for (name, value) in [("type", kind), ("messageId", message_id), ("timestamp", at.as_str())] {
        whole.extend(raw(&value).map(|it| (name.to_owned(), it)));
    }
    if whole.remove("profile").is_some() {
        let parsed = Call::parse(CallKind::parse(kind), body, &Shared::default());
        if parsed.is_ok_and(|it| identity::identifiers(&it).is_empty())
            && let Some(owner) = owner
        {
            name(&mut whole, owner);
        }
    }
    let text = raw(&whole).map_or_else(|| body.to_owned(), |it| it.get().to_owned());
    // Within JSON a line only ends where it means nothing.
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text }
}

/// Says of whom a call is.
fn name(whole: &mut Parts, owner: &Identifier) {
    match owner.kind {
        IdentifierKind::UserId => {
            whole.extend(raw(&owner.value).map(|it| ("userId".to_owned(), it)));
        }
        IdentifierKind::AnonymousId => {
            whole.extend(raw(&owner.value).map(|it| ("anonymousId".to_owned(), it)));
        }
        kind @ (IdentifierKind::Email | IdentifierKind::Phone) => {
            let mut context = whole.remove("context").and_then(|it| parts(it.get())).unwrap_or_default();
            let ids = json!([{ "id": owner.value, "type": kind.as_str() }]);
            context.extend(raw(&ids).map(|it| ("externalIds".to_owned(), it)));
            whole.extend(raw(&context).map(|it| ("context".to_owned(), it)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-03-01T12:00:00.123456Z";

    fn out(body: &str, owner: Option<&Identifier>) -> serde_json::Value {
        let text = call(body, "track", "m1", AT.parse().unwrap(), owner);
        assert!(!text.contains('\n'), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_call_goes_out_in_one_line_with_what_counts_of_it() {
        let sent = "{\"userId\":\"7\",\n\"event\":\"A\\nB\",\"sentAt\":\"2026-03-01T13:00:00Z\",\"writeKey\":\"secret\",\
                    \"timestamp\":\"2026-03-01T13:00:00Z\",\"properties\":{\"n\":12345678901234567890.10}}";
        let whole = call(sent, "track", "m1", AT.parse().unwrap(), None);
        assert!(whole.contains("12345678901234567890.10"), "numbers are as they were sent: {whole}");
        let it = out(sent, None);
        assert_eq!(
            (&it["type"], &it["messageId"], &it["timestamp"]),
            (&"track".into(), &"m1".into(), &AT.into())
        );
        assert_eq!((&it["event"], &it["userId"]), (&"A\nB".into(), &"7".into()));
        assert!(it.get("sentAt").is_none() && it.get("writeKey").is_none());
    }

    #[test]
    fn a_report_of_our_own_names_its_person_as_others_know_it() {
        let sent =
            r#"{"event":"Email Opened","profile":"workspaces/main/profiles/x","context":{"active":false}}"#;
        let owner = |kind, value: &str| Identifier { kind, value: value.to_owned() };
        let it = out(sent, Some(&owner(IdentifierKind::UserId, "7")));
        assert_eq!((&it["userId"], it.get("profile")), (&"7".into(), None));
        let it = out(sent, Some(&owner(IdentifierKind::Email, "a@b.de")));
        assert_eq!(
            it["context"],
            json!({"active": false, "externalIds": [{"id": "a@b.de", "type": "email"}]})
        );
        let named = r#"{"event":"A","anonymousId":"v","profile":"workspaces/main/profiles/x"}"#;
        let it = out(named, Some(&owner(IdentifierKind::UserId, "7")));
        assert_eq!(it.get("userId"), None, "it says itself whose it is");
    }
}
