//! Static covariates: what is known of a customer before they have bought much (channel, first basket, segment).
//!
//! Pareto/NBD: α_i = α·exp(−γ'z), β_i = β·exp(−δ'w); BG family: α_i = α·exp(−γ'z), a_i and b_i both × exp(+δ'w).
//! A positive coefficient of orders means more orders; one of dropout, for the Pareto/NBD, earlier death. Each
//! customer then has a plain model of their own, so every answer of [`Model`] is at hand. Source: Fader and Hardie
//! (2007), "Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models".

use crate::error::{FitError, InvalidValue};
use crate::fit::Report;
use crate::kind::Kind;
use crate::model::Model;
use crate::rows::{Row, Rows};
use crate::search::Problem;
use crate::summary::Summary;
use crate::transactions::{self, learnable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One customer with covariates.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The history.
    pub summary: Summary,
    /// What may change how often this customer orders, in the order of the model's `orders`.
    pub orders: Vec<f64>,
    /// What may change how soon this customer drops out, in the order of the model's `dropout`.
    pub dropout: Vec<f64>,
}

/// A coefficient by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// The covariate.
    pub name: String,
    /// The change of the logarithm of the rate for one unit of it.
    pub value: f64,
}

/// A model of transactions whose parameters depend on covariates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CovariateModel {
    /// The model of a customer whose covariates are all 0.
    pub base: Model,
    /// Coefficients on the order process.
    pub orders: Vec<Coefficient>,
    /// Coefficients on the dropout process.
    pub dropout: Vec<Coefficient>,
}

/// Customers with the same covariates.
#[derive(Clone, Copy)]
struct Group<'a> {
    orders: &'a [f64],
    dropout: &'a [f64],
    rows: &'a [Row],
}

impl CovariateModel {
    /// Fits the Pareto/NBD or a member of the BG family with covariates.
    ///
    /// The search starts at the fit without covariates, so the likelihood is never below that of the plain model.
    ///
    /// # Errors
    /// For the NBD, for a customer with too many, too few or infinite covariates, and as [`crate::fit`].
    pub fn fit(
        kind: Kind,
        orders: &[&str],
        dropout: &[&str],
        customers: &[Described],
    ) -> Result<(Self, Report), FitError> {
        if kind == Kind::Nbd {
            let remedy = "use pareto-nbd or a member of the bg family";
            return Err(InvalidValue::new("kind", "takes no covariates", kind, remedy).into());
        }
        check(orders.len(), dropout.len(), customers)?;
        let all = Rows::new(customers.iter().map(|it| it.summary));
        learnable(&all)?;
        let plain = transactions::fit(kind, &all)?;
        let scale = all.mean_age();
        let names = names(kind, orders, dropout);
        let of_kind = kind.parameters().len();
        let in_unit = |i: usize| if kind.is_time(i) { scale } else { 1.0 };
        let grouped = group(customers);
        let scaled: Vec<Vec<Row>> = grouped.values().map(|it| it.scaled(1.0 / scale)).collect();
        let groups: Vec<Group<'_>> = grouped
            .keys()
            .zip(&scaled)
            .map(|(key, rows)| Group { orders: &key.0.0, dropout: &key.0.1, rows })
            .collect();
        // Where the plain model is on a boundary its limit may be of another kind; then start afresh.
        let base: Vec<f64> = if plain.model.kind() == kind {
            plain.model.params().iter().enumerate().map(|(i, (_, it))| (it / in_unit(i)).ln()).collect()
        } else {
            vec![0.0; of_kind]
        };
        let start: Vec<f64> = base.into_iter().chain(vec![0.0; orders.len() + dropout.len()]).collect();
        let add = |values: &[f64], groups: &[Group<'_>], sums: &mut [f64]| {
            for it in groups {
                add_group(kind, values, it, sums);
            }
        };
        let problem = Problem { names: &names, positive: of_kind, add };
        let searched = problem
            .search(&groups, &[start])
            .ok_or_else(|| FitError::NotFinite { model: kind.to_string(), field: "covariates" })?;
        let mut values = problem.natural(&searched.found.at);
        for (i, it) in values.iter_mut().enumerate().take(of_kind) {
            *it *= in_unit(i);
        }
        let base = Model::from_values(kind, &values[..of_kind])?;
        let coefficients = |names: &[&str], values: &[f64]| {
            names
                .iter()
                .zip(values)
                .map(|(name, value)| Coefficient { name: (*name).to_owned(), value: *value })
                .collect()
        };
        let model = Self {
            base,
            orders: coefficients(orders, &values[of_kind..]),
            dropout: coefficients(dropout, &values[of_kind + orders.len()..]),
        };
        let mut report = Report::new(&names, &values, of_kind, searched, (all.customers(), all.len()));
        report.ln_likelihood += transactions::constants(kind, &all, scale);
        Ok((model, report))
    }

