//! Fitting: from purchase days to a model that may serve, or the reason why not.

use perennial_clv::evaluate::{
    COMPETITORS, COMPETITORS_BOOSTED, Plan, Purchases, Reason, Selection, select_with,
};
use perennial_clv::{Fit, FitError, GammaGamma, InvalidValue, Kind, Model, Rows};
use perennial_types::{Currency, Timestamp, micros};

use super::customer::PurchaseDay;
use super::ledger::{DAYS_PER_WEEK, Days, Ledger, most_days, spend, until};
use super::model::{Finding, Fitted, Population, minor_per_major};
use super::refine::{self, Person, Wish};

/// Customers from which on boosted trees compete: of fewer they have learnt nothing yet that the models had not known.
const LEAST_FOR_TREES: usize = 2_000;

/// The kinds that compete for `auto` among so many customers, the default first.
#[must_use]
pub fn competitors(customers: usize) -> &'static [Kind] {
    if customers < LEAST_FOR_TREES { &COMPETITORS } else { &COMPETITORS_BOOSTED }
}

/// Days that a forecast should be good for, and so what is held out where the history allows.
const HORIZON: i32 = 365;

/// What is to be fitted.
#[derive(Clone, Debug)]
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
    /// What may make the model finer.
    pub wish: Wish,
}

/// What was fitted, and why it may not be published, if so.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The models and what is known with them.
    pub finding: Finding,
    /// Why it may not serve.
    pub objection: Option<String>,
}

/// Why there is no outcome.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// There is nothing to learn from; the message says what to do.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Somebody asked it to stop.
    #[error("the fit was cancelled: nothing has changed")]
    Cancelled,
}

/// How far a fit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// What comes now.
    pub phase: &'static str,
}

