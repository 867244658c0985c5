//! Live equals batch: whatever the order in which facts arrive, and whoever turns out to be whom, the scores and the fits are
//! those of a service that was told everything once, in order. And what data can be that teach nothing.

use perennial_scoring::Config;
use perennial_types::{FactKind, OrderChange, Timestamp, from_micros, micros};

use crate::shop::{DAY, Shop, databases, day, orders, placed, profile, refunded};

const FIRST: i64 = 20_000;
const LAST: i64 = 20_200;

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

async fn open(test: &str) -> Shop {
    let config = Config { fit_interval_days: 0, ..Config::default() };
    let shop = Shop::open(databases(test).remove(0), day(FIRST), config).await;
    shop.until(day(LAST)).await;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn late_facts_refunds_and_merges_end_where_a_recomputation_does() {
    for seed in [3_u64, 77_777] {
        let mut draw = Draw(seed);
        // Whose facts are told under another profile, which then is found to be the same person.
        let (known, alias) = (profile(1), profile(9_001));
        let mut facts: Vec<(_, Timestamp, FactKind)> = orders(120, FIRST, LAST);
        let ids: Vec<(usize, String)> = facts
            .iter()
            .enumerate()
            .filter_map(|(n, (_, _, kind))| match kind {
                FactKind::Order(OrderChange::Placed(it)) => Some((n, it.order_id.clone())),
                _ => None,
            })
            .collect();
        for (n, id) in ids {
            let (who, at) = (facts[n].0, facts[n].1);
            let later = from_micros((micros(at) + DAY).min(LAST * DAY));
            match draw.below(12) {
                0 => facts.push((who, later, refunded(&id, None))),
                1 => facts.push((who, later, refunded(&id, Some(700)))),
                2 => facts.push((who, later, FactKind::Order(OrderChange::Cancelled(id)))),
                _ => {}
            }
        }
        let mut straight = facts.clone();
        straight.sort_by_key(|it| micros(it.1));
        let mut shuffled: Vec<(u64, (_, Timestamp, FactKind))> =
            facts.into_iter().map(|it| (draw.below(1 << 40), it)).collect();
        shuffled.sort_by_key(|it| it.0);
        let shuffled: Vec<_> = shuffled
            .into_iter()
            .map(|(key, (who, at, kind))| (if who == known && key % 2 == 0 { alias } else { who }, at, kind))
            .collect();

        let mut live = open("live").await;
        for some in shuffled.chunks(97) {
            live.receive(some.to_vec()).await;
        }
        live.merge(alias, known).await;
        let mut batch = open("batch").await;
        batch.receive(straight).await;
        for n in 0..120 {
            let (one, other) = (live.score(profile(n)).await, batch.score(profile(n)).await);
            assert_eq!(one.unwrap(), other.unwrap(), "seed {seed}, customer {n}");
        }
        assert_eq!(live.summary().await, batch.summary().await);
        let (one, other) = (live.fit("mbg-nbd", "", false).await, batch.fit("mbg-nbd", "", false).await);
        assert_eq!(one.unwrap(), other.unwrap(), "seed {seed}");
        live.close().await;
        batch.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_teach_nothing_are_refused_by_the_service_with_what_to_do() {
    type Facts = Vec<(perennial_types::ProfileId, Timestamp, FactKind)>;
    let once = |n: u32| (profile(n), day(FIRST + i64::from(n % 60)), placed(format!("o{n}"), 2_000));
    let again = |n: u32, after: i64, value: i64| {
        (profile(n), day(FIRST + i64::from(n % 60) + after), placed(format!("p{n}-{after}"), value))
    };
    let cases: [(&str, Facts, &str); 4] = [
        ("no orders at all", vec![], "has no orders: import or track some first"),
        ("one customer, one order", vec![once(1)], "wait for more, or fit several workspaces together"),
        ("all bought once", (0..200).map(once).collect(), "no customer has bought twice"),
        (
            "free orders alone",
            (0..200).flat_map(|n| [again(n, 0, 0), again(n, 9, 0), again(n, 30, 0)]).collect(),
            "value: must be positive",
        ),
    ];
    for (what, facts, advice) in cases {
        let mut shop = open("teach").await;
        if !facts.is_empty() {
            shop.receive(facts).await;
        }
        let refused = shop.fit("auto", "", true).await.unwrap_err();
        assert!(refused.message().contains(advice), "{what}: {refused}");
        shop.close().await;
    }
    // A first order in the future is nobody's yet, and a fit with it is the fit without.
    let mut shop = open("future").await;
    shop.receive(orders(200, FIRST, LAST)).await;
    let cutoff = "2025-02-16";
    let clean = shop.fit("bg-nbd", cutoff, false).await.unwrap();
    shop.receive(vec![(profile(5_000), day(LAST + 90), placed("early", 4_000))]).await;
    let with = shop.fit("bg-nbd", cutoff, false).await.unwrap();
    assert_eq!((with.customer_count, &with.parameters), (clean.customer_count, &clean.parameters));
    // A robot that orders several times a day is one purchase a day, and fits go on.
    let robot = (0..400).map(|n| (profile(6_000), day(FIRST + n % 130), placed(format!("r{n}"), 100)));
    shop.receive(robot.collect()).await;
    let with = shop.fit("bg-nbd", cutoff, false).await.unwrap();
    assert_ne!(with.fit_status, "not_converged");
    assert!(with.parameters.iter().all(|it| it.value.is_finite() && it.value > 0.0), "{with:?}");
    assert_eq!(shop.score(profile(6_000)).await.unwrap().x, 129);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_odd_in_the_data_is_told_with_the_model() {
    for database in crate::shop::databases("odd") {
        let config = perennial_scoring::Config { fit_interval_days: 0, ..Default::default() };
        let mut shop = Shop::open(database, day(FIRST), config).await;
        shop.until(day(LAST)).await;
        shop.receive(orders(200, FIRST, LAST)).await;
        let plain = shop.fit("bg-nbd", "", false).await.unwrap();
        assert_eq!(plain.fit_note, "");
        // A till that sells every day is left out of the fit, and scored.
        let till = (0..=LAST - FIRST).map(|n| (profile(7_000), day(FIRST + n), placed(format!("t{n}"), 900)));
        shop.receive(till.collect()).await;
        let with = shop.fit("bg-nbd", "", true).await.unwrap();
        let note = format!("{:?}", with.fit_note);
        if LAST - FIRST > 100 {
            assert!(with.fit_note.contains("were left out of the fit: no person buys so often"), "{note}");
            assert_eq!(with.parameters, plain.parameters);
        }
        assert!(shop.score(profile(7_000)).await.unwrap().x > 50);
        shop.close().await;
    }
    for database in crate::shop::databases("heavy") {
        let config = perennial_scoring::Config { fit_interval_days: 0, ..Default::default() };
        let mut shop = Shop::open(database, day(FIRST), config).await;
        shop.until(day(LAST)).await;
        // Amounts so uneven that their mean does not exist: each customer's scale is a Pareto draw with a tail of 0.6.
        let uneven = orders(400, FIRST, LAST).into_iter().enumerate().map(|(n, (profile, at, _))| {
            let rank = (profile.0.as_u128() as u32 % 400 + 1) as f64 / 401.0;
            (profile, at, placed(format!("h{n}"), (100.0 * rank.powf(-1.0 / 0.6)) as i64))
        });
        shop.receive(uneven.collect()).await;
        let model = shop.fit("bg-nbd", "", false).await.unwrap();
        let q = model.spend_parameters.iter().find(|it| it.name == "q").unwrap().value;
        assert!(q <= 1.0, "q is {q}");
        assert!(model.fit_note.contains("is valued by the median"), "{}", model.fit_note);
        shop.close().await;
    }
}
