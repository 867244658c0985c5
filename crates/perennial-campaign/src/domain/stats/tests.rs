use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::sequence::{ALPHA, adjusted, half_width};
use super::{Arm, Lift, Moments, measured, report};

struct Shop {
    rng: ChaCha8Rng,
    held_out: f64,
    lift: f64,
}

impl Shop {
    /// One customer: covariates, arm, and profit: mostly nothing, sometimes an order of skewed size.
    fn customer(&mut self) -> ([f64; 2], bool, f64) {
        let value: f64 = -self.rng.random::<f64>().max(1e-12).ln() * 2_000.0;
        let noise: f64 = self.rng.random::<f64>() * 1_000.0;
        let held_out = self.rng.random::<f64>() < self.held_out;
        let chance = (0.05 + value / 40_000.0 + if held_out { 0.0 } else { self.lift }).min(1.0);
        let spend = -self.rng.random::<f64>().max(1e-12).ln() * 3_000.0;
        let profit = if self.rng.random::<f64>() < chance { spend } else { 0.0 };
        ([value, value * 0.7 + noise], held_out, profit)
    }
}

fn at_end_and_always(seed: u64, held_out: f64, lift: f64, customers: usize) -> (bool, bool) {
    let mut shop = Shop { rng: ChaCha8Rng::seed_from_u64(seed), held_out, lift };
    let (mut treated, mut silent) = (Moments::default(), Moments::default());
    let (mut last, mut always) = (false, true);
    for n in 1..=customers {
        let (x, held_out, profit) = shop.customer();
        if held_out {
            silent.add(x, profit)
        } else {
            treated.add(x, profit)
        }
        // Looked at daily, from the first day on which it says anything.
        if n % 50 == 0 && silent.n >= 50.0 && treated.n >= 50.0 {
            let found = adjusted(&treated, &silent).unwrap();
            last = (found.difference - lift * 3_000.0).abs()
                <= half_width(found.deviation, treated.n + silent.n);
            always &= last;
        }
    }
    (last, always)
}

#[test]
fn the_interval_covers_the_truth_in_95_of_100_experiments_at_every_look() {
    for (held_out, lift) in [(0.3, 0.02), (0.05, 0.0)] {
        let runs: Vec<_> = (0..100).map(|seed| at_end_and_always(seed, held_out, lift, 4_000)).collect();
        let (at_end, always) = (runs.iter().filter(|it| it.0).count(), runs.iter().filter(|it| it.1).count());
        assert!(at_end >= 93 && always >= 93, "{held_out}: {at_end} at the end, {always} always");
    }
}

#[test]
fn adjustment_takes_variance_away_and_never_adds_much() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut treated, mut silent) = (Moments::default(), Moments::default());
    for n in 0..4_000 {
        let value = rng.random::<f64>() * 100.0;
        let outcome = value * 2.0 + rng.random::<f64>() * 20.0;
        if n % 5 == 0 { silent.add([value, 0.0], outcome) } else { treated.add([value, 0.0], outcome + 3.0) }
    }
    let found = adjusted(&treated, &silent).unwrap();
    assert!(found.reduction > 0.9, "{found:?}");
    assert!((found.difference - 3.0).abs() < 1.0, "{found:?}");
}

#[test]
fn the_influence_values_have_the_variance_that_the_moments_give() {
    let mut shop = Shop { rng: ChaCha8Rng::seed_from_u64(3), held_out: 0.3, lift: -0.02 };
    let rows: Vec<_> = (0..3_000).map(|_| shop.customer()).collect();
    let (mut treated, mut silent) = (Moments::default(), Moments::default());
    for (x, held_out, y) in &rows {
        if *held_out { silent.add(*x, *y) } else { treated.add(*x, *y) }
    }
    let (slopes1, slopes0) = (treated.slopes(), silent.slopes());
    let line = |arm: &Moments, slopes: &[f64; 2], x: &[f64; 2]| {
        arm.mean() + (0..2).map(|i| slopes[i] * (x[i] - arm.mean_x(i))).sum::<f64>()
    };
    let share = treated.n / (treated.n + silent.n);
    let values: Vec<f64> = rows
        .iter()
        .map(|(x, held_out, y)| {
            let (m1, m0) = (line(&treated, &slopes1, x), line(&silent, &slopes0, x));
            m1 - m0 + if *held_out { -(y - m0) / (1.0 - share) } else { (y - m1) / share }
        })
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / values.len() as f64;
    let found = adjusted(&treated, &silent).unwrap();
    assert!((found.difference - mean).abs() < 1e-6 * mean.abs().max(1.0), "{found:?} {mean}");
    assert!((found.deviation / variance.sqrt() - 1.0).abs() < 0.01, "{found:?} {}", variance.sqrt());
}

