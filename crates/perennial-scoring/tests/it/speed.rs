//! How fast orders become scores. Run by hand: `cargo test -p perennial-scoring --release -- --ignored --nocapture`.

use std::time::Instant;

use perennial_scoring::Config;
use perennial_types::FactKind;

use crate::shop::{Shop, databases, day, orders, profile};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn orders_a_second() {
    for database in databases("speed") {
        let config = Config { fit_interval_days: 0, ..Config::default() };
        let mut shop = Shop::open(database, day(20_000), config).await;
        shop.until(day(20_360)).await;
        let facts = orders(10_000, 20_000, 20_300);
        let count = facts.len();
        let began = Instant::now();
        shop.receive(facts).await;
        let took = began.elapsed().as_secs_f64();
        eprintln!("without a model: {count} orders in {took:.2} s, {:.0} orders/s", count as f64 / took);
        for kind in ["bg-nbd", "mbg-nbd", "pareto-nbd"] {
            let began = Instant::now();
            shop.fit(kind, "", false).await.unwrap();
            eprintln!("fit of {kind} with its hold-out: {:.2} s", began.elapsed().as_secs_f64());
        }
        let began = Instant::now();
        let model = shop.fit("auto", "", true).await.unwrap();
        eprintln!("fit, hold-out and re-scoring: {} in {:.2} s", model.name, began.elapsed().as_secs_f64());
        let facts: Vec<_> = (0..20_u32)
            .flat_map(|round| {
                orders(1_000, 20_340, 20_360)
                    .into_iter()
                    .map(move |(it, at, kind)| (it, at, renamed(kind, round)))
            })
            .collect();
        let count = facts.len();
        let began = Instant::now();
        shop.receive(facts).await;
        let took = began.elapsed().as_secs_f64();
        eprintln!("with a model: {count} orders in {took:.2} s, {:.0} orders/s", count as f64 / took);
        let viewed = |n: u32| FactKind::ProductViewed { product_id: n.to_string() };
        let facts: Vec<_> = (0..50_000).map(|n| (profile(n % 5_000), day(20_350), viewed(n))).collect();
        let began = Instant::now();
        shop.receive(facts).await;
        let took = began.elapsed().as_secs_f64();
        eprintln!("what is no order: {:.0} facts/s", 50_000.0 / took);
        shop.close().await;
    }
}

/// How fast everybody is scored by a new model: the time of a fit that is published less that of one that is not.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rescored_customers_a_second() {
    for customers in [20_000_u32, 100_000] {
        for database in databases("rescore") {
            let config = Config { fit_interval_days: 0, refine: vec![], ..Config::default() };
            let mut shop = Shop::open(database, day(20_000), config).await;
            shop.until(day(20_360)).await;
            let all = orders(customers, 20_000, 20_360);
            let begun = orders(customers, 20_000, 20_300).len();
            shop.receive(all.into_iter().take(begun).collect()).await;
            for kind in ["mbg-nbd", "bg-nbd"] {
                let began = Instant::now();
                shop.fit(kind, "", false).await.unwrap();
                let fit = began.elapsed().as_secs_f64();
                let began = Instant::now();
                let model = shop.fit(kind, "", true).await.unwrap();
                shop.quiet().await;
                let both = began.elapsed().as_secs_f64();
                let took = (both - fit).max(1e-3);
                eprintln!(
                    "{customers} customers, {}: fit {fit:.2} s, re-scored in {took:.2} s, {:.0} a second",
                    model.kind,
                    f64::from(customers) / took
                );
            }
            shop.close().await;
        }
    }
}

fn renamed(kind: FactKind, round: u32) -> FactKind {
    let FactKind::Order(perennial_types::OrderChange::Placed(mut it)) = kind else { return kind };
    it.order_id = format!("{round}-{}", it.order_id);
    FactKind::Order(perennial_types::OrderChange::Placed(it))
}
