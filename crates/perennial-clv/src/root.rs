//! Instants at which a monotone function of time crosses a level.

use crate::model::Transactions;
use crate::summary::Summary;

/// Times are sought as v = ln(1 + t/scale) up to this, the edge of the floating range.
const FARTHEST: f64 = 690.0;

/// The zero of a monotone function between `low` and `high`: secant steps, with a bisection wherever they do not halve
/// the bracket. Where the signs do not differ, the zero lies so close to an end that rounding hides it: at the end nearer
/// to nought.
pub(crate) fn between(low: f64, high: f64, f: impl FnMut(f64) -> f64) -> f64 {
    between_within(low, high, 0.0, f)
}

/// The same, content where the bracket is no wider than `enough`, or where a chance is met to twelve digits.
pub(crate) fn between_within(mut low: f64, mut high: f64, enough: f64, mut f: impl FnMut(f64) -> f64) -> f64 {
    let (mut f_low, mut f_high) = (f(low), f(high));
    if (f_low > 0.0) == (f_high > 0.0) {
        return if f_low.abs() <= f_high.abs() { low } else { high };
    }
    let mut halve = false;
    for _ in 0..200 {
        let width = high - low;
        if width.abs() <= enough.max(4.0 * f64::EPSILON * low.abs().max(high.abs()))
            || f_low == 0.0
            || f_high == 0.0
        {
            break;
        }
        let secant = low - f_low * width / (f_high - f_low);
        let inside = secant > low.min(high) && secant < low.max(high);
        let middle = if halve || !inside { low + 0.5 * width } else { secant };
        let value = f(middle);
        if enough > 0.0 && value.abs() < 1e-12 {
            return middle;
        }
        if (value > 0.0) == (f_low > 0.0) {
            (low, f_low) = (middle, value);
            // Illinois: the end that stays put loses weight.
            f_high *= 0.5;
        } else {
            (high, f_high) = (middle, value);
            f_low *= 0.5;
        }
        halve = (high - low).abs() > 0.5 * width.abs();
    }
    if f_low == 0.0 { low } else { high }
}

/// The zero of a growing function from its value and slope: Newton steps from `start` inside a bracket that grows
/// tighter, halved where a step leaves it; nothing if there is none up to [`FARTHEST`].
pub(crate) fn newton(start: f64, f: impl Fn(f64) -> (f64, f64)) -> Option<f64> {
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut v = start.clamp(1e-300, FARTHEST);
    for _ in 0..300 {
        let (value, slope) = f(v);
        if value == 0.0 {
            return Some(v);
        }
        if value < 0.0 {
            low = v
        } else {
            high = v
        }
        let step = -value / slope;
        let closed = high.is_finite() && high - low <= 4.0 * f64::EPSILON * high;
        if step.abs() <= 1e-14 * v || closed {
            return Some(v);
        }
        let next = v + step;
        v = if slope > 0.0 && next > low && next < high.min(FARTHEST) {
            next
        } else if high.is_infinite() {
            if v >= FARTHEST {
                return None;
            }
            (2.0 * v).min(FARTHEST)
        } else if low == 0.0 {
            // Towards nought by orders of magnitude.
            v * 0.1
        } else {
            0.5 * (low + high)
        };
    }
    Some(v)
}

/// The first t with f(t) ≥ 0 for a growing f, or nothing; f(0) < 0 is assumed.
fn crossing(scale: f64, f: impl Fn(f64) -> f64) -> Option<f64> {
    let at = |v: f64| scale * v.exp_m1();
    let (mut low, mut high) = (0.0, 0.25);
    while f(at(high)) < 0.0 {
        if high >= FARTHEST {
            return None;
        }
        low = high;
        high = (2.0 * high).min(FARTHEST);
    }
    Some(at(between(low, high, |v| f(at(v)))).min(f64::MAX))
}

/// The q-quantile of the time to the next order for a customer who is alive.
pub(crate) fn next_order(model: &impl Transactions, it: &Summary, q: f64) -> Option<f64> {
    if q <= 0.0 {
        return Some(0.0);
    }
    crossing(model.scale(it), |t| model.order_within_if_alive(it, t) - q)
}

/// The silence after which P(alive) has fallen below the threshold.
pub(crate) fn lapse(
    model: &impl Transactions,
    it: &Summary,
    threshold: f64,
    ln_p_alive: impl Fn(&Summary) -> f64,
) -> Option<f64> {
    let last = it.at_last_purchase();
    if ln_p_alive(&last) < threshold.ln() {
        return Some(0.0);
    }
    let level = threshold.ln();
    crossing(model.scale(&last), |silence| match it.at_age(it.t_x() + silence) {
        Some(later) => level - ln_p_alive(&later),
        None => 1.0,
    })
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn a_crossing_is_found_to_the_last_digits() {
        let root = between(0.0, 50.0, |x: f64| x.exp() - 20.0);
        assert!((root - 20.0_f64.ln()).abs() < 1e-14);
        assert!((between(-1.0, 3.0, |x| (x - 1.0).powi(3)) - 1.0).abs() < 1e-5);
    }
}
