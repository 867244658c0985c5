//! Takes a request's body apart into single events, within limits.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::call::{CallKind, Shared};

/// How much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Bytes of a body, after decompression.
    pub body_bytes: usize,
    /// Events of one batch.
    pub events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { event_bytes: 32 * 1024, body_bytes: 4 * 1024 * 1024, events: 2_500 }
    }
}

/// Why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Json(String),
    /// Not a batch.
    #[error("batch: it is not a list of events: send {{\"batch\": [ … ]}}")]
    NotABatch,
    /// Too many events.
    #[error("batch: it holds {found} events: send at most {most} at once")]
    TooMany {
        /// How many were sent.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// The only event is too large.
    #[error("the event has {found} bytes: send at most {most}")]
    TooLarge {
        /// How large it is.
        found: usize,
        /// The limit.
        most: usize,
    },
}

/// A request, taken apart.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    /// The events, each as it was sent.
    pub items: Vec<&'a str>,
    /// What they share.
    pub shared: Shared<'a>,
    /// The write key in the body.
    pub write_key: Option<&'a RawValue>,
    /// `integrations` of the batch: kept with each event in the log.
    pub integrations: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    integrations: Option<&'a RawValue>,
    #[serde(borrow)]
    sent_at: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    write_key: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Takes a batch apart: `{batch: […], context, sentAt, …}`, or a bare list of events.
    ///
    /// # Errors
    /// What makes the whole body unusable.
    pub fn batch(json: &'a str, retries: u32, limits: &Limits) -> Result<Self, BodyFault> {
        let unreadable = |error: serde_json::Error| BodyFault::Json(error.to_string());
        let body: &RawValue = serde_json::from_str(json).map_err(unreadable)?;
        let batch: Batch<'a> = if body.get().starts_with('[') {
            Batch { batch: Some(body), ..Batch::default() }
        } else {
            serde_json::from_str(body.get()).map_err(|_| BodyFault::NotABatch)?
        };
        let list = batch.batch.ok_or(BodyFault::NotABatch)?;
        let items: Vec<&'a RawValue> = serde_json::from_str(list.get()).map_err(|_| BodyFault::NotABatch)?;
        if items.len() > limits.events {
            return Err(BodyFault::TooMany { found: items.len(), most: limits.events });
        }
        Ok(Self {
            items: items.into_iter().map(RawValue::get).collect(),
            shared: Shared {
                context: batch.context,
                sent: batch.sent_at,
                timestamp: batch.timestamp,
                retries,
            },
            write_key: batch.write_key,
            integrations: batch.integrations,
        })
    }

    /// Takes the body of one call.
    ///
    /// # Errors
    /// What makes the whole body unusable.
    pub fn single(json: &'a str, retries: u32, limits: &Limits) -> Result<Self, BodyFault> {
        let unreadable = |error: serde_json::Error| BodyFault::Json(error.to_string());
        let body: &RawValue = serde_json::from_str(json).map_err(unreadable)?;
        if body.get().len() > limits.event_bytes {
            return Err(BodyFault::TooLarge { found: body.get().len(), most: limits.event_bytes });
        }
        let keys: Batch<'a> = serde_json::from_str(body.get()).unwrap_or_default();
        Ok(Self {
            items: vec![body.get()],
            shared: Shared { retries, ..Shared::default() },
            write_key: keys.write_key,
            integrations: None,
        })
    }

    /// The event as the log keeps it: what the batch shares is merged in, so that it can be read alone.
    pub fn logged(&self, item: &str) -> String {
        // A name may be written with escapes.
        let may_hold_key = item.contains("writeKey") || item.contains("\\u");
        if self.shared.context.is_none() && self.integrations.is_none() && !may_hold_key {
            return item.to_owned();
        }
        let Some(mut whole) = parts(item) else { return item.to_owned() };
        whole.remove("writeKey");
        for (key, shared) in [("context", self.shared.context), ("integrations", self.integrations)] {
            let Some(mut merged) = shared.and_then(|it| parts(it.get())) else { continue };
            let own = whole.remove(key).and_then(|it| parts(it.get())).unwrap_or_default();
            merged.extend(own.into_iter().filter(|(_, value)| value.get() != "null"));
            whole.extend(raw(&merged).map(|it| (key.to_owned(), it)));
        }
        raw(&whole).map_or_else(|| item.to_owned(), |it| it.get().to_owned())
    }

    /// A refused event as it is kept: all that its request said of it is in it, so that it means the same when it is sent
    /// in again. What is no object stays as it is.
    pub fn kept(&self, item: &str, kind: Option<CallKind>) -> String {
        let Some(mut whole) = parts(&self.logged(item)) else { return item.to_owned() };
        if let Some(kind) = kind {
            whole.extend(raw(&kind.as_str()).map(|it| ("type".to_owned(), it)));
        }
        let absent = |whole: &Parts, name: &str| whole.get(name).is_none_or(|it| it.get() == "null");
        if absent(&whole, "timestamp")
            && absent(&whole, "originalTimestamp")
            && let Some(at) = self.shared.timestamp
        {
            whole.insert("timestamp".to_owned(), at.to_owned());
        }
        if self.shared.retries > 0 {
            // By a repeated request no clock is corrected.
            whole.remove("sentAt");
        } else if absent(&whole, "sentAt")
            && let Some(at) = self.shared.sent
        {
            whole.insert("sentAt".to_owned(), at.to_owned());
        }
        raw(&whole).map_or_else(|| item.to_owned(), |it| it.get().to_owned())
    }
}

/// The parts of an object, none of them looked into: whatever is in them comes through as it was sent.
pub(super) type Parts = BTreeMap<String, Box<RawValue>>;

pub(super) fn parts(json: &str) -> Option<Parts> {
    serde_json::from_str(json).ok()
}

pub(super) fn raw(value: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}

/// The call a path's last word names: the specification's, or the browser library's one-letter form.
pub fn call_of_path(word: &str) -> Option<CallKind> {
    Some(match word {
        "t" => CallKind::Track,
        "i" => CallKind::Identify,
        "p" => CallKind::Page,
        "s" => CallKind::Screen,
        "g" => CallKind::Group,
        "a" => CallKind::Alias,
        word => CallKind::parse(word)?,
    })
}
