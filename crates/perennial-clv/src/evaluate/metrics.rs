//! Numbers that say how forecasts of counts compare with what came.

use serde::{Deserialize, Serialize};

/// A forecast below this counts as this in a deviance: a forecast of exactly nothing would be infinitely wrong.
const LEAST: f64 = 1e-6;

/// One method's forecasts against the hold-out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Customers.
    pub customers: usize,
    /// Mean Poisson deviance, the proper score by which models are chosen.
    pub deviance: f64,
    /// Mean absolute error. It rewards forecasting nothing: for information.
    pub mae: f64,
    /// Root mean squared error.
    pub rmse: f64,
    /// 100 · (Σ forecast / Σ actual − 1).
    pub bias_percent: f64,
    /// Rank correlation, ties sharing their mean rank.
    pub spearman: f64,
    /// Gini of actuals in the order of forecasts, over that in their own order.
    pub gini: f64,
    /// The chance that one who ordered had a higher forecast than one who did not.
    pub auc: f64,
    /// Mean over ten groups by forecast of |Σ forecast − Σ actual| / Σ actual, in percent.
    pub decile_error_percent: f64,
    /// Σ over the same groups of |Σ forecast − Σ actual| over Σ actual: the share of orders put in the wrong group.
    pub misplaced: f64,
    /// Percent of actuals held by the fifth with the highest forecasts.
    pub top_fifth_percent: f64,
}

impl Metrics {
    /// Compares forecasts with actuals, customer by customer; nothing without customers or with lengths that differ.
    #[must_use]
    pub fn new(forecast: &[f64], actual: &[f64]) -> Option<Self> {
        let n = forecast.len();
        if n == 0 || n != actual.len() || forecast.iter().chain(actual).any(|it| !it.is_finite()) {
            return None;
        }
        let count = n as f64;
        let mean = |f: fn(f64, f64) -> f64| {
            forecast.iter().zip(actual).map(|(forecast, actual)| f(*forecast, *actual)).sum::<f64>() / count
        };
        let (sum_forecast, sum_actual) = (forecast.iter().sum::<f64>(), actual.iter().sum::<f64>());
        let order = order_by(forecast);
        let (decile_error_percent, misplaced) = deciles(forecast, actual, &order);
        Some(Self {
            customers: n,
            deviance: mean(poisson_deviance),
            mae: mean(|forecast, actual| (forecast - actual).abs()),
            rmse: mean(|forecast, actual| (forecast - actual).powi(2)).sqrt(),
            bias_percent: ratio(100.0 * (sum_forecast - sum_actual), sum_actual),
            spearman: correlation(&ranks(forecast, &order), &ranks(actual, &order_by(actual))),
            gini: ratio(gini(forecast, actual), gini(actual, actual)),
            auc: auc(forecast, actual, &order),
            decile_error_percent,
            misplaced,
            top_fifth_percent: ratio(
                100.0 * order[n - n.div_ceil(5)..].iter().map(|&i| actual[i]).sum::<f64>(),
                sum_actual,
            ),
        })
    }
}

/// 2·(y ln(y/μ) − (y − μ)): twice the log-likelihood lost against knowing the count.
#[must_use]
pub fn poisson_deviance(forecast: f64, actual: f64) -> f64 {
    let forecast = forecast.max(LEAST);
    let gain = if actual > 0.0 { actual * (actual / forecast).ln() } else { 0.0 };
    2.0 * (gain - (actual - forecast))
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Positions in ascending order of value, equal ones in the order they came.
fn order_by(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    order
}

/// Runs of equal values, as ranges of the order.
fn runs<'a>(values: &'a [f64], order: &'a [usize]) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = *order.get(start)?;
        let length =
            order[start..].iter().take_while(|&&i| values[i].total_cmp(&values[first]).is_eq()).count();
        let range = start..start + length;
        start += length;
        Some(range)
    })
}