/// Fits a model of transactions and one of value to all orders until the cutoff. `stop` hears of each step before it is
/// taken and may end the fit by answering `true`.
///
/// # Errors
/// If there is nothing to learn from, or it was told to stop.
pub fn run(ledger: &Ledger, ask: &Ask, mut stop: impl FnMut(Step) -> bool) -> Result<Outcome, Unfit> {
    let minor = minor_per_major(ask.currency);
    let most = most_days(ledger, ask.cutoff);
    let is_person = |it: &&[PurchaseDay]| until(it, ask.cutoff).len() <= most;
    let mut people: Vec<Days<'_>> = ledger.customers().filter(is_person).map(Days).collect();
    // Nothing that is learnt may depend on anybody's id.
    people.sort_unstable();
    let left_out = ledger.customers().count() - people.len();
    let rows = Rows::new(people.iter().filter_map(|it| it.summary(ask.cutoff, DAYS_PER_WEEK)));
    let kinds: Vec<Kind> = match ask.kind {
        None => competitors(people.len()).to_vec(),
        Some(Kind::Stack) => COMPETITORS.to_vec(),
        Some(Kind::Boosted) => COMPETITORS_BOOSTED.to_vec(),
        Some(kind) => vec![kind],
    };
    let first = people.iter().filter_map(Purchases::first_day).min().unwrap_or(ask.cutoff).min(ask.cutoff);
    let plan = Plan::rolling(first, ask.cutoff, HORIZON, DAYS_PER_WEEK).map_err(FitError::from)?;
    let fitted = kinds.iter().filter(|it| **it != Kind::Boosted).count();
    let mut total = plan.origins.len() * fitted + 2;
    let hold_out = select_with(&people, &kinds, &plan, ask.start.as_ref(), |done, _| {
        stop(Step { done, total, phase: "letting models foretell what is held out" })
    });
    let mut hold_out = hold_out.ok_or(Unfit::Cancelled)?;
    // The one chosen, then the others from the best down.
    let order: Vec<Kind> = match ask.kind {
        Some(kind) => vec![kind],
        None => hold_out.ranking().collect(),
    };
    if stop(Step { done: total - 2, total, phase: "fitting to all orders" }) {
        return Err(Unfit::Cancelled);
    }
    let mut failed = None;
    let mut found = None;
    for kind in order {
        match hold_out.fit(kind, &rows, ask.start.as_ref()) {
            Ok(fit) => {
                found = Some((kind, fit));
                break;
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let Some((mut kind, mut orders)) = found else {
        return Err(failed.unwrap_or(FitError::TooFew { have: 0, need: 2 }).into());
    };
    let mut refined = None;
    if ask.wish != Wish::Plain {
        let persons = ledger.people().filter(|it| is_person(&it.days)).collect();
        let persons: Vec<Person<'_>> = refine::sorted(persons);
        let possible = refine::possible(&ask.wish, &persons, &hold_out, ask.cutoff);
        total += possible.len();
        let tried = |done| {
            let done = total - possible.len() - 1 + done;
            stop(Step { done, total, phase: "letting seasons and first orders make it finer" })
        };
        let (ask, past) = ((&ask.wish, possible.as_slice()), (&hold_out, ask.cutoff));
        let (mut finer, again) =
            refine::refine(&persons, &orders, kind, past, ask, tried).ok_or(Unfit::Cancelled)?;
        // Trees learnt what the plain model misses, and part of that is what makes it finer: of the two the greater gain serves.
        let gives_way =
            kind == Kind::Boosted && finer.gain() <= gain_of_trees(&hold_out, orders.model.kind());
        if gives_way {
            finer.withdraw();
        } else {
            kind = if finer.is_plain() { kind } else { orders.model.kind() };
            orders = again.unwrap_or(orders);
        }
        refined = Some(finer);
    }
    let boosting = hold_out.boosting.take().filter(|_| kind == Kind::Boosted);
    let boosted = boosting.map(|it| it.over(orders.model, &people, (ask.cutoff, HORIZON), DAYS_PER_WEEK));
    if boosted.is_none() && kind == Kind::Boosted {
        kind = orders.model.kind();
    }
    if stop(Step { done: total - 1, total, phase: "fitting what an order is worth" }) {
        return Err(Unfit::Cancelled);
    }
    let spends: Vec<_> = people.iter().map(|it| spend(it.0, ask.cutoff, minor)).collect();
    let spend = GammaGamma::fit(&spends).map_err(|error| worthless(&spends, error))?;
    let has_hold_out = !hold_out.origins.is_empty();
    let objection = objection((kind, &orders), &spend.report, has_hold_out.then_some(&hold_out));
    let mut finding = empirical(ledger, ask.cutoff, ask.currency);
    finding.notes = notes(left_out, most, &spend);
    finding.refined = refined;
    finding.boosted = boosted;
    finding.hold_out = has_hold_out.then_some(hold_out);
    finding.fitted = Some(Fitted { orders, spend });
    if ask.kind.is_none() {
        finding.chosen_at = micros(ask.at);
    }
    Ok(Outcome { finding, objection })
}

/// By how much trees foretold better than the model below them, as the logarithm of the chance given to what came.
fn gain_of_trees(hold_out: &Selection, below: Kind) -> f64 {
    let score = |kind| hold_out.contender(kind).and_then(|it| it.score);
    score(Kind::Boosted).zip(score(below)).map_or(f64::NEG_INFINITY, |(ours, theirs)| ours - theirs)
}

/// Repeat purchases there may be, but none that is worth anything.
fn worthless(spends: &[perennial_clv::Spend], error: FitError) -> FitError {
    let repeaters = spends.iter().filter(|it| it.x > 0).count();
    if repeaters < 2 {
        return error;
    }
    InvalidValue {
        field: "value",
        reason: "must be positive for at least two customers who bought twice",
        value: format!("{repeaters} who did"),
        remedy: "check the amounts of the orders: refunds and free orders teach nothing of value",
    }
    .into()
}

fn notes(left_out: usize, most: usize, spend: &perennial_clv::SpendFit) -> Vec<String> {
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!(
            "{left_out} customers with more than {most} purchase days were left out of the fit: no person buys so often; \
             their own scores are kept"
        ));
    }
    if spend.left_out > 0 {
        notes.push(format!(
            "{} customers whose repeat purchases are worth nothing or less taught nothing of value",
            spend.left_out
        ));
    }
    if !spend.model.has_population_mean() {
        notes.push(
            "the values of orders vary so much that their mean does not exist (q ≤ 1): who has bought once is valued by \
             the median"
                .to_owned(),
        );
    }
    if spend.correlation.abs() > 0.3 {
        notes.push(format!(
            "who buys often spends {} an order (correlation {:.2}), which the model of value does not know",
            if spend.correlation > 0.0 { "more" } else { "less" },
            spend.correlation
        ));
    }
    notes
}

/// What speaks against a model; `kind` is what was fitted, whose limit may be of another one.
fn objection(
    (kind, orders): (Kind, &Fit),
    spend: &perennial_clv::Report,
    hold_out: Option<&Selection>,
) -> Option<String> {
    if !orders.report.is_sound() {
        return Some(format!("the fit of {} did not converge", orders.model.kind()));
    }
    if !spend.is_sound() {
        return Some("the fit of gamma-gamma did not converge".to_owned());
    }
    let Some(hold_out) = hold_out else {
        return Some(
            "the history is too short to hold anything out: wait until it spans six weeks with 50 customers before \
             its last half"
                .to_owned(),
        );
    };
    let it = hold_out.contender(kind)?;
    it.refused.as_ref().map(|reason| refusal(&it.name, reason))
}

/// Why a contender may not be published, in words.
#[must_use]
pub fn refusal(name: &str, reason: &Reason) -> String {
    match reason {
        Reason::Unfitted { error } => {
            format!("{name} could not be fitted at every cutoff of the hold-out: {error}")
        }
        Reason::LosesToBaseline { deviance, baseline } => format!(
            "{name} foretells worse than repeat-last-window: deviance {deviance:.4} against {baseline:.4}"
        ),
        Reason::Uncalibrated { level, misplaced } => format!(
            "{name} foretold {level:.2} times the orders that came in the hold-out, {:.0} % of them in the wrong tenth of \
             customers",
            100.0 * misplaced
        ),
        _ => format!("{name} failed its checks"),
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
        notes: Vec::new(),
        boosted: None,
        refined: None,
    }
}
