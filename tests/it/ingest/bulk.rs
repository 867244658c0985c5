//! A large file of orders, imported, imported again and exported: rows a second, and the most memory held.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use perennial_types::hash_draw;
use serde_json::Value;

use super::process;
use crate::house::{House, Shape};

/// What an import or an export may hold at most, however long the file is, in MiB: everything runs in the one process.
pub const BOUND: f64 = 640.0;

/// What an import or an export came to.
pub struct Moved {
    pub seconds: f64,
    pub worked: f64,
    /// The most memory held, in MiB.
    pub peak: f64,
    pub said: Value,
}

/// Writes a file of so many orders of a fifth as many people, over three years.
pub fn file(path: &Path, rows: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    writeln!(file, "order,customer,ordered_at,revenue,currency,product,quantity").unwrap();
    let people = (rows / 5).max(1) as f64;
    for n in 0..rows {
        let (who, cents) = (hash_draw("who", &n.to_string()) * people, 500 + n % 9_500);
        let (day, second) = (n * 1_096 / rows, n % 86_400);
        let (year, day) = (2_023 + day / 366, day % 366);
        let (month, day) = (1 + day / 31, 1 + day % 28);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        writeln!(
            file,
            "o{n},c{},{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z,{}.{:02},EUR,p{},{}",
            who as u64,
            cents / 100,
            cents % 100,
            n % 2_000,
            1 + n % 3
        )
        .unwrap();
    }
    file.flush().unwrap();
}

/// Imports or exports a file, in a folder that nothing else uses.
fn run(house: &House, what: &str, file: &Path, say: impl Fn(&str)) -> Moved {
    let began = Instant::now();
    let mut command = house.command();
    command.arg("--data-dir").arg(house.data()).args(["-o", "json", what, "orders"]).arg(file);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut peak, mut worked, mut told) = (0.0_f64, 0.0_f64, Instant::now());
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(process::held(child.id()).unwrap_or_default());
        worked = worked.max(process::worked(child.id()));
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            say(&format!("{what} for {:.0} s, {peak:.0} MiB", began.elapsed().as_secs_f64()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = began.elapsed().as_secs_f64();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the {what} failed");
    assert!(peak < BOUND, "the {what} of {} held {peak:.0} MiB, more than {BOUND}", file.display());
    let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Moved { seconds, worked, peak, said }
}

/// In constant memory: an import, the same again, and exports, each with what it was.
pub fn measure(rows: usize, say: impl Fn(&str)) -> Vec<(&'static str, Moved)> {
    let house = House::new(Shape::One, &[("ingestion.currency", "EUR")]);
    let path = house.folder.path().join("orders.csv");
    file(&path, rows);
    let first = run(&house, "import", &path, &say);
    assert_eq!(first.said["accepted"].as_u64(), Some(rows as u64), "{}", first.said);
    let again = run(&house, "import", &path, &say);
    assert_eq!(again.said["duplicate"].as_u64(), Some(rows as u64), "{}", again.said);
    assert_eq!(again.said["accepted"].as_u64(), Some(0), "{}", again.said);
    let out = |name: &str| run(&house, "export", &house.folder.path().join(name), &say);
    let (csv, parquet) = (out("out.csv"), out("out.parquet"));
    let lines = BufReader::new(File::open(house.folder.path().join("out.csv")).unwrap()).lines();
    assert_eq!(lines.count(), rows + 1, "a header and a row for each order");
    vec![
        ("import of orders", first),
        ("the same file again", again),
        ("export of orders, CSV", csv),
        ("export of orders, Parquet", parquet),
    ]
}
