//! Fits and values of simulated customers, CDNOW-like, on a daily grid. One line for each task, columns parted by tabs: who,
//! what, seconds by the clock, seconds of processor, most MiB held meanwhile, parameters found.
//!
//! `cargo run --release -p perennial-clv --example million -- 1000000`; ten million fit into 3 GiB. `make bench` prints it
//! beside Python's `lifetimes`, for which `… -- 1000000 100000 FILE` writes the customers and fits the first 100,000 as well.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use perennial_clv::simulate::Chance;
use perennial_clv::{Fit, GammaGamma, Given, Kind, Model, Rows, Spend, Stack, Summary, Valuation, fit};
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count: usize = arguments.first().map_or(Ok(1_000_000), |it| it.parse())?;
    let few: usize = arguments.get(1).map_or(Ok(0), |it| it.parse())?;
    let model = |kind: Kind, values: [f64; 4]| {
        Model::from_params(kind, kind.parameters().iter().copied().zip(values))
    };
    let truth = model(Kind::BgNbd, [0.2426, 4.4136, 0.7929, 2.4259])?;
    let customers = simulated(&truth, count)?;
    if let Some(path) = arguments.get(2) {
        save(path, &customers)?;
    }
    let n = grouped(count);
    timed(
        &format!("compress, {n}"),
        || Rows::new(customers.iter().copied()),
        |it| format!("{} distinct histories", grouped(it.len())),
    );
    for kind in [Kind::BgNbd, Kind::MbgNbd, Kind::ParetoNbd] {
        fitted(&format!("compress and fit {kind}, {n}"), kind, &customers)?;
    }
    if few > 0 {
        let some = &customers[..few.min(count)];
        fitted(&format!("compress and fit pareto-nbd, {}", grouped(some.len())), Kind::ParetoNbd, some)?;
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
        let kind = orders.kind();
        timed(
            &format!("value with intervals, {n}, {kind}"),
            || valuation.value_all(&customers),
            |_| String::new(),
        );
        let instants = || {
            for (it, _, _) in customers.iter().step_by(10) {
                black_box(orders.next_order_quantile(&it.at_last_purchase(), 0.8, Given::Alive));
                black_box(orders.lapse_after(it, 0.2));
            }
        };
        timed(&format!("next order and lapse, {}, {kind}", grouped(count / 10)), instants, |()| {
            String::new()
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

fn save(path: &str, customers: &[Summary]) -> Result<(), Box<dyn Error>> {
    let mut text = String::from("x,t_x,age\n");
    for it in customers {
        writeln!(text, "{},{},{}", it.x(), it.t_x(), it.age())?;
    }
    Ok(std::fs::write(path, text)?)
}

fn fitted(what: &str, kind: Kind, customers: &[Summary]) -> Result<(), Box<dyn Error>> {
    let found = |it: &Result<Fit, _>| {
        it.as_ref().map_or_else(ToString::to_string, |it: &Fit| {
            let params = it.model.params();
            let params: Vec<String> =
                params.iter().map(|(name, value)| format!("{name} {value:.5}")).collect();
            format!("{}  LL/n {:.6}", params.join(" "), it.report.ln_likelihood / it.report.customers)
        })
    };
    timed(what, || fit(kind, &Rows::new(customers.iter().copied())), found)?;
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> T, found: impl FnOnce(&T) -> String) -> T {
    // The peak starts anew (Linux; elsewhere there is none).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (began, before) = (Instant::now(), processor());
    let result = work();
    let (wall, cpu) = (began.elapsed().as_secs_f64(), processor() - before);
    println!("perennial-clv\t{what}\t{wall:.2}\t{cpu:.2}\t{}\t{}", peak(), found(&result));
    result
}

/// Seconds of processor of this process (Linux; 0 elsewhere).
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The most MiB this process has held since the peak started.
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = text
        .lines()
        .find_map(|it| it.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
    most.unwrap_or(0_u64) / 1024
}

/// 1000000 as 1,000,000.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
