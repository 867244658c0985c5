//! The comparison of the arms, in totals.

use super::moments::Moments;
use super::sequence::{adjusted, half_width};

/// One arm: sums for each outcome, over the customers whose window has closed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arm {
    /// Conversions.
    pub conversions: Moments,
    /// Revenue, minor units.
    pub revenue: Moments,
    /// Profit, minor units.
    pub profit: Moments,
    /// Incentives used, minor units.
    pub incentive: f64,
    /// Sum of the profit expected of each in 90 days, at entry, minor units.
    pub expected: f64,
    /// Sum of the shares that were held out when each was drawn.
    pub expected_held_out: f64,
}

/// An effect over all treated customers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effect {
    /// The estimate.
    pub estimate: f64,
    /// Lower end of the always-valid 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The interval leaves zero out, and there is enough to say so.
    pub proven: bool,
    /// The estimate for one customer.
    pub per_customer: f64,
    /// How much variance the adjustment took away, 0 to 1.
    pub reduction: f64,
}

/// What a campaign earned.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Incremental conversions.
    pub conversions: Effect,
    /// Incremental revenue.
    pub revenue: Effect,
    /// Incremental profit.
    pub profit: Effect,
    /// Incremental profit for each unit of incentive; 0 without incentives.
    pub roi: f64,
    /// Probability of arms this uneven if all is well.
    pub ratio_p_value: f64,
    /// They are too uneven to trust anything here.
    pub ratio_alarm: bool,
    /// What is proven about profit, in words without figures.
    pub verdict: &'static str,
}

/// The fewest customers in the smaller arm with which anything is called proven: the interval is asymptotic.
pub const ENOUGH: f64 = 50.0;
/// Below this probability the arms are too uneven.
const RATIO_ALARM: f64 = 0.001;

/// Compares the arms.
#[must_use]
pub fn report(treated: &Arm, held_out: &Arm) -> Report {
    let enough = treated.profit.n >= ENOUGH && held_out.profit.n >= ENOUGH;
    let ratio_p_value = ratio(treated, held_out);
    let ratio_alarm = ratio_p_value < RATIO_ALARM;
    let effect = |a: &Moments, b: &Moments| effect(a, b, enough && !ratio_alarm);
    let profit = effect(&treated.profit, &held_out.profit);
    let verdict = match (ratio_alarm, enough, profit.proven) {
        (true, ..) => "the arms do not fit the share drawn: find out why before trusting this",
        (_, false, _) => "not proven yet: fewer than 50 customers in an arm",
        (_, _, false) => "not proven yet: the interval includes zero",
        _ if profit.estimate > 0.0 => "gains",
        _ => "loses",
    };
    let roi = if treated.incentive > 0.0 { profit.estimate / treated.incentive } else { 0.0 };
    Report {
        conversions: effect(&treated.conversions, &held_out.conversions),
        revenue: effect(&treated.revenue, &held_out.revenue),
        profit,
        roi,
        ratio_p_value,
        ratio_alarm,
        verdict,
    }
}

fn effect(treated: &Moments, held_out: &Moments, trusted: bool) -> Effect {
    let Some(found) = adjusted(treated, held_out) else {
        return Effect::default();
    };
    let width = half_width(found.deviation, treated.n + held_out.n);
    let (low, high) = (found.difference - width, found.difference + width);
    Effect {
        estimate: found.difference * treated.n,
        low: low * treated.n,
        high: high * treated.n,
        proven: trusted && (low > 0.0 || high < 0.0),
        per_customer: found.difference,
        reduction: found.reduction,
    }
}

/// Whether the arms are too uneven to trust anything about them.
pub(super) fn ratio_alarm(treated: &Arm, held_out: &Arm) -> bool {
    ratio(treated, held_out) < RATIO_ALARM
}

/// The chi-square test of the arms' sizes against the shares they were drawn with; 1 where there is nothing to test.
fn ratio(treated: &Arm, held_out: &Arm) -> f64 {
    let n = treated.profit.n + held_out.profit.n;
    let expected = treated.expected_held_out + held_out.expected_held_out;
    if expected <= 0.0 || expected >= n {
        return if held_out.profit.n > expected.ceil() { 0.0 } else { 1.0 };
    }
    let off = held_out.profit.n - expected;
    let chi_square = off * off / expected + off * off / (n - expected);
    tail(chi_square.sqrt())
}

/// The probability that a standard normal lies further from zero than `z`.
fn tail(z: f64) -> f64 {
    // erfc by Numerical Recipes' Chebyshev fit, relative error below 1.2e-7.
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let poly = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let sum = poly.iter().rev().fold(0.0, |sum, it| sum * t + it);
    (t * (-x * x + sum).exp()).clamp(0.0, 1.0)
}
