//! Forgets cached answers as the service's own feed tells that they changed.

use std::collections::BTreeMap;

use perennial_api::segmentation::v1::SegmentChanged;
use perennial_cache::Cache;
use perennial_feed::{Bell, Cursor, Feed, FeedError, PARTITIONS, PartitionRecords, Record};
use perennial_types::{ProfileId, Workspace};
use prost::Message;
use tokio_util::sync::CancellationToken;

/// Records of a partition that are read at once.
const MOST: usize = 500;

/// Where a profile's stage is kept.
pub fn stage_key(profile: ProfileId) -> String {
    format!("stage/{profile}")
}

/// Where a profile's standing with a segment is kept.
pub fn member_key(profile: ProfileId, segment: &str) -> String {
    format!("member/{profile}/{segment}")
}

/// Forgets until told to stop. A replica forgets what it changes itself; the others forget theirs.
pub async fn run(cache: &Cache, feed: &Feed, bell: &Bell, stop: &CancellationToken) {
    let topics: Vec<_> = (0..PARTITIONS).map(|it| feed.topic(it)).collect();
    let listener = bell.listener("segmentation cache", topics);
    let mut cursors: Vec<Cursor> = Vec::new();
    while !stop.is_cancelled() {
        let more = round(cache, feed, &mut cursors).await.unwrap_or_else(|error| {
            // Answers say until when they are complete, and none is kept for more than a minute.
            tracing::warn!(%error, "cached answers may be late");
            cursors.clear();
            false
        });
        if !more {
            tokio::select! {
                () = stop.cancelled() => {}
                () = listener.idle(None) => {}
            }
        }
    }
}

/// Reads on once; whether there is more.
async fn round(cache: &Cache, feed: &Feed, cursors: &mut Vec<Cursor>) -> Result<bool, FeedError> {
    // While nobody reads through the cache there is nothing to forget: only the places move on.
    let is_untouched = cache.is_untouched();
    if cursors.is_empty() || is_untouched {
        let end = |partition| Cursor { partition, after_seq: u64::MAX, complete_after: None };
        let heads = feed.read(&(0..PARTITIONS).map(end).collect::<Vec<_>>(), 1).await?;
        let at = |it: PartitionRecords| Cursor {
            partition: it.partition,
            after_seq: it.head_seq,
            complete_after: None,
        };
        *cursors = heads.into_iter().map(at).collect();
        if is_untouched {
            return Ok(false);
        }
    }
    let mut more = false;
    let mut keys: BTreeMap<Workspace, Vec<String>> = BTreeMap::new();
    let news = feed.read(cursors, MOST).await?;
    for (cursor, news) in cursors.iter_mut().zip(news) {
        for record in news.records {
            cursor.after_seq = record.seq;
            if let Some(key) = key(&record) {
                keys.entry(record.workspace).or_default().push(key);
            }
        }
        more |= cursor.after_seq < news.head_seq;
    }
    for (workspace, keys) in keys {
        cache.forget(&workspace, &keys).await;
    }
    Ok(more)
}

/// Where the answer is kept that a record changes.
fn key(record: &Record) -> Option<String> {
    match &*record.kind {
        "stage_changed" => Some(stage_key(record.profile)),
        "segment_changed" => {
            let changed = SegmentChanged::decode(record.payload.as_ref()).ok()?;
            Some(member_key(record.profile, &changed.segment))
        }
        _ => None,
    }
}
