//! Boosted trees in a contest: every customer is judged by trees that were grown without that customer.

use super::contest::{Forecast, LEAST_CHANCE, Round};
use crate::boosting::{Boosting, Traits, raised};
use crate::model::Model;
use crate::parallel;
use crate::stack::Stack;
use std::thread;

/// Parts of the customers; each is judged by trees grown on the others.
const FOLDS: usize = 4;

/// A row of a round: its traits, what the model had said, and what came.
struct Row {
    traits: Traits,
    mean: f64,
    actual: f64,
    /// What the model had said, scaled so that all of a round add up to what came: trees learn order, not level.
    offset: f64,
    fold: usize,
}

/// Forecasts of trees over the `base` forecasts at every round, and trees grown on all of them; nothing where there is
/// no model to lay them over. `weights` are those of the kinds in the stack, all nought if the first fitted kind is alone.
pub(super) fn compete(
    rounds: &[Round],
    base: &[Forecast],
    weights: &[f64],
    days_per_unit: f64,
) -> Option<(Vec<Forecast>, Boosting)> {
    let models: Vec<Model> = rounds.iter().map(|it| below(it, weights)).collect::<Option<_>>()?;
    let rows: Vec<Vec<Row>> = rounds
        .iter()
        .zip(base)
        .zip(&models)
        .map(|((round, base), model)| table(round, base, model, days_per_unit))
        .collect();
    let grow = |wanted: &dyn Fn(&Row) -> bool| {
        let rows: Vec<&Row> = rows.iter().flatten().filter(|it| wanted(it)).collect();
        let column = |f: fn(&Row) -> f64| rows.iter().map(|it| f(it)).collect::<Vec<f64>>();
        let traits: Vec<Traits> = rows.iter().map(|it| it.traits).collect();
        Boosting::grow(&traits, &column(|it| it.actual), &column(|it| it.offset))
    };
    // The last one is grown on everybody.
    let grow = &grow;
    let mut grown: Vec<Boosting> = thread::scope(|scope| {
        let handles: Vec<_> =
            (0..=FOLDS).map(|fold| scope.spawn(move || grow(&|it| it.fold != fold))).collect();
        handles.into_iter().filter_map(|it| it.join().ok()).collect()
    });
    if grown.len() != FOLDS + 1 {
        return None;
    }
    let trees = grown.pop()?;
    let forecasts = rounds
        .iter()
        .zip(&rows)
        .zip(&models)
        .map(|((round, rows), model)| {
            let factors: Vec<f64> = rows.iter().map(|it| grown[it.fold].factor(&it.traits)).collect();
            let plain: f64 = rows.iter().map(|it| it.mean).sum();
            let boosted: f64 = rows.iter().zip(&factors).map(|(it, factor)| it.mean * factor).sum();
            let level = if boosted > 0.0 { plain / boosted } else { 1.0 };
            foretell(round, rows, model, (&factors, level), days_per_unit)
        })
        .collect();
    Some((forecasts, trees))
}

/// The model that had forecast: the stack, or the one that is fitted.
fn below(round: &Round, weights: &[f64]) -> Option<Model> {
    let fitted = || round.models.iter().zip(weights).filter_map(|(model, weight)| Some((*weight, (*model)?)));
    let members: Vec<(f64, Model)> = fitted().filter(|it| it.0 > 0.0).collect();
    match Stack::new(&members) {
        Ok(stack) => Some(Model::Stack(stack)),
        Err(_) => fitted().next().map(|it| it.1),
    }
}

fn table(round: &Round, base: &Forecast, model: &Model, days_per_unit: f64) -> Vec<Row> {
    let horizon = f64::from(round.origin.horizon) / days_per_unit;
    let positions: Vec<usize> = (0..round.actual.len()).collect();
    let level = round.actual.iter().sum::<f64>() / base.mean.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let parts = parallel::map(&positions, |positions| {
        let row = |&i: &usize| {
            let (summary, seen) = &round.seen[i];
            let mean = base.mean[i];
            Row {
                traits: Traits::new(summary, seen, model.p_alive(summary), mean, horizon),
                mean,
                actual: round.actual[i],
                offset: (mean * level).max(1e-9),
                fold: round.members[i] % FOLDS,
            }
        };
        positions.iter().map(row).collect::<Vec<_>>()
    });
    parts.into_iter().flatten().collect()
}

fn foretell(
    round: &Round,
    rows: &[Row],
    model: &Model,
    (factors, level): (&[f64], f64),
    days_per_unit: f64,
) -> Forecast {
    let horizon = f64::from(round.origin.horizon) / days_per_unit;
    let positions: Vec<usize> = (0..rows.len()).collect();
    let parts = parallel::map(&positions, |positions| {
        let chance = |&i: &usize| {
            let (summary, row) = (&round.seen[i].0, &rows[i]);
            let counts = raised(model, summary, horizon, row.mean, level * factors[i], 1e-10);
            counts.exactly(row.actual as usize).max(LEAST_CHANCE)
        };
        positions.iter().map(chance).collect::<Vec<_>>()
    });
    Forecast {
        mean: rows.iter().zip(factors).map(|(it, factor)| level * factor * it.mean).collect(),
        chance: parts.into_iter().flatten().collect(),
    }
}
