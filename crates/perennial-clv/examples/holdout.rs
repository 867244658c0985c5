//! Hold-out accuracy of every model, the baselines and the one picked, beside what peers reach.
//!
//! `cargo run --release -p perennial-clv --example holdout -- FOLDER` with the public data sets in a folder, or
//! `… -- orders.csv 1997-09-30 273` for any order log with columns customer, date, amount: the last day that may be seen,
//! and days held out.

#![expect(clippy::print_stdout, reason = "an example shows its result")]
#![expect(clippy::approx_constant, reason = "an error that only looks like π")]

use perennial_clv::History;
use perennial_clv::evaluate::{Backtest, COMPETITORS_BOOSTED, backtest};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// MAE, RMSE, bias %, Spearman, Gini, AUC, decile error %.
type Peer = (&'static str, [f64; 7]);

/// A data set: file, last day seen, last day held out, and what others reach on it.
const SETS: [(&str, &str, &str, &[Peer]); 4] = [
    (
        "cdnow_sample.csv",
        "1997-09-30",
        "1998-06-30",
        &[
            ("lifetimes BG/NBD", [0.785, 1.608, -12.1, 0.449, 0.662, 0.773, 20.6]),
            ("lifetimes MBG/NBD", [0.765, 1.607, -16.2, 0.450, 0.664, 0.773, 23.9]),
            ("lifetimes Pareto/NBD", [0.755, 1.603, -11.5, 0.460, 0.673, 0.779, 34.5]),
            ("LightGBM", [0.944, 1.700, 26.9, 0.428, 0.660, 0.755, 33.9]),
            ("blend Pareto + LightGBM", [0.836, 1.614, 7.7, 0.451, 0.678, 0.771, 11.7]),
        ],
    ),
    (
        "cdnow_full.csv",
        "1997-09-30",
        "1998-06-30",
        &[
            ("lifetimes BG/NBD", [0.819, 1.733, -14.3, 0.442, 0.663, 0.763, 17.6]),
            ("lifetimes MBG/NBD", [0.795, 1.740, -19.1, 0.445, 0.666, 0.765, 29.3]),
            ("lifetimes Pareto/NBD", [0.794, 1.726, -12.9, 0.452, 0.673, 0.769, 33.8]),
            ("LightGBM", [0.954, 1.720, 25.6, 0.454, 0.680, 0.769, 42.0]),
            ("blend Pareto + LightGBM", [0.867, 1.701, 6.4, 0.458, 0.684, 0.772, 7.5]),
        ],
    ),
    (
        "apparel_trans.csv",
        "2006-12-31",
        "2008-12-28",
        &[
            ("lifetimes BG/NBD", [1.220, 1.994, 7.2, 0.568, 0.720, 0.807, 44.7]),
            ("lifetimes MBG/NBD", [1.171, 2.007, 6.7, 0.561, 0.714, 0.802, 22.1]),
            ("lifetimes Pareto/NBD", [1.174, 2.010, 7.7, 0.561, 0.714, 0.802, 28.2]),
            ("LightGBM", [1.542, 2.210, 56.7, 0.511, 0.680, 0.781, 85.3]),
            ("blend Pareto + LightGBM", [1.342, 2.067, 32.2, 0.531, 0.701, 0.792, 51.8]),
        ],
    ),
    (
        "grocery_elog.csv",
        "2006-12-31",
        "2007-12-30",
        &[
            ("lifetimes BG/NBD", [1.577, 3.150, 17.9, 0.633, 0.827, 0.864, 73.5]),
            ("lifetimes MBG/NBD", [1.513, 3.209, 18.8, 0.645, 0.835, 0.873, 34.7]),
            ("lifetimes Pareto/NBD", [1.508, 3.194, 17.8, 0.643, 0.834, 0.871, 31.5]),
            ("BTYDplus MBG/CNBD-2", [1.431, 3.142, 12.3, 0.625, 0.827, 0.858, 43.4]),
            ("LightGBM", [1.512, 3.094, -16.7, 0.695, 0.867, 0.891, 85.5]),
            ("blend Pareto + LightGBM", [1.440, 2.937, 0.5, 0.660, 0.850, 0.881, 28.0]),
        ],
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [folder] => {
            for (file, cutoff, end, peers) in SETS {
                let orders = read(&Path::new(folder).join(file))?;
                let (cutoff, end) = (day(cutoff)?, day(end)?);
                show(file, &backtest(&orders, (cutoff, end - cutoff), &COMPETITORS_BOOSTED, 7.0)?, peers);
            }
        }
        [file, cutoff, days] => {
            let orders = read(Path::new(file))?;
            show(file, &backtest(&orders, (day(cutoff)?, days.parse()?), &COMPETITORS_BOOSTED, 7.0)?, &[]);
        }
        _ => return Err("usage: holdout FOLDER | holdout FILE CUTOFF DAYS".into()),
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<History>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut customers: BTreeMap<&str, History> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let (Some(customer), Some(date)) = (fields.next(), fields.next()) else { continue };
        let amount: f64 = fields.next().and_then(|it| it.parse().ok()).unwrap_or(0.0);
        customers.entry(customer).or_default().add(day(date)?, (amount * 100.0).round() as i64);
    }
    Ok(customers.into_values().collect())
}

/// Days since 1970-01-01 of YYYY-MM-DD.
fn day(date: &str) -> Result<i32, Box<dyn Error>> {
    let part = |range: std::ops::Range<usize>| -> Result<i32, Box<dyn Error>> {
        Ok(date.get(range).ok_or_else(|| format!("{date} is no date"))?.parse()?)
    };
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Ok(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn show(name: &str, it: &Backtest, peers: &[Peer]) {
    println!(
        "\n{name}: {} customers, {} repeat purchases, {} held out ({:.1} % active); {} days forecast",
        it.customers, it.repeat_purchases, it.held_out, it.active_percent, it.horizon
    );
    println!("  picked: {}", it.selection.why);
    let weights: Vec<String> =
        it.selection.weights.iter().map(|it| format!("{} {:.2}", it.kind, it.weight)).collect();
    println!("  stack: {}; level ± {:.1} %", weights.join(", "), 100.0 * it.selection.level.spread);
    println!(
        "  {:<26}{:>9}{:>9}{:>8}{:>8}{:>9}{:>8}{:>8}{:>9}{:>9}{:>8}{:>8}{:>8}",
        "",
        "deviance",
        "MAE med",
        "MAE",
        "RMSE",
        "bias %",
        "Spearm",
        "Gini",
        "AUC",
        "decile %",
        "PIT KS",
        "80 %",
        "totals"
    );
    for line in &it.lines {
        let mark = if line.is_selected { "*" } else { " " };
        let Some(m) = &line.metrics else {
            println!("{mark} {:<26} {}", line.name, line.error.as_deref().unwrap_or("no forecast"));
            continue;
        };
        let measured = line.measured.map_or([None; 4], |it| {
            [Some(it.median_mae), Some(it.pit_distance), Some(it.coverage), Some(it.total_coverage)]
        });
        let [median, pit, coverage, totals] =
            measured.map(|it| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.3}")));
        println!(
            "{mark} {:<26}{:>9.4}{median:>9}{:>8.3}{:>8.3}{:>+9.1}{:>8.3}{:>8.4}{:>8.4}{:>9.1}{pit:>9}{coverage:>8}{totals:>8}",
            line.name,
            m.deviance,
            m.mae,
            m.rmse,
            m.bias_percent,
            m.spearman,
            m.gini,
            m.auc,
            m.decile_error_percent
        );
    }
    for (peer, [mae, rmse, bias, spearman, gini, auc, decile]) in peers {
        println!(
            "  {peer:<26}{:>9}{:>9}{mae:>8.3}{rmse:>8.3}{bias:>+9.1}{spearman:>8.3}{gini:>8.4}{auc:>8.4}{decile:>9.1}",
            "–", "–"
        );
    }
}
