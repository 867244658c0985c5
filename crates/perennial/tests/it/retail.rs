//! A real shop's invoice lines, imported by their own columns: invoices, cancellations and lines worth nothing; held
//! against a count that knows nothing of the import.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::perennial;

fn lines() -> Option<PathBuf> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/online_retail_ii_nonuk_lines.csv");
    if !path.exists() {
        eprintln!("skipped: online_retail_ii_nonuk_lines.csv is not in ../shared/data");
    }
    path.exists().then_some(path)
}

/// What the lines come to, in cents.
#[derive(Debug, Default, PartialEq)]
struct Count {
    rows: u64,
    customers: u64,
    invoices: u64,
    /// Invoices of which something is left.
    orders: u64,
    cancellations: u64,
    revenue: i64,
    /// Revenue less what came back of the orders it was of.
    net: i64,
}

/// Cents of a decimal number with at most two decimals.
fn cents(text: &str) -> i64 {
    let (sign, bare) = text.strip_prefix('-').map_or((1, text), |it| (-1, it));
    let (whole, part) = bare.split_once('.').unwrap_or((bare, ""));
    sign * (whole.parse::<i64>().unwrap() * 100 + format!("{part:0<2}").parse::<i64>().unwrap())
}

/// Counts by hand: everything in memory, invoice by invoice in the order in which they begin.
fn count(path: &Path) -> Count {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let mut found = Count::default();
    let mut began: Vec<String> = Vec::new();
    let mut invoices: HashMap<String, Vec<(String, String, i64, i64)>> = HashMap::new();
    let mut customers = BTreeSet::new();
    for row in reader.deserialize::<HashMap<String, String>>() {
        let row = row.unwrap();
        found.rows += 1;
        customers.insert(row["customer_id"].clone());
        let line = (
            row["customer_id"].clone(),
            row["product"].trim().to_owned(),
            row["quantity"].parse().unwrap(),
            cents(&row["amount"]),
        );
        let lines = invoices.entry(row["invoice"].clone()).or_default();
        if lines.is_empty() {
            began.push(row["invoice"].clone());
        }
        lines.push(line);
    }
    found.customers = u64::try_from(customers.len()).unwrap();
    let mut worth: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut sold: HashMap<(String, String), Vec<(String, i64)>> = HashMap::new();
    for invoice in began {
        let lines = &invoices[&invoice];
        if !invoice.starts_with('C') {
            found.invoices += 1;
            worth.entry(invoice.clone()).or_default().0 = lines.iter().map(|it| it.3).sum();
            for (customer, product, units, _) in lines.iter().filter(|it| it.2 > 0) {
                let key = (customer.clone(), product.clone());
                sold.entry(key).or_default().push((invoice.clone(), *units));
            }
            continue;
        }
        found.cancellations += 1;
        for (customer, product, units, amount) in lines {
            let (mut left, all) = (-units, -units);
            let sales = sold.entry((customer.clone(), product.clone())).or_default();
            let mut told = 0;
            for (order, had) in sales.iter_mut().rev() {
                let taken = left.min(*had);
                if taken > 0 {
                    *had -= taken;
                    left -= taken;
                    let part = if left == 0 { -amount - told } else { (-amount * taken + all / 2) / all };
                    told += part;
                    worth.get_mut(order).unwrap().1 += part;
                }
            }
        }
    }
    found.revenue = worth.values().map(|it| it.0).sum();
    found.net = worth.values().map(|it| (it.0 - it.1).max(0)).sum();
    let counts = |it: &&(i64, i64)| it.0 <= 0 || it.0 - it.1 > 0;
    found.orders = u64::try_from(worth.values().filter(counts).count()).unwrap();
    found
}

#[test]
fn a_real_shops_invoices_and_cancellations_come_to_what_was_counted_by_hand() {
    let Some(path) = lines() else { return };
    let counted = count(&path);
    assert_eq!(
        (counted.rows, counted.invoices, counted.cancellations),
        (33_661, 1_418, 302),
        "the file is another"
    );
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // A copy, since rejected rows would be written beside the file.
    let file = folder.path().join("lines.csv");
    std::fs::copy(&path, &file).unwrap();
    let file = file.to_string_lossy().into_owned();
    let import = || perennial(&data, &["import", "orders", &file, "--currency", "GBP", "-o", "json"]).json();
    let first = import();
    assert_eq!((&first["rows"], &first["rejected"]), (&counted.rows.into(), &0.into()), "{first}");
    let status = || perennial(&data, &["status", "-o", "json"]).json();
    let seen = status();
    assert_eq!(seen["orders"], counted.orders, "{counted:?}: {seen}");
    assert_eq!(seen["revenue_minor"], counted.net, "{counted:?}: {seen}");
    assert_eq!(seen["profiles"], counted.customers, "{counted:?}: {seen}");
    // Every invoice is an order, and every cancellation at least one refund.
    let events = first["accepted"].as_u64().unwrap();
    assert!(events >= counted.invoices + counted.cancellations, "{first}");
    let again = import();
    assert_eq!(
        (&again["accepted"], &again["duplicate"]),
        (&0.into(), &events.into()),
        "the same file changes nothing"
    );
    let after = status();
    for name in ["orders", "revenue_minor", "customers", "profiles"] {
        assert_eq!(seen[name], after[name], "{name}");
    }
}

/// The most memory a command used, in KiB, and its answer.
#[cfg(target_os = "linux")]
fn peak(data: &Path, words: &[&str]) -> (u64, serde_json::Value) {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_perennial"))
        .arg("--data-dir")
        .arg(data)
        .args(words)
        .args(["-o", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    // The system keeps the peak itself; it only has to be read shortly before the end.
    while child.try_wait().unwrap().is_none() {
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let line = told.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.trim().parse().ok());
        most = most.max(kib.unwrap_or_default());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let out = child.wait_with_output().unwrap();
    (most, serde_json::from_slice(&out.stdout).unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_of_eight_times_the_rows_takes_no_more_memory() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let write = |rows: u32| {
        let path = folder.path().join(format!("{rows}.csv"));
        let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        writeln!(out, "customer,date,amount,invoice,note").unwrap();
        for n in 0..rows {
            writeln!(out, "c{},2025-01-05,{}.50,i{},{:0>60}", n / 9, n % 90, n / 3, n).unwrap();
        }
        out.into_inner().unwrap();
        path.to_string_lossy().into_owned()
    };
    let (small, large) = (write(40_000), write(320_000));
    let (few, _) = peak(&data, &["import", "orders", &small, "--dry-run"]);
    let (many, summary) = peak(&data, &["import", "orders", &large, "--dry-run"]);
    assert_eq!(summary["rows"], 320_000);
    assert!(few > 10_000, "{few} KiB");
    // The larger file alone has 27 MiB.
    assert!(many < few + 12 * 1_024, "{few} KiB for one, {many} KiB for eight times as much");
}
