//! Ids drawn from what rows say, so that the same rows give the same ids whatever file they come in.

use std::collections::{HashMap, VecDeque};

use perennial_api::ingestion::v1::Event;
use perennial_rpc::structs;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Rows that say the same are told apart by counting them; so many of the latest rows are remembered for it. Equal rows
/// further apart than this count as one: give such a file a column of order numbers.
const REMEMBERED: usize = 1 << 20;

/// An id of all that an event says, and of how many equal ones came before it.
pub fn own_id(equal: &mut Equal, event: &Event) -> String {
    let json = |it: &Option<prost_types::Struct>| {
        it.clone().map(|it| Value::Object(structs::to_json(it)).to_string()).unwrap_or_default()
    };
    let at = event.event_time.as_ref().map(|it| format!("{}.{}", it.seconds, it.nanos));
    let base = digest(&[
        &event.r#type,
        &event.user_id,
        &event.anonymous_id,
        &event.event,
        &at.unwrap_or_default(),
        &json(&event.properties),
        &json(&event.context),
        &event.previous_id,
        &event.group_id,
    ]);
    let ordinal = equal.count(&base);
    message_id(&digest(&[&hex(&base), &ordinal.to_string()]))
}

/// A short digest of texts.
pub fn digest(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

/// A digest in letters and figures.
pub fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

/// The message id of a digest.
pub fn message_id(digest: &[u8; 16]) -> String {
    format!("import-{}", hex(digest))
}

/// Counts equal rows among the latest.
#[derive(Debug, Default)]
pub struct Equal {
    counts: HashMap<u64, (u32, u32)>,
    latest: VecDeque<u64>,
}

impl Equal {
    /// How many rows equal to this one came before it.
    pub fn count(&mut self, digest: &[u8; 16]) -> u32 {
        let key = u64::from_be_bytes(digest[..8].try_into().unwrap_or_default());
        let (seen, remembered) = self.counts.entry(key).or_default();
        let ordinal = *seen;
        *seen += 1;
        *remembered += 1;
        self.latest.push_back(key);
        if self.latest.len() > REMEMBERED
            && let Some(oldest) = self.latest.pop_front()
            && let Some((_, remembered)) = self.counts.get_mut(&oldest)
        {
            *remembered -= 1;
            if *remembered == 0 {
                self.counts.remove(&oldest);
            }
        }
        ordinal
    }
}
