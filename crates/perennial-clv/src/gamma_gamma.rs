//! The Gamma-Gamma model of spend per order (Fader, Hardie and Lee 2005; Fader and Hardie 2013).
//!
//! An order is worth Gamma(p, ν), ν ~ Gamma(q, γ) over customers, independent of how often they order.

use crate::error::{FitError, InvalidValue};
use crate::fit::Report;
use crate::root;
use crate::search::Problem;
use crate::special::{digamma, digamma_rise, gamma_inc, ln_gamma, ln_rising};
use serde::{Deserialize, Serialize};

/// What one customer spent: the mean over `x` orders, in any currency unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spend {
    /// How many orders the mean is over (in the literature the repeat purchases); 0 for nothing known.
    pub x: u32,
    /// The mean net value of those orders; not read for `x` = 0.
    pub mean: f64,
}

impl Spend {
    /// Nothing known: the population speaks.
    pub const UNKNOWN: Self = Self { x: 0, mean: 0.0 };

    /// Whether the model can learn from it; returns and free orders can leave a mean that is not positive.
    fn is_usable(&self) -> bool {
        self.x > 0 && self.mean.is_finite() && self.mean > 0.0
    }

    /// Σ value over the orders, 0 where the model cannot use it.
    fn total(&self) -> (f64, f64) {
        if self.is_usable() { (f64::from(self.x), f64::from(self.x) * self.mean) } else { (0.0, 0.0) }
    }
}

/// The Gamma-Gamma model: shapes p and q, scale gamma in the unit of money.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct GammaGamma {
    p: f64,
    q: f64,
    gamma: f64,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    p: f64,
    q: f64,
    gamma: f64,
}

impl TryFrom<Raw> for GammaGamma {
    type Error = InvalidValue;

    fn try_from(raw: Raw) -> Result<Self, InvalidValue> {
        Self::new(raw.p, raw.q, raw.gamma)
    }
}

impl From<GammaGamma> for Raw {
    fn from(it: GammaGamma) -> Self {
        Self { p: it.p, q: it.q, gamma: it.gamma }
    }
}

/// A fitted Gamma-Gamma model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpendFit {
    /// The model.
    pub model: GammaGamma,
    /// How it was found.
    pub report: Report,
    /// Customers left out because their mean spend is not positive.
    pub left_out: usize,
    /// The correlation of orders with mean spend, which the model takes to be none; look closer above 0.3.
    pub correlation: f64,
}

#[derive(Clone, Copy)]
struct Row {
    x: f64,
    mean: f64,
    weight: f64,
}

impl GammaGamma {
    /// The model with these parameters.
    ///
    /// # Errors
    /// Unless each is positive and finite.
    pub fn new(p: f64, q: f64, gamma: f64) -> Result<Self, InvalidValue> {
        Ok(Self {
            p: InvalidValue::positive("p", p)?,
            q: InvalidValue::positive("q", q)?,
            gamma: InvalidValue::positive("gamma", gamma)?,
        })
    }

    /// The shape p of one order's value.
    #[must_use]
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The shape q of the customers' scales.
    #[must_use]
    pub fn q(&self) -> f64 {
        self.q
    }

    /// The scale γ, in the unit of money.
    #[must_use]
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// Fits to what customers spent; those with `x` = 0 or a mean that is not positive are left out.
    ///
    /// # Errors
    /// With fewer than two customers to learn from.
    pub fn fit(customers: &[Spend]) -> Result<SpendFit, FitError> {
        let mut rows: Vec<Row> = customers
            .iter()
            .filter(|it| it.is_usable())
            .map(|it| Row { x: f64::from(it.x), mean: it.mean, weight: 1.0 })
            .collect();
        let left_out = customers.iter().filter(|it| it.x > 0 && !it.is_usable()).count();
        let n = rows.len();
        if n < 2 {
            return Err(FitError::TooFew { have: n, need: 2 });
        }
        rows.sort_unstable_by(|a, b| a.x.total_cmp(&b.x).then(a.mean.total_cmp(&b.mean)));
        let correlation = correlation(&rows);
        rows.dedup_by(|next, kept| {
            let same = next.x.to_bits() == kept.x.to_bits() && next.mean.to_bits() == kept.mean.to_bits();
            if same {
                kept.weight += next.weight;
            }
            same
        });
        let scale = rows.iter().map(|it| it.weight * it.mean).sum::<f64>() / n as f64;
        let scaled: Vec<Row> = rows.iter().map(|it| Row { mean: it.mean / scale, ..*it }).collect();
        let names = ["p", "q", "gamma"];
        // Mean spend is 1 in this scale: γ = (q − 1)/p.
        let starts = [[6.0, 4.0], [1.5, 2.5], [20.0, 8.0], [0.7, 1.5]]
            .map(|[p, q]: [f64; 2]| vec![p.ln(), q.ln(), ((q - 1.0) / p).ln()]);
        let add = |values: &[f64], rows: &[Row], sums: &mut [f64]| {
            Self { p: values[0], q: values[1], gamma: values[2] }.add(rows, sums);
        };
        let searched = Problem { names: &names, positive: 3, add }
            .search(&scaled, &starts)
            .ok_or_else(|| FitError::NotFinite { model: "gamma-gamma".to_owned(), field: "mean" })?;
        let at = &searched.found.at;
        let values = [at[0].exp(), at[1].exp(), at[2].exp() * scale];
        let model = Self::new(values[0], values[1], values[2])?;
        let mut report = Report::new(&names, &values, 3, searched, (n as f64, rows.len()));
        report.ln_likelihood -= n as f64 * scale.ln();
        Ok(SpendFit { model, report, left_out, correlation })
    }

