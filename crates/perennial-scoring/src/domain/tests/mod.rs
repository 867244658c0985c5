//! Examples and properties of the rules.

mod fits;
mod trees;

use perennial_clv::evaluate::BASELINE;
use perennial_clv::{GammaGamma, History, Kind, Rows, fit as fit_orders};
use perennial_types::{Currency, OrderChange, OrderPlaced, OrderRefunded, Timestamp, from_micros, micros};
use proptest::prelude::*;
use uuid::Uuid;

use crate::Config;
use crate::domain::calendar::{Calendar, date_text, day_of_text};
use crate::domain::customer::{Change, Customer, PurchaseDay, difference};
use crate::domain::edges::{Edges, fifths, shares};
use crate::domain::fit::{self, Ask};
use crate::domain::ledger::{Ledger, spend, summary};
use crate::domain::model::{Finding, Fitted, InForce};
use crate::domain::refine::Wish;
use crate::domain::score::{Cause, Judge, Rules};
use crate::domain::summary::Distribution;
use fits::asked;

const DAY: i64 = 86_400_000_000;

fn rules() -> Rules {
    Config::default().settings().unwrap().rules
}

fn utc() -> Calendar {
    Calendar::of("UTC").unwrap()
}

fn placed(id: &str, revenue: i64) -> OrderChange {
    OrderChange::Placed(OrderPlaced {
        order_id: id.to_owned(),
        currency: Currency::EUR,
        revenue,
        discount: 0,
        profit: revenue / 2,
        cost_known_per_mille: 1_000,
        coupon: None,
        lines: vec![],
    })
}

fn refunded(id: &str, amount: Option<i64>) -> OrderChange {
    OrderChange::Refunded(OrderRefunded { order_id: id.to_owned(), amount })
}

fn at_day(day: i64) -> Timestamp {
    from_micros(day * DAY)
}

fn buyer(days: &[i64]) -> Customer {
    let mut it = Customer::default();
    for (n, day) in days.iter().enumerate() {
        it.apply(Uuid::from_u128(n as u128), at_day(*day), &placed(&n.to_string(), 4_000));
    }
    it
}

/// Customers of a steady shop: some come once, some every so often.
fn shop(customers: i32) -> Ledger {
    let mut ledger = Ledger::default();
    for c in 0..customers {
        // A cheap, fixed scramble: gaps and lives that differ but are the same on every run.
        let mut seed = u64::from(c.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        };
        let rate = -draw().ln() / 30.0;
        let life = -draw().ln() * 150.0;
        let mean = 2_000.0 + 6_000.0 * draw();
        let first = c % 90;
        let (mut t, mut is_first) = (0.0, true);
        let mut last = i32::MIN;
        while t <= life && f64::from(first) + t < 360.0 {
            let day = first + t as i32;
            if day != last {
                let revenue = (mean * (0.5 + draw())) as i64;
                ledger.push(PurchaseDay { day, orders: 1, revenue, profit: revenue * 2 / 5 }, is_first);
                (is_first, last) = (false, day);
            }
            t += -draw().ln() / rate;
        }
    }
    ledger
}

fn in_force(ledger: &Ledger, cutoff: i32) -> InForce {
    let rows = Rows::new(ledger.customers().filter_map(|it| summary(it, cutoff)));
    let spends: Vec<_> = ledger.customers().map(|it| spend(it, cutoff, 100.0)).collect();
    let orders = fit_orders(Kind::MbgNbd, &rows).unwrap();
    let finding = Finding {
        fitted: Some(Fitted { orders, spend: GammaGamma::fit(&spends).unwrap() }),
        ..fit::empirical(ledger, cutoff, Currency::EUR)
    };
    let uncertain = finding.fitted.as_ref().map(|it| it.orders.uncertain());
    InForce { label: "mbg-nbd@1".to_owned(), version: 1, finding, edges: Edges::default(), uncertain }
}

