//! Small simulations: the same twice, and reports that hold the truth.

use std::path::Path;

use clap::Parser;
use perennial::cli::{Cli, Command};
use perennial::config::Config;
use perennial::output::Format;
use serde_json::Value;

async fn demo(folder: &Path, words: &str) -> Value {
    let line = format!("perennial demo {words}");
    let Command::Demo(what) = Cli::parse_from(line.split_whitespace()).command else { panic!("{line}") };
    let json = perennial::demo::run(Config::default(), &what, folder, Format::Json).await.unwrap();
    serde_json::from_str(&json).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_with_one_seed_are_identical() {
    let folder = tempfile::tempdir().unwrap();
    let words = "--customers 200 --days 60 --seed 5 --slice 3";
    let mut first = demo(&folder.path().join("a"), words).await;
    let mut second = demo(&folder.path().join("b"), words).await;
    for run in [&mut first, &mut second] {
        assert!(run["mails"].as_u64().unwrap() > 50, "{run}");
        run["seconds"] = 0.into();
    }
    assert_eq!(first, second);
    let other = demo(&folder.path().join("c"), "--customers 200 --days 20 --seed 6 --slice 6").await;
    assert_ne!(first["fingerprint"], other["fingerprint"]);
}

/// How many of `count` simulations have a 95 % interval that holds the truth, by campaign.
async fn covered(count: u64) -> [(&'static str, u64); 2] {
    let folder = tempfile::tempdir().unwrap();
    let mut covered = [("welcome", 0), ("cart", 0)];
    for seed in 0..count {
        let words = format!("--customers 240 --days 40 --seed {} --slice 12", 1_000 + seed);
        let path = folder.path().join(seed.to_string());
        let run = demo(&path, &words).await;
        drop(std::fs::remove_dir_all(&path));
        for (campaign, held) in &mut covered {
            let report = &run["campaigns"][*campaign];
            let (low, high) =
                (report["profit"]["low"].as_f64().unwrap(), report["profit"]["high"].as_f64().unwrap());
            let truth = report["true_profit"].as_f64().unwrap();
            *held += u64::from((low..=high).contains(&truth));
        }
    }
    covered
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_hold_the_truth() {
    for (campaign, held) in covered(20).await {
        assert!(held >= 18, "{campaign}: {held} of 20");
    }
}

/// Run by hand: `cargo test -p perennial --test it --release -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn intervals_hold_the_truth_in_a_hundred_simulations() {
    for (campaign, held) in covered(100).await {
        assert!(held >= 93, "{campaign}: {held} of 100");
    }
}