#[test]
fn the_boundary_is_tightest_near_its_tuning_and_wider_than_a_single_look() {
    let single = |n: f64| 1.96 / n.sqrt();
    assert!(half_width(1.0, 2_000.0) / single(2_000.0) < 1.6);
    assert!(half_width(1.0, 200.0) / single(200.0) < 2.0);
    assert!(half_width(1.0, 200_000.0) / single(200_000.0) < 2.0);
    assert!(ALPHA > 0.0 && half_width(1.0, 50.0) > single(50.0));
}

#[test]
fn arms_that_do_not_fit_the_share_drawn_raise_an_alarm_and_prove_nothing() {
    let arm = |n: usize, y: f64| {
        let mut arm = Arm::default();
        for i in 0..n {
            let noise = (i % 7) as f64;
            arm.profit.add([noise, 1.0], y + noise);
            arm.conversions.add([noise, 1.0], 1.0);
            arm.revenue.add([noise, 1.0], y);
            arm.expected_held_out += 0.05;
        }
        arm
    };
    let fair = report(&arm(9_500, 100.0), &arm(500, 50.0));
    assert!(!fair.ratio_alarm && fair.profit.proven && fair.verdict == "gains", "{fair:?}");
    assert!((fair.profit.estimate - 50.0 * 9_500.0).abs() < 1_000.0, "{fair:?}");
    let uneven = report(&arm(9_500, 100.0), &arm(700, 50.0));
    assert!(uneven.ratio_alarm && !uneven.profit.proven, "{uneven:?}");
    let small = report(&arm(95, 100.0), &arm(5, 50.0));
    assert!(!small.profit.proven && small.verdict.starts_with("not proven yet"), "{small:?}");
}

fn arm(customers: u32, mean: f64, spread: f64, expected: f64) -> Arm {
    let mut profit = Moments::default();
    for n in 0..customers {
        let off = if n % 2 == 0 { spread } else { -spread };
        profit.add([0.0, 0.0], mean + off);
    }
    let share = 0.5 * f64::from(customers);
    Arm { profit, expected: expected * f64::from(customers), expected_held_out: share, ..Arm::default() }
}

#[test]
fn a_lift_is_incremental_profit_over_what_was_expected() {
    let lift = measured(&arm(400, 130.0, 20.0, 1_000.0), &arm(400, 100.0, 20.0, 1_000.0)).unwrap();
    assert!((lift.share - 0.03).abs() < 1e-9, "{lift:?}");
    // Two arms of 400 with deviation 20: 20·√(1/400 + 1/400) of 1,000.
    assert!((lift.error - 0.001_414).abs() < 1e-5, "{lift:?}");
    let few = measured(&arm(400, 130.0, 20.0, 1_000.0), &arm(49, 100.0, 20.0, 1_000.0));
    assert_eq!(few, None, "too few to say anything");
    assert_eq!(measured(&arm(400, 130.0, 20.0, 0.0), &arm(400, 100.0, 20.0, 0.0)), None);
    let uneven = measured(&arm(600, 130.0, 20.0, 1_000.0), &arm(200, 100.0, 20.0, 1_000.0));
    assert_eq!(uneven, None, "arms that do not fit the share drawn say nothing");
}

#[test]
fn a_measurement_counts_by_how_well_it_is_known() {
    let sure = Lift { share: 0.01, error: 1e-6 };
    assert!((sure.shrunk(0.03) - 0.01).abs() < 1e-6);
    let vague = Lift { share: 0.5, error: 10.0 };
    assert!((vague.shrunk(0.03) - 0.03).abs() < 1e-4);
    // Known as well as what is stated: halfway.
    let even = Lift { share: 0.01, error: 0.03 };
    assert!((even.shrunk(0.03) - 0.02).abs() < 1e-12);
    assert!(Lift { share: -0.04, error: 0.01 }.shrunk(0.03) < 0.0, "what does harm loses");
    assert_eq!(Lift { share: 0.0, error: 0.0 }.shrunk(0.0), 0.0);
}
