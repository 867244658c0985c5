//! What must hold for any file that is imported: shared by the fuzz target and by the test that replays its corpus.

use std::collections::BTreeSet;
use std::sync::Mutex;

use perennial::import::{Dates, Item, Kind, Outcome, Plan, run};
use perennial_types::Timestamp;

const KINDS: [Kind; 4] = [Kind::Orders, Kind::Events, Kind::Profiles, Kind::Catalog];

/// A file whose first byte says what it holds: it is read to its end or refused as a whole, every row is taken or listed
/// with a reason, and reading it again makes the very same items.
pub fn imports(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let kind = KINDS[usize::from(first & 3)];
    let (one, other) = (read(kind, first & 4 != 0, bytes), read(kind, first & 4 != 0, bytes));
    assert_eq!(one, other, "the same file is the same");
}

fn read(kind: Kind, comma: bool, bytes: &[u8]) -> Option<(u64, u64, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let dates = Dates { format: None, zone: jiff::tz::TimeZone::UTC };
    let now = Timestamp::UNIX_EPOCH;
    let currency = Some(perennial_types::Currency::EUR);
    let plan = Plan { kind, path, said: vec![], dates, currency, comma, now, dry_run: false };
    let sent = Mutex::new(Vec::new());
    let send = async |items: Vec<Item>| {
        assert!(items.len() <= 2_500, "more than the edge takes");
        let outcomes = vec![Outcome::Accepted; items.len()];
        sent.lock().unwrap().extend(items);
        Ok(outcomes)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (summary, rejects) = runtime.block_on(run(plan, None, |_, _, _| {}, send)).ok()?;
    let items = sent.into_inner().unwrap();
    assert_eq!(summary.items, items.len() as u64);
    assert!(summary.accepted == summary.items && summary.rejected <= summary.rows);
    assert_eq!(rejects.is_some(), summary.rejected > 0);
    assert!(summary.reasons.iter().all(|(line, reason)| *line > 0 && !reason.is_empty()));
    let ids: BTreeSet<&str> = items
        .iter()
        .filter_map(|it| match it {
            Item::Event(event) if event.message_id.starts_with("import-") => Some(event.message_id.as_str()),
            _ => None,
        })
        .collect();
    let own = |it: &&Item| matches!(it, Item::Event(event) if event.message_id.starts_with("import-"));
    // Rows of one numbered order that lie far apart are told twice, alike; nothing else is.
    assert!(kind == Kind::Orders || ids.len() == items.iter().filter(own).count(), "one id for two events");
    Some((summary.rows, summary.rejected, items.iter().map(|it| format!("{it:?}")).collect()))
}
