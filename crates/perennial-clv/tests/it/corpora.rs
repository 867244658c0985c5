//! Replays what fuzzing has found worth keeping.

#[path = "../../fuzz/checks.rs"]
mod checks;

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
fn every_model_answers_whatever_it_is_asked() {
    replay("models", checks::models);
}

#[test]
fn every_fit_ends_soundly_whatever_the_customers() {
    replay("fits", checks::fits);
}

#[test]
fn histories_are_what_a_recomputation_gives() {
    replay("histories", checks::histories);
}
