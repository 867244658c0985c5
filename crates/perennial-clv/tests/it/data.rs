//! Reads the data sets that lie beside the repository; a test whose data are missing says so and passes.

use perennial_clv::{History, Rows, Spend, Summary};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The text of a data file, or a message and nothing.
pub fn read(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name);
    let text = fs::read_to_string(&path).or_else(|_| fs::read_to_string(own)).ok();
    if text.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    text
}

/// Days since 1970-01-01 of a date as YYYY-MM-DD (Howard Hinnant's days_from_civil).
pub fn day(date: &str) -> i32 {
    let mut parts = date.splitn(3, '-').map(|it| it.parse::<i32>().unwrap());
    let (mut year, month, day) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    year -= i32::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The orders of every customer in an order log with columns customer, date, amount.
pub fn orders(name: &str) -> Option<BTreeMap<u64, History>> {
    let text = read(name)?;
    let mut customers: BTreeMap<u64, History> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let customer = fields.next().unwrap().parse().unwrap();
        let date = day(fields.next().unwrap());
        let amount: f64 = fields.next().unwrap().parse().unwrap_or(0.0);
        customers.entry(customer).or_default().add(date, (amount * 100.0).round() as i64);
    }
    Some(customers)
}

/// The histories in weeks at the end of a day.
pub fn summaries(orders: &BTreeMap<u64, History>, cutoff: &str) -> Vec<Summary> {
    orders.values().filter_map(|it| it.summary(day(cutoff), 7.0)).collect()
}

/// The distinct rows of an order log at a cutoff.
pub fn rows(name: &str, cutoff: &str) -> Option<Rows> {
    Some(Rows::new(summaries(&orders(name)?, cutoff)))
}

/// What customers spent until a cutoff.
pub fn spends(orders: &BTreeMap<u64, History>, cutoff: &str) -> Vec<Spend> {
    orders.values().map(|it| it.spend(day(cutoff), 100.0)).collect()
}

/// One certified optimum.
pub struct Truth {
    pub dataset: String,
    pub model: String,
    pub params: Vec<(String, f64)>,
    pub standard_errors: Vec<(String, f64)>,
    pub ln_likelihood: f64,
}

/// The certified optima.
pub fn truths() -> Option<Vec<Truth>> {
    let all: Vec<serde_json::Value> = serde_json::from_str(&read("truth_params.json")?).unwrap();
    let named = |it: &serde_json::Value| {
        it.as_object().unwrap().iter().map(|(name, it)| (name.clone(), it.as_f64().unwrap())).collect()
    };
    let truth = |it: &serde_json::Value| Truth {
        dataset: it["dataset"].as_str().unwrap().to_owned(),
        model: it["model"].as_str().unwrap().to_owned(),
        params: named(&it["params"]),
        standard_errors: named(&it["se"]),
        ln_likelihood: it["ll"].as_f64().unwrap(),
    };
    Some(all.iter().map(truth).collect())
}

/// The rows a certified optimum of transactions belongs to.
pub fn rows_of(dataset: &str) -> Option<Rows> {
    match dataset {
        "cdnow_sample_39w" => rows("cdnow_sample.csv", "1997-09-30"),
        "cdnow_full_39w" => rows("cdnow_full.csv", "1997-09-30"),
        "grocery_2006" => rows("grocery_elog.csv", "2006-12-31"),
        "apparel_104w" => rows("apparel_trans.csv", "2006-12-31"),
        _ => None,
    }
}
