//! The likelihood and its gradient, differentiated under the integral.

use super::ParetoNbd;
use super::kernel::Kernel;
use crate::rows::Row;
use crate::special::{digamma_rise, ln_rising};
use crate::summary::Summary;

/// ln (r)_x − x ln(α+T) − r ln(1+T/α) − s ln(1+T/β) + ln(1 + odds).
pub(super) fn ln_likelihood(model: &ParetoNbd, it: &Summary) -> f64 {
    let row = Row { x: f64::from(it.x()), t_x: it.t_x(), age: it.age(), weight: 1.0 };
    let mut sums = [0.0; 5];
    accumulate(model, &[row], false, &mut sums);
    sums[0]
}

/// Adds value and gradient by r, α, s, β of many rows onto five sums.
pub(crate) fn add(model: &ParetoNbd, rows: &[Row], sums: &mut [f64]) {
    accumulate(model, rows, true, sums);
}

fn accumulate(model: &ParetoNbd, rows: &[Row], fast: bool, sums: &mut [f64]) {
    let ParetoNbd { r, alpha, s, beta } = *model;
    let (mut at_x, mut rising, mut rise) = (f64::NAN, 0.0, 0.0);
    let mut total = [0.0; 5];
    for row in rows {
        // Rows come sorted by x.
        if row.x != at_x {
            at_x = row.x;
            rising = ln_rising(r, row.x);
            rise = digamma_rise(r, row.x);
        }
        let rho = r + row.x;
        let (orders, dropout) = (alpha + row.age, beta + row.age);
        let (ln_orders, ln_dropout) = ((row.age / alpha).ln_1p(), (row.age / beta).ln_1p());
        let mut value = rising - row.x * orders.ln() - r * ln_orders - s * ln_dropout;
        let mut by_r = rise - ln_orders;
        let mut by_alpha = (r * row.age / alpha - row.x) / orders;
        let mut by_s = -ln_dropout;
        let mut by_beta = s * row.age / (beta * dropout);
        let silence = row.age - row.t_x;
        if silence > 0.0 {
            let kernel = Kernel { rho, s, of_orders: alpha + row.t_x, of_dropout: beta + row.t_x };
            let odds = Odds::new(&kernel, silence, fast);
            let (grown_orders, grown_dropout) =
                ((silence / kernel.of_orders).ln_1p(), (silence / kernel.of_dropout).ln_1p());
            let ln_odds = (s * odds.mass).ln() + rho * grown_orders + s * grown_dropout;
            let small = (-ln_odds.abs()).exp();
            let dead = if ln_odds > 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
            value += ln_odds.max(0.0) + small.ln_1p();
            by_r += dead * (grown_orders - odds.ln_orders);
            by_alpha += dead * rho * (1.0 / orders - odds.one_by_orders);
            by_s += dead * (1.0 / s + grown_dropout - odds.ln_dropout);
            by_beta += dead * (s / dropout - (s + 1.0) * odds.one_by_dropout);
        }
        for (total, it) in total.iter_mut().zip([value, by_r, by_alpha, by_s, by_beta]) {
            *total += row.weight * it;
        }
    }
    for (sum, it) in sums.iter_mut().zip(total) {
        *sum += it;
    }
}

/// The integral and the means under it.
struct Odds {
    mass: f64,
    ln_orders: f64,
    ln_dropout: f64,
    /// Mean of 1/(α+y).
    one_by_orders: f64,
    /// Mean of 1/(β+y).
    one_by_dropout: f64,
}

impl Odds {
    fn new(kernel: &Kernel, silence: f64, fast: bool) -> Self {
        let (mut mass, mut a, mut b, mut c, mut d) = (0.0, 0.0, 0.0, 0.0, 0.0);
        kernel.visit(silence, fast, 0.0, |point| {
            let one_by_dropout = 1.0 / point.dropout;
            let weight = point.mass * one_by_dropout;
            mass += weight;
            a += weight * point.ln_orders;
            b += weight * point.ln_dropout;
            c += weight / point.orders;
            d += weight * one_by_dropout;
        });
        Self {
            mass,
            ln_orders: a / mass,
            ln_dropout: b / mass,
            one_by_orders: c / mass,
            one_by_dropout: d / mass,
        }
    }
}
