//! Fitting: from purchase days to a model that may serve, or the reason why not.

use perennial_clv::{Fit, FitError, GammaGamma, Kind, Model, Rows};
use perennial_types::{Currency, Timestamp, micros};

use super::customer::PurchaseDay;
use super::hold_out::{self, HoldOut};
use super::ledger::{Ledger, spend, summary, until};
use super::model::{Finding, Fitted, Population, minor_per_major};

/// The kinds that compete for `auto`, the default first.
pub const COMPETITORS: [Kind; 3] = [Kind::ParetoNbd, Kind::MbgNbd, Kind::BgNbd];

/// What is to be fitted.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The kind; none lets a hold-out choose.
    pub kind: Option<Kind>,
    /// The last day whose orders count.
    pub cutoff: i32,
    /// The currency of every amount.
    pub currency: Currency,
    /// Where to start the search.
    pub start: Option<Model>,
    /// When: noted with what a hold-out chose.
    pub at: Timestamp,
}

/// What was fitted, and why it may not be published, if so.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The models and what is known with them.
    pub finding: Finding,
    /// Why it may not serve.
    pub objection: Option<String>,
}

/// Fits a model of transactions and one of value to all orders until the cutoff.
///
/// # Errors
/// If there is nothing to learn from; the message says what to do.
pub fn run(ledger: &Ledger, ask: &Ask) -> Result<Outcome, FitError> {
    let minor = minor_per_major(ask.currency);
    let rows = Rows::new(ledger.customers().filter_map(|it| summary(it, ask.cutoff)));
    let kinds: Vec<Kind> = ask.kind.map_or_else(|| COMPETITORS.to_vec(), |it| vec![it]);
    let hold_out = hold_out::compete(ledger, ask.cutoff, &kinds, ask.start.as_ref());
    // Best first in the hold-out; those that failed there last.
    let mut order: Vec<Kind> = hold_out.iter().flat_map(HoldOut::ranking).collect();
    order.extend(kinds.iter().filter(|it| !order.contains(it)).copied().collect::<Vec<_>>());

    let mut orders: Result<Fit, FitError> = Err(FitError::TooFew { have: 0, need: 2 });
    for kind in order {
        let found = hold_out::search(kind, &rows, ask.start.as_ref());
        let is_sound = found.as_ref().is_ok_and(|it| it.report.is_sound());
        if is_sound || orders.is_err() {
            orders = found;
        }
        if is_sound {
            break;
        }
    }
    let orders = orders?;
    let spends: Vec<_> = ledger.customers().map(|it| spend(it, ask.cutoff, minor)).collect();
    let spend = GammaGamma::fit(&spends)?;
    let objection = objection(&orders, &spend.report, hold_out.as_ref());
    let mut finding = empirical(ledger, ask.cutoff, ask.currency);
    finding.hold_out = hold_out;
    finding.fitted = Some(Fitted { orders, spend });
    if ask.kind.is_none() {
        finding.chosen_at = micros(ask.at);
    }
    Ok(Outcome { finding, objection })
}

fn objection(orders: &Fit, spend: &perennial_clv::Report, hold_out: Option<&HoldOut>) -> Option<String> {
    if !orders.report.is_sound() {
        return Some(format!("the fit of {} did not converge", orders.model.kind()));
    }
    if !spend.is_sound() {
        return Some("the fit of gamma-gamma did not converge".to_owned());
    }
    match hold_out {
        Some(it) => it.objection(orders.model.kind()),
        None => Some(
            "the history is too short to hold anything out: wait until it spans six weeks with 50 customers \
             four weeks before its end"
                .to_owned(),
        ),
    }
}

/// What the orders until the cutoff say without a model.
#[must_use]
pub fn empirical(ledger: &Ledger, cutoff: i32, currency: Currency) -> Finding {
    let (mut customers, mut repeaters) = (0, 0);
    let (mut profit, mut revenue, mut purchases) = (0_i128, 0_i128, 0_u64);
    let mut second: Vec<i32> = Vec::new();
    let mut first_day = cutoff;
    for days in ledger.customers().map(|it| until(it, cutoff)).filter(|it| !it.is_empty()) {
        customers += 1;
        first_day = first_day.min(days[0].day);
        if let [first, next, ..] = days {
            repeaters += 1;
            second.push(next.day - first.day);
        }
        for PurchaseDay { revenue: r, profit: p, .. } in days {
            revenue += i128::from(*r);
            profit += i128::from(*p);
            purchases += 1;
        }
    }
    second.sort_unstable();
    // The nearest-rank quantile; from fewer than ten it would be noise.
    let at = (second.len() * 3).div_ceil(4).saturating_sub(1);
    let second_purchase_days = second.get(at).filter(|_| second.len() >= 10).map(|it| f64::from(*it));
    let population = Population {
        margin: if revenue > 0 { profit as f64 / revenue as f64 } else { 0.0 },
        mean_value: if purchases > 0 { revenue as f64 / purchases as f64 } else { 0.0 },
        second_purchase_days,
    };
    Finding {
        fitted: None,
        population,
        hold_out: None,
        first_day,
        cutoff_day: cutoff,
        customers,
        repeaters,
        currency,
        chosen_at: 0,
    }
}
