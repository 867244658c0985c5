//! Replays what fuzzing starts from, and what it has found worth keeping.

use perennial_ingestion::checks;
use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 10, "{replayed} in {}", folder.display());
}

#[test]
fn whatever_is_sent_is_understood_or_refused_with_a_reason() {
    replay("bodies", checks::bodies);
}

#[test]
fn whatever_is_applied_as_a_plan_is_read_or_refused_with_its_line() {
    replay("plans", checks::plans);
}
