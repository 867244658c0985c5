//! Fits: what competes, what is refused, what odd data get.

use super::*;

#[test]
fn a_hold_out_lets_models_compete_with_the_baseline() {
    let ledger = shop(600);
    let ask = Ask {
        kind: None,
        cutoff: 360,
        currency: Currency::EUR,
        start: None,
        at: at_day(360),
        wish: Wish::Plain,
    };
    let found = fit::run(&ledger, &ask, |_| false).unwrap();
    let hold_out = found.finding.hold_out.as_ref().unwrap();
    assert_eq!(found.objection, None, "{hold_out:?}");
    assert_eq!(hold_out.origins.len(), 3);
    assert!(hold_out.contenders.iter().any(|it| it.name == BASELINE));
    assert_eq!(hold_out.contenders[0].name, found.finding.kind(), "the chosen one serves");
    assert_eq!(hold_out.deciles.len(), 10);
    assert_eq!(found.finding.chosen_at, 360 * DAY);
}

#[test]
fn nothing_after_the_cutoff_changes_a_fit() {
    let (all, mut known) = (shop(300), Ledger::default());
    for days in all.customers() {
        for (n, it) in crate::domain::ledger::until(days, 200).iter().enumerate() {
            known.push(*it, n == 0);
        }
    }
    let ask = Ask {
        kind: Some(Kind::MbgNbd),
        cutoff: 200,
        currency: Currency::EUR,
        start: None,
        at: at_day(360),
        wish: Wish::Plain,
    };
    assert_eq!(
        fit::run(&all, &ask, |_| false).unwrap().finding,
        fit::run(&known, &ask, |_| false).unwrap().finding
    );
}

#[test]
fn a_short_history_is_not_published() {
    let ask = Ask {
        kind: Some(Kind::BgNbd),
        cutoff: 30,
        currency: Currency::EUR,
        start: None,
        at: at_day(30),
        wish: Wish::Plain,
    };
    let objection = fit::run(&shop(200), &ask, |_| false).unwrap().objection.unwrap();
    assert!(objection.contains("too short to hold anything out"), "{objection}");
    let nobody = Ask { cutoff: -1, ..ask };
    assert!(fit::run(&shop(200), &nobody, |_| false).is_err());
}

/// A ledger of customers by their days, each purchase of a value.
pub(super) fn ledger_of(customers: impl IntoIterator<Item = Vec<i32>>, value: i64) -> Ledger {
    let mut ledger = Ledger::default();
    for days in customers {
        for (n, day) in days.into_iter().enumerate() {
            ledger.push(PurchaseDay { day, orders: 1, revenue: value, profit: value / 2 }, n == 0);
        }
    }
    ledger
}

pub(super) fn asked(kind: Option<Kind>, cutoff: i32) -> Ask {
    Ask {
        kind,
        cutoff,
        currency: Currency::EUR,
        start: None,
        at: at_day(i64::from(cutoff)),
        wish: Wish::Plain,
    }
}

#[test]
fn data_that_teach_nothing_are_refused_with_what_to_do() {
    let refusal = |ledger: &Ledger, cutoff| {
        fit::run(ledger, &asked(None, cutoff), |_| false).expect_err("nothing to learn").to_string()
    };
    let one = ledger_of([vec![3]], 1_000);
    assert!(refusal(&one, 200).contains("wait for more"), "{}", refusal(&one, 200));
    let once = ledger_of((0..300).map(|c| vec![c % 90]), 1_000);
    assert!(refusal(&once, 200).contains("no customer has bought twice"), "{}", refusal(&once, 200));
    // Their first orders lie in the future.
    assert!(refusal(&once, -5).contains("wait for more"), "{}", refusal(&once, -5));
    let same_day = ledger_of((0..300).map(|_| vec![200]), 1_000);
    assert!(refusal(&same_day, 200).contains("choose a later cutoff"), "{}", refusal(&same_day, 200));
    let free = ledger_of((0..300).map(|c| vec![c % 90, c % 90 + 20]), 0);
    assert!(refusal(&free, 200).contains("value: must be positive"), "{}", refusal(&free, 200));
}

#[test]
fn a_robot_is_left_out_of_the_fit_and_named() {
    let visits = |c: i32| (0..1 + c % 4).map(|n| c % 90 + n * (20 + c % 17)).collect::<Vec<i32>>();
    let clean = ledger_of((0..400).map(visits), 2_000);
    let mut dirty = Ledger::default();
    for days in clean.customers() {
        for (n, it) in days.iter().enumerate() {
            dirty.push(*it, n == 0);
        }
    }
    for day in 0..360 {
        dirty.push(PurchaseDay { day, orders: 60, revenue: 100, profit: 50 }, day == 0);
    }
    let of = |ledger: &Ledger| fit::run(ledger, &asked(Some(Kind::BgNbd), 360), |_| false).unwrap().finding;
    let (clean, dirty) = (of(&clean), of(&dirty));
    let model = |it: &Finding| it.fitted.as_ref().unwrap().orders.model;
    assert_eq!(model(&clean), model(&dirty));
    assert_eq!((clean.customers, dirty.customers), (400, 401), "it is a customer all the same");
    assert!(dirty.notes.iter().any(|it| it.contains("1 customers with more than")), "{:?}", dirty.notes);
}

#[test]
fn values_without_a_mean_are_said_to_be_so_and_still_give_a_value() {
    // From cents to millions, each customer always the same.
    let mut ledger = Ledger::default();
    for c in 0..400_i32 {
        for n in 0..2 + c % 3 {
            let value = 2_i64.pow((c % 28) as u32) * (100 + i64::from((c * 7 + n * 13) % 40));
            let day = c % 90 + n * (15 + c % 11);
            ledger.push(PurchaseDay { day, orders: 1, revenue: value, profit: value / 2 }, n == 0);
        }
    }
    let found = fit::run(&ledger, &asked(Some(Kind::MbgNbd), 300), |_| false).unwrap().finding;
    let spend = &found.fitted.as_ref().unwrap().spend.model;
    assert!(spend.q() <= 1.0, "{spend:?}");
    assert!(found.notes.iter().any(|it| it.contains("q ≤ 1")), "{:?}", found.notes);
    let unknown = spend.expected(&perennial_clv::Spend::UNKNOWN);
    assert!(unknown.is_finite() && unknown > 0.0);
}

#[test]
fn a_fit_can_be_stopped_before_any_step_and_tells_of_each() {
    let ledger = shop(300);
    let mut told = Vec::new();
    fit::run(&ledger, &asked(None, 360), |step| {
        told.push((step.done, step.total));
        false
    })
    .unwrap();
    assert_eq!(told.first(), Some(&(0, 17)));
    assert_eq!(told.last(), Some(&(16, 17)));
    assert!(told.windows(2).all(|it| it[0].0 < it[1].0), "{told:?}");
    for at in [0, 7, 15, 16] {
        let stopped = fit::run(&ledger, &asked(None, 360), |step| step.done == at);
        assert_eq!(stopped.unwrap_err(), fit::Unfit::Cancelled);
    }
}
