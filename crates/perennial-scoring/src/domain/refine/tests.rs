//! Lenses, seasons and portraits, without a database.

use perennial_clv::{Given, Model, Season, Summary};
use perennial_types::{Currency, OrderChange, OrderLine, OrderPlaced, Properties, Scalar, from_micros};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::customer::Customer;
use crate::domain::fit::{self, Ask};
use crate::domain::ledger::Ledger;
use crate::domain::lens::{PLAIN, moved};
use crate::domain::portrait::{Portrait, Sources, Traits};

fn pareto() -> Model {
    Model::from_params(Kind::ParetoNbd, [("r", 0.55), ("alpha", 10.6), ("s", 0.6), ("beta", 11.7)]).unwrap()
}

/// Customers over five years who buy four times as often in the last two months of a year.
fn christmas() -> Ledger {
    let mut ledger = Ledger::default();
    for c in 0..700_i32 {
        let mut seed = u64::from(c.unsigned_abs() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            ((seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        // Day 18,262 is 2020-01-01.
        let (first, rate) = (18_262 + c * 900 / 700, 0.02 * draw());
        let mut is_next = true;
        for day in first..18_262 + 5 * 365 {
            let is_season = f64::from(day).rem_euclid(365.2425) > 304.0;
            if day == first || draw() < rate * if is_season { 4.0 } else { 1.0 } {
                let it = PurchaseDay { day, orders: 1, revenue: i64::from(2_000 + c), profit: 900 };
                ledger.push(it, is_next);
                is_next = false;
            }
        }
    }
    ledger
}

#[test]
fn a_season_serves_where_it_foretells_quarters_better() {
    let ledger = christmas();
    let ask = |wish| Ask {
        kind: Some(Kind::BgNbd),
        cutoff: 18_262 + 5 * 365,
        currency: Currency::EUR,
        start: None,
        at: from_micros(0),
        wish,
    };
    let found = fit::run(&ledger, &ask(Wish::Compete(Candidate::all())), |_| false).unwrap().finding;
    let refined = found.refined.clone().unwrap();
    assert_eq!(refined.trials.len(), 1, "nothing is known of first orders: {:?}", refined.trials);
    assert!(refined.trials[0].won && refined.trials[0].name == "season", "{:?}", refined.trials);
    let weights = refined.lens.season.as_ref().unwrap().weights().to_vec();
    assert!(weights[11] > 1.8 && weights[10] > 1.5 && weights[4] < 0.9, "{weights:?}");
    // Kept, it is learnt again without trial, and is the same.
    let kept = fit::run(&ledger, &ask(Wish::Keep(Box::new(refined))), |_| false).unwrap().finding;
    assert_eq!(kept.refined, found.refined);
    assert_eq!(kept.fitted, found.fitted);
    let plain = fit::run(&ledger, &ask(Wish::Plain), |_| false).unwrap().finding;
    assert_ne!(plain.fitted, found.fitted);
}

#[test]
fn customers_are_told_apart_by_the_first_order_whatever_arrives_first() {
    let sources = Sources { channel: vec!["medium".to_owned(), "channel".to_owned()], country: vec![] };
    let order = |id: &str, category: &str, coupon: bool| OrderPlaced {
        order_id: id.to_owned(),
        currency: Currency::EUR,
        revenue: 1_000,
        discount: 0,
        profit: 500,
        cost_known_per_mille: 0,
        coupon: coupon.then(|| "WELCOME".to_owned()),
        lines: vec![OrderLine {
            product_id: "P".to_owned(),
            category: Some(category.to_owned()),
            quantity: 2,
            price: 500,
            cost: None,
        }],
    };
    let text = |it: &str| Scalar::Text(it.to_owned());
    let tell = |customer: &mut Customer, n: u128, at: i64, order: &OrderPlaced, channel: &str| {
        let properties: Properties =
            [("channel".to_owned(), text(channel)), ("medium".to_owned(), text(" "))].into();
        let (id, at) = (Uuid::from_u128(n), from_micros(at));
        customer.meet(Portrait::of(id.simple().to_string(), at, order, &properties, &sources));
        customer.apply(id, at, &OrderChange::Placed(order.clone()));
    };
    let told = [(1, 100, order("A", "Tea", true), " Ads "), (2, 200, order("B", "Cups", false), "mail")];
    let mut one = Customer::default();
    let mut other = Customer::default();
    for (n, at, order, channel) in &told {
        tell(&mut one, *n, *at, order, channel);
    }
    for (n, at, order, channel) in told.iter().rev().chain(&told) {
        tell(&mut other, *n, *at, order, channel);
    }
    let expected = Traits {
        channel: Some("ads".to_owned()),
        category: Some("tea".to_owned()),
        country: None,
        coupon: true,
        units: 2,
        value: 1_000,
    };
    assert_eq!(one.traits(), Some(&expected));
    assert_eq!(one, other);
    let mut merged = Customer::default();
    tell(&mut merged, 2, 200, &told[1].2, "mail");
    let mut early = Customer::default();
    tell(&mut early, 1, 100, &told[0].2, " Ads ");
    merged.merge(early);
    assert_eq!(merged, one);
    assert_eq!(one.clone().until(from_micros(150)).traits(), Some(&expected));
    assert_eq!(one.clone().until(from_micros(50)).traits(), None);
    let stored = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Customer>(&stored).unwrap(), one);
    // A state from before portraits were kept takes no later order for the first.
    let mut old = Customer::default();
    old.apply(Uuid::from_u128(1), from_micros(100), &OrderChange::Placed(told[0].2.clone()));
    tell(&mut old, 2, 200, &told[1].2, "mail");
    assert_eq!(old.traits(), None);
}

proptest! {
    #[test]
    fn days_and_weeks_of_a_seasons_clock_are_inverse(
        weights in prop::collection::vec(0.2_f64..4.0, 12),
        from in 0_i32..30_000,
        days in 0.01_f64..20_000.0,
    ) {
        let lens = Lens { season: Some(Season::new(&weights).unwrap()), ..Lens::default() };
        let there = lens.weeks(from, days);
        let back = lens.days(from, there);
        prop_assert!((back - days).abs() < 1e-6 * days.max(1.0), "{} {}", days, back);
        prop_assert_eq!(PLAIN.days(from, PLAIN.weeks(from, 7.0 * days)), 7.0 * (7.0 * days / 7.0));
        let year = lens.weeks(from, 365.2425) * 7.0;
        prop_assert!((year - 365.2425).abs() < 1e-6, "{}", year);
    }

    #[test]
    fn a_newcomer_whom_a_level_moves_up_orders_more_and_a_stack_moves_as_its_members(change in -2.0_f64..2.0, x in 0_u32..20) {
        let history = Summary::new(x, if x > 0 { 20.0 } else { 0.0 }, 30.0).unwrap();
        let (model, other) = (pareto(), moved(&pareto(), change));
        let (before, after) = (model.expected(&history, 52.0), other.expected(&history, 52.0));
        let new = Summary::newborn();
        let (slow, fast) = (model.expected(&new, 52.0), other.expected(&new, 52.0));
        prop_assert!(change.abs() < 1e-9 || (change > 0.0) == (fast > slow), "{} {}", slow, fast);
        prop_assert!(after.is_finite() && before.is_finite() && other.order_within(&history, 10.0, Given::History) <= 1.0);
        let stack = Model::Stack(perennial_clv::Stack::new(&[(0.5, model), (0.5, model)]).unwrap());
        let both = moved(&stack, change).expected(&history, 52.0);
        prop_assert!((both - after).abs() < 1e-9 * after.max(1.0));
    }
}
