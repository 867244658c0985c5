//! Replays what fuzzing starts from, and what it has found worth keeping.

#[path = "../../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

#[test]
fn whatever_is_imported_is_taken_or_listed_and_is_the_same_the_second_time() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/imports");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        checks::imports(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 10, "{replayed} in {}", folder.display());
}