#[test]
fn a_day_is_a_day_of_the_business() {
    let madrid = Calendar::of("Europe/Madrid").unwrap();
    let late = "2026-03-01T23:30:00Z".parse().unwrap();
    assert_eq!(madrid.day(late), utc().day(late) + 1);
    assert_eq!(date_text(utc().day(late)), "2026-03-01");
    assert_eq!(day_of_text("1997-09-30").map(date_text).unwrap(), "1997-09-30");
    assert!(day_of_text("30.9.1997").unwrap_err().contains("2026-03-01"));
    assert!(Calendar::of("Mars/Olympus").unwrap_err().contains("IANA"));
}

#[test]
fn a_refund_changes_amounts_and_a_cancellation_purchases() {
    let mut it = buyer(&[0, 10]);
    let id = Uuid::from_u128(100);
    assert_eq!(it.apply(id, at_day(11), &refunded("1", Some(1_000))), Change::Amounts);
    assert_eq!(it.apply(id, at_day(11), &refunded("1", Some(1_000))), Change::Nothing);
    let figures = it.figures(&utc());
    assert_eq!((figures.orders, figures.revenue, figures.profit, figures.refunds), (2, 7_000, 3_500, 1_000));
    assert_eq!(it.apply(Uuid::from_u128(101), at_day(12), &refunded("1", None)), Change::Purchases);
    let figures = it.figures(&utc());
    assert_eq!((figures.orders, figures.revenue, figures.days.len()), (1, 4_000, 1));
}

#[test]
fn a_customer_of_ten_orders_takes_less_than_two_kilobytes() {
    let days: Vec<i64> = (0..10).map(|it| it * 30 + 10_000).collect();
    let bytes = serde_json::to_string(&buyer(&days)).unwrap().len();
    assert!(bytes < 2_000, "{bytes}");
    assert_eq!(serde_json::to_string(&Customer::default()).unwrap(), "{}");
}

#[test]
fn without_a_model_silence_alone_counts() {
    let (rules, calendar) = (rules(), utc());
    let judge = Judge { rules: &rules, calendar: &calendar, force: None };
    let figures = buyer(&[0, 10]).figures(&calendar);
    let it = judge.instants(&figures.days, None, figures.last.unwrap()).unwrap();
    assert_eq!((it.overdue, it.cause, it.lapse), (at_day(190), Cause::Maximum, at_day(375)));
    let brief = judge.brief(&figures, at_day(20));
    assert_eq!((brief.clv, brief.p_alive, brief.rfm), (None, 0.0, None));
}

#[test]
fn a_second_order_late_for_the_population_is_overdue() {
    let (rules, calendar) = (rules(), utc());
    let ledger = shop(400);
    let finding = fit::empirical(&ledger, 360, Currency::EUR);
    let second = finding.population.second_purchase_days.unwrap();
    let (label, edges) = ("empirical@1".to_owned(), Edges::default());
    let force = InForce { label, version: 1, finding, edges, uncertain: None };
    let judge = Judge { rules: &rules, calendar: &calendar, force: Some(&force) };
    let once = buyer(&[0]).figures(&calendar);
    let it = judge.instants(&once.days, None, once.last.unwrap()).unwrap();
    assert_eq!((it.cause, micros(it.overdue)), (Cause::SecondOrder, (second * DAY as f64) as i64));
    let twice = buyer(&[0, 10]).figures(&calendar);
    assert_eq!(judge.instants(&twice.days, None, twice.last.unwrap()).unwrap().cause, Cause::Maximum);
}

#[test]
fn a_frequent_buyer_is_overdue_sooner_than_a_rare_one() {
    let (rules, calendar, ledger) = (rules(), utc(), shop(400));
    let force = in_force(&ledger, 360);
    let judge = Judge { rules: &rules, calendar: &calendar, force: Some(&force) };
    let overdue = |days: &[i64]| {
        let it = buyer(days).figures(&calendar);
        let instants = judge.instants(&it.days, None, it.last.unwrap()).unwrap();
        assert_eq!(instants.cause, Cause::Rhythm);
        assert!(instants.overdue < instants.lapse);
        micros(instants.overdue) - micros(it.last.unwrap())
    };
    assert!(overdue(&[0, 7, 14, 21, 28, 35, 42]) < overdue(&[0, 60, 120]));
}

