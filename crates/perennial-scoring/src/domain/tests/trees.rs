//! Boosted trees and uncertain parameters in what is served.

use super::*;
use crate::domain::edges::Edges;
use crate::domain::fit::competitors;
use crate::domain::ledger::{DAYS_PER_WEEK, count_between};
use crate::domain::model::{Registered, Status};
use perennial_clv::Model;

/// The last day that fits see.
const CUTOFF: i32 = 720;

/// A large basket, minor units.
const LARGE: i64 = 8_000;

/// Customers of whom every other one buys large baskets, and ten times as often: what x, t_x and T do not say.
fn large_and_small(customers: i32) -> Ledger {
    let mut ledger = Ledger::default();
    for c in 0..customers {
        let mut seed = u64::from(c.unsigned_abs() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            ((seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        let (first, is_large) = (c * 180 / customers, draw() < 0.5);
        let (often, mean) = if is_large { (0.010, LARGE) } else { (0.001, LARGE / 4) };
        let (rate, life) = (-often * draw().ln(), (-1_200.0 * draw().ln()) as i32);
        for day in first..CUTOFF + 365 {
            if day == first || (day < first + life && draw() < rate) {
                let revenue = mean + i64::from(c % 40) * 5;
                ledger.push(PurchaseDay { day, orders: 1, revenue, profit: revenue / 2 }, day == first);
            }
        }
    }
    ledger
}

fn ask(kind: Option<Kind>, wish: Wish) -> Ask {
    Ask { kind, cutoff: CUTOFF, currency: Currency::EUR, start: None, at: at_day(CUTOFF.into()), wish }
}

fn force(finding: Finding) -> InForce {
    let registered = Registered {
        version: 1,
        status: Status::Published,
        reason: String::new(),
        created_at: at_day(0),
        published_at: None,
        finding,
    };
    InForce::new(registered, Edges::default())
}

#[test]
fn trees_serve_where_they_foretell_better_and_leave_the_level() {
    let ledger = large_and_small(3_000);
    let found = fit::run(&ledger, &ask(None, Wish::Plain), |_| false).unwrap();
    let finding = found.finding;
    assert_eq!((finding.kind().as_str(), found.objection), ("boosted", None), "{:?}", finding.hold_out);
    assert_eq!(finding.hold_out.as_ref().unwrap().boosting, None, "trees are kept once");
    let again: Finding = serde_json::from_str(&serde_json::to_string(&finding).unwrap()).unwrap();
    assert_eq!(again.kind(), finding.kind());

    let (rules, calendar, in_force) = (rules(), utc(), force(again));
    assert_eq!(in_force.label, "boosted@1");
    let judge = Judge { rules: &rules, calendar: &calendar, force: Some(&in_force) };
    let model = in_force.finding.fitted.as_ref().unwrap().orders.model;
    let (mut plain, mut raised) = (0.0, 0.0);
    // What came after the cutoff of those with large baskets and of the others, beside what is said of them.
    let mut told = [[0.0; 3]; 2];
    for days in ledger.customers() {
        let mean = model.expected(&summary(days, CUTOFF).unwrap(), 365.0 / DAYS_PER_WEEK);
        let factor = judge.factor(days, CUTOFF);
        (plain, raised) = (plain + mean, raised + factor * mean);
        let it = &mut told[usize::from(days[0].revenue >= LARGE)];
        for (sum, value) in
            it.iter_mut().zip([f64::from(count_between(days, CUTOFF, CUTOFF + 365)), mean, factor * mean])
        {
            *sum += value;
        }
    }
    assert!((raised / plain - 1.0).abs() < 1e-9, "{raised} {plain}");
    // The trees know the order: the share of each, not the level.
    let share = |i: usize| told[0][i] / (told[0][i] + told[1][i]);
    assert!((share(2) - share(0)).abs() < 0.5 * (share(1) - share(0)).abs(), "{told:?}");

    // One factor in all figures.
    let days = ledger.customers().find(|it| (judge.factor(it, CUTOFF) - 1.0).abs() > 0.2).unwrap();
    let factor = judge.factor(days, CUTOFF);
    let clv = judge.clv(days, None, CUTOFF).unwrap();
    let mut without = in_force.clone();
    without.finding.boosted = None;
    let without = Judge { force: Some(&without), ..judge }.clv(days, None, CUTOFF).unwrap();
    assert!((clv as f64 / without as f64 / factor - 1.0).abs() < 1e-2, "{clv} {without} {factor}");
}

#[test]
fn trees_do_not_compete_where_there_is_little_to_learn_from() {
    assert!(!competitors(1_999).contains(&Kind::Boosted));
    assert!(competitors(2_000).contains(&Kind::Boosted));
    let found = fit::run(&shop(600), &asked(None, 360), |_| false).unwrap().finding;
    assert_eq!(found.hold_out.unwrap().contender(Kind::Boosted), None);
}

#[test]
fn intervals_hold_the_uncertainty_of_parameters() {
    let (rules, calendar, ledger) = (rules(), utc(), shop(150));
    let force = in_force(&ledger, 360);
    assert!(matches!(force.uncertain, Some(Model::Stack(_))), "150 customers tell little");
    let figures = buyer(&[0, 30, 70, 90]).figures(&calendar);
    let mut certain = force.clone();
    certain.uncertain = None;
    let value = |force: &InForce| {
        Judge { rules: &rules, calendar: &calendar, force: Some(force) }.values(&figures, at_day(100))
    };
    for (with, without) in value(&force).iter().zip(value(&certain)) {
        assert_eq!((with.expected, with.orders), (without.expected, without.orders));
        let width = |it: &[(f64, i64, i64)]| it.last().map(|it| it.2 - it.1).unwrap();
        assert!(width(&with.intervals) > width(&without.intervals), "{with:?} {without:?}");
    }
}
