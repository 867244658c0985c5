//! Fits and scores of a million simulated customers, CDNOW-like, on a daily grid.
//!
//! `cargo bench -p perennial-clv`; names say what is timed.

#![expect(missing_docs, reason = "criterion_group! writes undocumented functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use perennial_clv::simulate::Chance;
use perennial_clv::{GammaGamma, Given, Kind, Model, Rows, Spend, Summary, Valuation, fit};
use std::hint::black_box;
use std::time::Duration;

const CUSTOMERS: usize = 1_000_000;

fn model(kind: Kind, values: [f64; 4]) -> Model {
    let params = kind.parameters().iter().copied().zip(values);
    Model::from_params(kind, params).expect("positive parameters")
}

/// Ages of 190 to 730 days; purchases on whole days, one a day.
fn customers() -> Vec<Summary> {
    let truth = model(Kind::BgNbd, [0.2426, 4.4136, 0.7929, 2.4259]);
    let mut chance = Chance::new(20_050_509);
    (0..CUSTOMERS)
        .map(|_| {
            let days = 190 + (chance.uniform() * 541.0) as u32;
            let mut bought: Vec<u32> = truth
                .simulate(&mut chance, f64::from(days) / 7.0)
                .iter()
                .map(|it| (it * 7.0) as u32 + 1)
                .collect();
            bought.dedup();
            bought.retain(|it| *it <= days);
            let last = bought.last().copied().unwrap_or(0);
            let x = u32::try_from(bought.len()).expect("fewer purchases than days");
            Summary::new(x, f64::from(last) / 7.0, f64::from(days) / 7.0).expect("in order")
        })
        .collect()
}

fn million(c: &mut Criterion) {
    let customers = customers();
    let rows = Rows::new(customers.iter().copied());
    let mut group = c.benchmark_group(format!("1M customers, {} distinct", rows.len()));
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
    group.bench_function("compress", |b| b.iter(|| Rows::new(customers.iter().copied())));
    for kind in [Kind::BgNbd, Kind::MbgNbd, Kind::MbgCnbd(2), Kind::ParetoNbd] {
        group.bench_function(format!("compress and fit {kind}"), |b| {
            b.iter(|| fit(kind, &Rows::new(customers.iter().copied())).expect("there are repeat purchases"));
        });
    }
    let spend = GammaGamma::new(6.25, 3.74, 15.44).expect("positive parameters");
    for orders in [
        model(Kind::BgNbd, [0.2426, 4.4136, 0.7929, 2.4259]),
        model(Kind::ParetoNbd, [0.5533, 10.5777, 0.6062, 11.6687]),
    ] {
        let valuation = Valuation::new(orders, spend, 52.0, 0.002).expect("a horizon");
        group.bench_function(format!("value with intervals, {}", orders.kind()), |b| {
            let customers: Vec<(Summary, Spend, f64)> = (0..40)
                .cycle()
                .zip(&customers)
                .map(|(i, it)| (*it, Spend { x: it.x(), mean: 20.0 + f64::from(i) }, 0.4))
                .collect();
            b.iter(|| black_box(valuation.value_all(&customers)));
        });
        group.bench_function(format!("next order and lapse, {}", orders.kind()), |b| {
            b.iter(|| {
                for it in &customers {
                    black_box(orders.next_order_quantile(&it.at_last_purchase(), 0.8, Given::Alive));
                    black_box(orders.lapse_after(it, 0.2));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, million);
criterion_main!(benches);