#[test]
fn a_customer_who_returns_after_lapsing_is_reactivated() {
    let (rules, calendar) = (rules(), utc());
    let judge = Judge { rules: &rules, calendar: &calendar, force: None };
    assert!(!judge.reactivated(&buyer(&[0])));
    assert!(!judge.reactivated(&buyer(&[0, 364])));
    assert!(judge.reactivated(&buyer(&[0, 365])));
    assert!(!judge.reactivated(&buyer(&[0, 365, 400])), "only the latest order says");
}

#[test]
fn value_grows_with_the_horizon_and_lies_in_its_intervals() {
    let (rules, calendar, ledger) = (rules(), utc(), shop(400));
    let force = in_force(&ledger, 360);
    let judge = Judge { rules: &rules, calendar: &calendar, force: Some(&force) };
    let figures = buyer(&[300, 310, 325, 340, 355]).figures(&calendar);
    let values = judge.values(&figures, at_day(360));
    assert_eq!(values.iter().map(|it| it.months).collect::<Vec<_>>(), [Some(12), Some(24), Some(36), None]);
    assert!(values.windows(2).all(|it| it[0].expected <= it[1].expected), "{values:?}");
    for it in &values {
        let [fifty, eighty, most] = it.intervals.as_slice() else { panic!("three levels") };
        assert!(most.1 <= eighty.1 && eighty.1 <= fifty.1 && fifty.2 <= eighty.2 && eighty.2 <= most.2);
        assert!(most.1 <= it.expected && it.expected <= most.2, "{it:?}");
    }
    let brief = judge.brief(&figures, at_day(360));
    let (clv, low, high) = brief.clv.unwrap();
    assert_eq!((clv, low, high), (values[0].expected, values[0].intervals[1].1, values[0].intervals[1].2));
    assert_eq!(judge.clv(&figures.days, None, 360), Some(clv), "edges and scores are of one kind");
    let next = judge.next_order(&figures, at_day(360)).unwrap();
    assert!(next.at[0] < next.at[1] && next.at[1] < next.at[2] && next.never > 0.0 && next.never < 1.0);
}

#[test]
fn margin_is_the_customers_own_shrunk_to_the_populations() {
    let (rules, calendar, ledger) = (rules(), utc(), shop(400));
    let force = in_force(&ledger, 360);
    let judge = Judge { rules: &rules, calendar: &calendar, force: Some(&force) };
    let margin = |orders: usize| {
        let days: Vec<i64> = (0..orders as i64).map(|it| it * 5).collect();
        let figures = buyer(&days).figures(&calendar);
        judge.margin(&figures.days, 360)
    };
    assert!((force.finding.population.margin - 0.4).abs() < 1e-3);
    assert!(0.4 < margin(1) && margin(1) < margin(10) && margin(10) < 0.5);
}

#[test]
fn the_watch_sees_a_shop_that_changes_and_leaves_a_steady_one_alone() {
    let ledger = shop(600);
    let finding = fit::run(&ledger, &asked(None, 250), |_| false).unwrap().finding;
    let steady = crate::domain::drift::watch(&ledger, &finding, 340).unwrap();
    assert_eq!(steady.weeks.len(), 12);
    assert!(!steady.is_drifting, "{}", steady.verdict());
    // Nobody comes any more.
    let mut empty = Ledger::default();
    for days in ledger.customers() {
        for (n, it) in crate::domain::ledger::until(days, 250).iter().enumerate() {
            empty.push(*it, n == 0);
        }
    }
    let gone = crate::domain::drift::watch(&empty, &finding, 340).unwrap();
    assert!(gone.is_drifting && gone.breaches > 8, "{}", gone.verdict());
    assert!(gone.verdict().ends_with("fit anew"), "{}", gone.verdict());
    let fresh = crate::domain::drift::watch(&ledger, &finding, 252).unwrap();
    assert_eq!((fresh.weeks.len(), fresh.total), (0, None));
}