    /// The plain model of a customer with these covariates: for a new one, the answer to cold start.
    ///
    /// # Errors
    /// If their number does not fit, or one is not finite or so large that the parameters overflow.
    pub fn of(&self, orders: &[f64], dropout: &[f64]) -> Result<Model, InvalidValue> {
        check_one(self.orders.len(), orders)?;
        check_one(self.dropout.len(), dropout)?;
        let mut values: Vec<f64> = self.base.params().iter().map(|it| it.1).collect();
        let coefficients: Vec<f64> = self.orders.iter().chain(&self.dropout).map(|it| it.value).collect();
        shift(self.base.kind(), &mut values, &coefficients, orders, dropout);
        Model::from_values(self.base.kind(), &values)
    }
}

/// Covariates with a total order, so that customers group by them.
#[derive(PartialEq)]
struct Key((Vec<f64>, Vec<f64>));

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let all = |it: &Self| it.0.0.iter().chain(&it.0.1).copied().collect::<Vec<f64>>();
        let pairs = all(self).into_iter().zip(all(other));
        pairs
            .map(|(ours, theirs)| ours.total_cmp(&theirs))
            .find(|it| it.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    }
}

fn group(customers: &[Described]) -> BTreeMap<Key, Rows> {
    let mut members: BTreeMap<Key, Vec<Summary>> = BTreeMap::new();
    for it in customers {
        members.entry(Key((it.orders.clone(), it.dropout.clone()))).or_default().push(it.summary);
    }
    members.into_iter().map(|(key, it)| (key, Rows::new(it))).collect()
}

fn check(orders: usize, dropout: usize, customers: &[Described]) -> Result<(), InvalidValue> {
    for it in customers {
        check_one(orders, &it.orders)?;
        check_one(dropout, &it.dropout)?;
    }
    Ok(())
}

fn check_one(expected: usize, values: &[f64]) -> Result<(), InvalidValue> {
    const REMEDY: &str = "give every customer a finite value of every covariate";
    if values.len() != expected {
        return Err(InvalidValue::new(
            "covariates",
            "must be as many as the model has",
            values.len(),
            REMEDY,
        ));
    }
    match values.iter().find(|it| !it.is_finite()) {
        Some(it) => Err(InvalidValue::new("covariates", "must be finite", it, REMEDY)),
        None => Ok(()),
    }
}

fn names(kind: Kind, orders: &[&str], dropout: &[&str]) -> Vec<String> {
    let base = kind.parameters().iter().map(|it| (*it).to_owned());
    let orders = orders.iter().map(|it| format!("orders:{it}"));
    base.chain(orders).chain(dropout.iter().map(|it| format!("dropout:{it}"))).collect()
}

fn dot(coefficients: &[f64], covariates: &[f64]) -> f64 {
    coefficients.iter().zip(covariates).map(|(a, b)| a * b).sum()
}

/// Moves base parameters to those of a customer.
fn shift(kind: Kind, values: &mut [f64], coefficients: &[f64], orders: &[f64], dropout: &[f64]) {
    let (of_orders, of_dropout) = coefficients.split_at(orders.len());
    values[1] *= (-dot(of_orders, orders)).exp();
    let change = dot(of_dropout, dropout);
    if kind == Kind::ParetoNbd {
        values[3] *= (-change).exp();
    } else {
        values[2] *= change.exp();
        values[3] *= change.exp();
    }
}

/// Value and derivatives of one group, by the base parameters and the coefficients.
fn add_group(kind: Kind, values: &[f64], group: &Group<'_>, sums: &mut [f64]) {
    let base = kind.parameters().len();
    let mut own = values[..base].to_vec();
    shift(kind, &mut own, &values[base..], group.orders, group.dropout);
    let mut part = vec![0.0; base + 1];
    transactions::add(kind, &own, group.rows, &mut part);
    sums[0] += part[0];
    for i in 0..base {
        // ∂own/∂base is their ratio.
        sums[i + 1] += part[i + 1] * own[i] / values[i];
    }
    let by_orders = -own[1] * part[2];
    let by_dropout =
        if kind == Kind::ParetoNbd { -own[3] * part[4] } else { own[2] * part[3] + own[3] * part[4] };
    let slopes =
        group.orders.iter().map(|z| z * by_orders).chain(group.dropout.iter().map(|z| z * by_dropout));
    for (sum, slope) in sums[base + 1..].iter_mut().zip(slopes) {
        *sum += slope;
    }
}