fn ranks(values: &[f64], order: &[usize]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    for run in runs(values, order) {
        let shared = 0.5 * (run.start as f64 + run.end as f64 - 1.0);
        for &i in &order[run] {
            ranks[i] = shared;
        }
    }
    ranks
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        aa += (a - mean_a).powi(2);
        bb += (b - mean_b).powi(2);
        ab += (a - mean_a) * (b - mean_b);
    }
    ratio(ab, (aa * bb).sqrt())
}

/// The Gini coefficient of actuals in ascending order of forecast; equal forecasts share their actuals.
fn gini(forecast: &[f64], actual: &[f64]) -> f64 {
    let order = order_by(forecast);
    let n = actual.len() as f64;
    let (mut before, mut area) = (0.0, 0.0);
    for run in runs(forecast, &order) {
        let sum: f64 = order[run.clone()].iter().map(|&i| actual[i]).sum();
        area += (run.end - run.start) as f64 * (before + 0.5 * sum);
        before += sum;
    }
    1.0 - ratio(2.0 * area, n * before)
}

fn auc(forecast: &[f64], actual: &[f64], order: &[usize]) -> f64 {
    let (mut idle_below, mut wins, mut active) = (0.0, 0.0, 0.0);
    for run in runs(forecast, order) {
        let bought = order[run.clone()].iter().filter(|&&i| actual[i] > 0.0).count() as f64;
        let idle = (run.end - run.start) as f64 - bought;
        wins += bought * (idle_below + 0.5 * idle);
        idle_below += idle;
        active += bought;
    }
    if active * idle_below > 0.0 { wins / (active * idle_below) } else { 0.5 }
}

/// Equal forecasts share their actuals, so that the order of the customers does not matter.
fn deciles(forecast: &[f64], actual: &[f64], order: &[usize]) -> (f64, f64) {
    let n = order.len();
    let mut shared = vec![0.0; n];
    for run in runs(forecast, order) {
        let members = &order[run];
        let mean = members.iter().map(|&i| actual[i]).sum::<f64>() / members.len() as f64;
        for &i in members {
            shared[i] = mean;
        }
    }
    let (mut errors, mut groups, mut wrong, mut all) = (0.0, 0.0, 0.0, 0.0);
    for group in 0..10 {
        let members = &order[group * n / 10..(group + 1) * n / 10];
        let (mut sum_forecast, mut sum_actual) = (0.0, 0.0);
        for &i in members {
            sum_forecast += forecast[i];
            sum_actual += shared[i];
        }
        wrong += (sum_forecast - sum_actual).abs();
        all += sum_actual;
        if sum_actual > 0.0 {
            errors += (sum_forecast / sum_actual - 1.0).abs();
            groups += 1.0;
        }
    }
    (100.0 * ratio(errors, groups), ratio(wrong, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_forecasts_have_perfect_scores() {
        let actual = [0.0, 1.0, 0.0, 4.0, 2.0, 7.0, 1.0, 0.0, 3.0, 2.0];
        let it = Metrics::new(&actual, &actual).expect("ten customers");
        assert!(
            (it.gini - 1.0).abs() < 1e-12
                && (it.auc - 1.0).abs() < 1e-12
                && (it.spearman - 1.0).abs() < 1e-12
        );
        assert!(it.mae == 0.0 && it.bias_percent == 0.0 && it.misplaced == 0.0);
        assert_eq!(it.top_fifth_percent, 55.0);
    }

    #[test]
    fn equal_forecasts_order_nothing() {
        let it = Metrics::new(&[1.0; 4], &[0.0, 2.0, 0.0, 2.0]).expect("four customers");
        assert!(it.gini.abs() < 1e-12 && (it.auc - 0.5).abs() < 1e-12 && it.spearman == 0.0);
        assert!((it.deviance - (2.0 * (2.0 * 2.0_f64.ln() - 1.0) + 2.0) / 2.0).abs() < 1e-12);
    }
}