#[test]
fn ties_share_a_score_and_edges_are_exact() {
    let edges = fifths(vec![1, 1, 1, 1, 1, 1, 2, 3, 4, 9]);
    assert_eq!(edges, [1, 1, 1, 3]);
    let all = Edges { recency: edges.clone(), frequency: edges.clone(), monetary: edges, ..Edges::default() };
    let scores: Vec<u8> = [1, 2, 3, 4, 9].map(|it| all.rfm(it, 1, 1).unwrap().recency).into();
    assert_eq!(scores, [1, 4, 4, 5, 5]);
    assert_eq!(Edges::default().rfm(1, 1, 1), None);
    let edges = Edges { clv: shares(vec![5, 1, 3, 3]), ..Edges::default() };
    assert_eq!([0, 1, 3, 4, 5, 9].map(|it| edges.percentile(it).unwrap()), [0.0, 0.25, 0.75, 0.75, 1.0, 1.0]);
    assert!(shares((0..50_000).collect()).len() <= 1_000);
}

#[test]
fn a_distribution_counts_everybody_once() {
    let it = Distribution::of((1..=1_000).collect()).unwrap();
    assert_eq!(it.bins.iter().map(|it| it.2).sum::<u64>(), 1_000);
    assert_eq!((it.bins.len(), it.median, it.total), (12, 500, 500_500));
    assert!((it.top_fifth_share - 0.36).abs() < 0.01);
    assert_eq!(Distribution::of(vec![]), None);
    assert_eq!(Distribution::of(vec![7; 5]).unwrap().bins.iter().map(|it| it.2).sum::<u64>(), 5);
}

proptest! {
    /// Facts in any order, some twice, in two profiles that merge, give what they give in one pass; and their days are
    /// those that perennial-clv reads.
    #[test]
    fn folding_in_any_order_equals_recomputation(
        facts in prop::collection::vec((0_u8..12, 0_i64..400, 0_u8..6, 1_i64..9_000), 1..30),
        order in prop::collection::vec(any::<u32>(), 60),
    ) {
        let facts: Vec<(Uuid, Timestamp, OrderChange)> = facts.iter().enumerate().map(|(n, (id, day, kind, amount))| {
            let id = format!("A{id}");
            let change = match kind {
                0 => refunded(&id, None),
                1 => OrderChange::Cancelled(id),
                2 => refunded(&id, Some(*amount)),
                _ => placed(&id, *amount),
            };
            (Uuid::from_u128(n as u128), from_micros(day * DAY + n as i64), change)
        }).collect();
        let (rules, calendar) = (rules(), utc());
        let judge = Judge { rules: &rules, calendar: &calendar, force: None };
        let mut straight = Customer::default();
        for (id, at, change) in &facts { straight.apply(*id, *at, change); }
        straight.reactivated = judge.reactivated(&straight);

        let mut shuffled: Vec<_> = facts.iter().chain(&facts).zip(&order).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let (mut one, mut other) = (Customer::default(), Customer::default());
        let mut table: Vec<PurchaseDay> = Vec::new();
        for ((id, at, change), key) in &shuffled {
            let into = if **key % 2 == 0 { &mut one } else { &mut other };
            let before = into.figures(&calendar).days;
            let changed = into.apply(*id, *at, change);
            if changed == Change::Purchases { into.reactivated = judge.reactivated(into); }
            let (written, gone) = difference(&before, &into.figures(&calendar).days);
            if **key % 2 == 0 {
                table.retain(|it| !gone.contains(&it.day) && written.iter().all(|new| new.day != it.day));
                table.extend(written);
            }
        }
        let before = one.figures(&calendar).days;
        table.sort_by_key(|it| it.day);
        prop_assert_eq!(&before, &table, "the table is what the state says");
        if one.merge(other) == Change::Purchases { one.reactivated = judge.reactivated(&one); }
        prop_assert_eq!(&one, &straight);

        let figures = straight.figures(&calendar);
        let mut history = History::new();
        for it in &figures.days { history.add(it.day, it.revenue); }
        for cutoff in [0, 100, 250, 500] {
            // Sums of logarithms are the regular models' alone.
            let theirs = history.summary(cutoff, 7.0).and_then(|it| it.with_ln_gaps(0.0).ok());
            prop_assert_eq!(summary(&figures.days, cutoff), theirs);
            prop_assert_eq!(spend(&figures.days, cutoff, 100.0), history.spend(cutoff, 100.0));
        }
    }
}
