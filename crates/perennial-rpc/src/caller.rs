//! Who calls, from the metadata of the call.

use std::fmt;

use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::{Field, Invalid};

/// The metadata key that carries the id of a call through every process and log line.
pub const REQUEST_ID: &str = "x-request-id";

/// Who calls, and under which id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key presented, if any; whether it is good is for the service to say.
    pub key: Option<Key>,
    /// The id of this call, in logs and traces: the caller's own if it sent one, else a new one.
    pub request_id: String,
}

/// A key as it was presented. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key itself, to be hashed and compared, never to be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads `authorization: Bearer …` and `x-request-id` from the metadata of a call. Anything unreadable counts as absent.
#[must_use]
pub fn caller(metadata: &MetadataMap) -> Caller {
    let key = metadata.get("authorization").and_then(|it| it.to_str().ok()).and_then(|it| {
        let (scheme, key) = it.split_once(' ')?;
        let key = key.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then(|| Key(key.to_owned()))
    });
    let given = metadata.get(REQUEST_ID).and_then(|it| it.to_str().ok());
    // A caller's id goes into logs: only what cannot break a line or flood it.
    let usable = given.filter(|it| (1..=128).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_graphic()));
    let request_id = usable.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
    Caller { key, request_id }
}

/// Reads the `request_id` field of a mutating request: the idempotency key. Empty means that the caller wants none.
///
/// # Errors
/// [`Invalid`] if it is neither empty nor a UUID.
pub fn request_id(text: &str) -> Result<Option<Uuid>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = Uuid::parse_str(text)
        .map_err(|_| "is not a UUID: send one such as 0198f3a2-7c1e-7abc-8def-001122334455");
    id.field("request_id").map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_read_and_its_key_is_never_printed() {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", "bearer wk_123".parse().unwrap());
        metadata.insert(REQUEST_ID, "abc-1".parse().unwrap());
        let found = caller(&metadata);
        assert_eq!(found.key.as_ref().map(Key::expose), Some("wk_123"));
        assert_eq!(found.request_id, "abc-1");
        assert!(!format!("{found:?}").contains("wk_123"));
    }

    #[test]
    fn an_id_that_could_break_a_log_line_is_replaced() {
        let mut metadata = MetadataMap::new();
        metadata.insert(REQUEST_ID, "a b".parse().unwrap());
        assert_ne!(caller(&metadata).request_id, "a b");
        assert!(caller(&MetadataMap::new()).key.is_none());
    }

    #[test]
    fn an_idempotency_key_is_a_uuid_or_nothing() {
        assert_eq!(request_id("").unwrap(), None);
        assert!(request_id("0198f3a2-7c1e-7abc-8def-001122334455").unwrap().is_some());
        assert!(request_id("7").unwrap_err().to_string().starts_with("request_id "));
    }
}
