//! Fits and values of simulated customers, CDNOW-like, on a daily grid: seconds of processor and of the clock, and the
//! most memory it took.
//!
//! `cargo run --release -p perennial-clv --example million -- 1000000` (ten million fit into 3 GiB).

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use perennial_clv::simulate::Chance;
use perennial_clv::{GammaGamma, Given, Kind, Model, Rows, Spend, Stack, Summary, Valuation, fit};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |it| it.parse())?;
    let model = |kind: Kind, values: [f64; 4]| {
        Model::from_params(kind, kind.parameters().iter().copied().zip(values))
    };
    let truth = model(Kind::BgNbd, [0.2426, 4.4136, 0.7929, 2.4259])?;
    let customers = simulated(&truth, count)?;
    println!("{count} customers simulated; {}", memory());
    let rows = timed("compress", || Rows::new(customers.iter().copied()));
    println!("{} distinct histories", rows.len());
    drop(rows);
    for kind in [Kind::BgNbd, Kind::MbgNbd, Kind::ParetoNbd] {
        let found =
            timed(&format!("compress and fit {kind}"), || fit(kind, &Rows::new(customers.iter().copied())))?;
        println!("    {:?}, log-likelihood {:.3}", found.model.params(), found.report.ln_likelihood);
    }
    if count > 2_000_000 {
        return Ok(());
    }
    let spend = GammaGamma::new(6.25, 3.74, 15.44)?;
    let pareto = model(Kind::ParetoNbd, [0.5533, 10.5777, 0.6062, 11.6687])?;
    let modified = model(Kind::MbgNbd, [0.5248, 6.1831, 0.8914, 1.614])?;
    let nbd = Model::from_params(Kind::Nbd, [("r", 0.385), ("alpha", 12.07)])?;
    let stack = Stack::new(&[(0.2, pareto), (0.3, modified), (0.3, truth), (0.2, nbd)])?;
    let spends = (0..40).cycle().map(|i| 20.0 + f64::from(i));
    let customers: Vec<(Summary, Spend, f64)> =
        customers.iter().zip(spends).map(|(it, mean)| (*it, Spend { x: it.x(), mean }, 0.4)).collect();
    for orders in [truth, pareto, Model::Stack(stack)] {
        let valuation = Valuation::new(orders, spend, 52.0, 0.002)?;
        timed(&format!("value with intervals, {}", orders.kind()), || {
            black_box(valuation.value_all(&customers));
        });
        timed(&format!("next order and lapse of every tenth, {}", orders.kind()), || {
            for (it, _, _) in customers.iter().step_by(10) {
                black_box(orders.next_order_quantile(&it.at_last_purchase(), 0.8, Given::Alive));
                black_box(orders.lapse_after(it, 0.2));
            }
        });
    }
    Ok(())
}

/// Ages of 190 to 730 days; purchases on whole days, one a day.
fn simulated(truth: &Model, count: usize) -> Result<Vec<Summary>, Box<dyn Error>> {
    let mut chance = Chance::new(20_050_509);
    let mut customers = Vec::with_capacity(count);
    for _ in 0..count {
        let days = 190 + (chance.uniform() * 541.0) as u32;
        let times = truth.simulate(&mut chance, f64::from(days) / 7.0);
        let mut bought: Vec<u32> = times.iter().map(|it| (it * 7.0) as u32 + 1).collect();
        bought.dedup();
        bought.retain(|it| *it <= days);
        let last = bought.last().copied().unwrap_or(0);
        let x = u32::try_from(bought.len())?;
        customers.push(Summary::new(x, f64::from(last) / 7.0, f64::from(days) / 7.0)?);
    }
    Ok(customers)
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (began, before) = (Instant::now(), processor());
    let result = work();
    println!(
        "{what}: {:.2} s of processor, {:.2} s by the clock; {}",
        processor() - before,
        began.elapsed().as_secs_f64(),
        memory()
    );
    result
}

/// Seconds of processor of this process (Linux; 0 elsewhere).
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The most memory this process has held.
fn memory() -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    most.map_or_else(String::new, |it| format!("at most {} held", it.trim()))
}