    /// ln (px)_q − ln Γ(q) − q ln(1 + xm/γ) − px ln(1 + γ/(xm)) − ln m, and the derivatives by p, q, γ.
    fn add(&self, rows: &[Row], sums: &mut [f64]) {
        let Self { p, q, gamma } = *self;
        let (ln_gamma_q, digamma_q) = (ln_gamma(q), digamma(q));
        for &Row { x, mean, weight } in rows {
            let (px, total) = (p * x, x * mean);
            let (ln_q, ln_p) = ((total / gamma).ln_1p(), (gamma / total).ln_1p());
            // (px)_q and not Γ(px + q): with q or px large the plain difference cancels.
            let (value, rise_px, psi_q) = if px > q {
                let rise = digamma_rise(px, q);
                (ln_rising(px, q) - ln_gamma_q, rise, rise + digamma(px) - digamma_q)
            } else {
                let rise = digamma_rise(q, px);
                (ln_rising(q, px) - ln_gamma(px), rise + digamma_q - digamma(px), rise)
            };
            sums[0] += weight * (value - q * ln_q - px * ln_p - mean.ln());
            sums[1] += weight * x * (rise_px - ln_p);
            sums[2] += weight * (psi_q - ln_q);
            sums[3] += weight * (q * total / gamma - px) / (gamma + total);
        }
    }

    /// The log-likelihood of one customer's mean; nothing for one the model cannot use.
    #[must_use]
    pub fn ln_likelihood(&self, it: &Spend) -> Option<f64> {
        let mut sums = [0.0; 4];
        it.is_usable().then(|| {
            self.add(&[Row { x: f64::from(it.x), mean: it.mean, weight: 1.0 }], &mut sums);
            sums[0]
        })
    }

    /// The customer's posterior: shape q + px and scale γ + xm of ν.
    pub(crate) fn posterior(&self, it: &Spend) -> (f64, f64) {
        let (x, total) = it.total();
        (self.q + self.p * x, self.gamma + total)
    }

    /// The expected value of this customer's next order: p(γ+xm)/(q+px−1), a mean of the customer's own and the
    /// population's. Where that mean does not exist (q + px ≤ 1) the median of the customer's mean value is given.
    #[must_use]
    pub fn expected(&self, it: &Spend) -> f64 {
        let (shape, scale) = self.posterior(it);
        let mean = self.p * scale / (shape - 1.0);
        if shape > 1.0 && mean.is_finite() {
            return mean;
        }
        let ln_median = root::between(-800.0, 5.0, |y: f64| gamma_inc(shape, y.exp()) - 0.5);
        (self.p * scale * (-ln_median).exp()).min(f64::MAX)
    }

    /// Whether a mean exists for customers of whom nothing is known (q > 1).
    #[must_use]
    pub fn has_population_mean(&self) -> bool {
        self.q > 1.0
    }
}

fn correlation(rows: &[Row]) -> f64 {
    let n = rows.len() as f64;
    let mean = |f: fn(&Row) -> f64| rows.iter().map(f).sum::<f64>() / n;
    let (x, m) = (mean(|it| it.x), mean(|it| it.mean));
    let (mut xx, mut mm, mut xm) = (0.0, 0.0, 0.0);
    for it in rows {
        xx += (it.x - x).powi(2);
        mm += (it.mean - m).powi(2);
        xm += (it.x - x) * (it.mean - m);
    }
    if xx > 0.0 && mm > 0.0 { xm / (xx * mm).sqrt() } else { 0.0 }
}
