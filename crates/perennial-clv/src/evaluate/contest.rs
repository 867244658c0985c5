//! Models foretell what was held out, at every origin of a plan.

use super::plan::{Origin, Plan};
use super::purchases::Purchases;
use crate::baseline::repeat_rate;
use crate::boosting::Seen;
use crate::counts::Counts;
use crate::kind::Kind;
use crate::model::Model;
use crate::parallel;
use crate::rows::Rows;
use crate::summary::Summary;
use crate::transactions::fit_soundly;

/// Customers whose counts are judged at one origin; of more, every so many-th. Fits always read all.
const MOST_JUDGED: usize = 30_000;

/// Customers an origin needs before it.
const LEAST_CUSTOMERS: usize = 50;

/// Chances are scored as at least this: one surprise may not decide everything.
pub(super) const LEAST_CHANCE: f64 = 1e-9;

/// One origin: who was known, what came, and what each model had said.
pub(super) struct Round {
    pub(super) origin: Origin,
    /// Positions in the slice of customers, ascending.
    pub(super) members: Vec<usize>,
    pub(super) actual: Vec<f64>,
    /// The baseline's forecast.
    pub(super) repeated: Vec<f64>,
    /// For each kind its forecasts, or why there are none.
    pub(super) forecasts: Vec<Result<Forecast, String>>,
    /// The models that made them.
    pub(super) models: Vec<Option<Model>>,
    /// What boosted trees read; nothing where they do not compete.
    pub(super) seen: Vec<(Summary, Seen)>,
}

/// What one model had said.
pub(super) struct Forecast {
    pub(super) mean: Vec<f64>,
    /// Chances of what came.
    pub(super) chance: Vec<f64>,
}

/// Holds the contest; origins with too few customers are left out. Searches start at the member of `start` of their
/// kind, and then where the origin before ended. Nothing after an origin is used for what is foretold of it.
pub(super) fn hold<P: Purchases>(
    customers: &[P],
    plan: &Plan,
    kinds: &[Kind],
    (start, boosted): (Option<&Model>, bool),
    mut stop: impl FnMut(usize) -> bool,
) -> Option<Vec<Round>> {
    let mut starts: Vec<Option<Model>> =
        kinds.iter().map(|kind| start.and_then(|it| it.member(*kind))).collect();
    let mut rounds = Vec::new();
    for (step, &origin) in plan.origins.iter().enumerate() {
        let known: Vec<(usize, Summary)> = customers
            .iter()
            .enumerate()
            .filter_map(|(i, it)| Some((i, it.summary(origin.cut, plan.days_per_unit)?)))
            .collect();
        if known.len() < LEAST_CUSTOMERS {
            continue;
        }
        let rows = Rows::new(known.iter().map(|it| it.1));
        let stride = known.len().div_ceil(MOST_JUDGED);
        let judged: Vec<(usize, Summary)> = known.into_iter().step_by(stride).collect();
        let (from, until) = (origin.cut, origin.cut.saturating_add(origin.horizon));
        let actual: Vec<f64> =
            judged.iter().map(|(i, _)| f64::from(customers[*i].between(from, until))).collect();
        let mut models = vec![None; kinds.len()];
        let forecasts = kinds
            .iter()
            .zip(&mut starts)
            .enumerate()
            .map(|(k, (kind, start))| {
                if stop(step * kinds.len() + k) {
                    return None;
                }
                let fitted = fit_soundly(*kind, &rows, start.as_ref());
                Some(fitted.map_err(|it| it.to_string()).map(|fitted| {
                    (*start, models[k]) = (Some(fitted.model), Some(fitted.model));
                    foretell(&fitted.model, &judged, &actual, f64::from(origin.horizon) / plan.days_per_unit)
                }))
            })
            .collect::<Option<Vec<_>>>()?;
        let window = origin.horizon;
        let repeated = repeat_rate(judged.iter().map(|(i, _)| &customers[*i]), origin.cut, window, window);
        let seen =
            |(i, it): &(usize, Summary)| (*it, Seen::new(&customers[*i], origin.cut, plan.days_per_unit));
        let seen = if boosted { judged.iter().map(seen).collect() } else { Vec::new() };
        let members = judged.into_iter().map(|it| it.0).collect();
        rounds.push(Round { origin, members, actual, repeated, forecasts, models, seen });
    }
    Some(rounds)
}

/// The means and the chances of what came, customer by customer; equal histories are worked out once.
pub(super) fn foretell(model: &Model, judged: &[(usize, Summary)], actual: &[f64], horizon: f64) -> Forecast {
    let mut order: Vec<usize> = (0..judged.len()).collect();
    let key = |i: usize| {
        let it = &judged[i].1;
        (it.x(), it.age().to_bits(), it.t_x().to_bits())
    };
    order.sort_unstable_by_key(|&i| key(i));
    let parts = parallel::map(&order, |order| {
        let mut known: Option<(_, f64, Counts)> = None;
        let mut found = Vec::with_capacity(order.len());
        for &i in order {
            let it = match known.take() {
                Some(it) if it.0 == key(i) => it,
                _ => {
                    let it = &judged[i].1;
                    let counts = model.counts_to(it, horizon, 1e-10);
                    (key(i), model.expected(it, horizon), counts)
                }
            };
            let chance = it.2.exactly(actual[i] as usize).max(LEAST_CHANCE);
            found.push((i, it.1, chance));
            known = Some(it);
        }
        found
    });
    let mut forecast = Forecast { mean: vec![0.0; judged.len()], chance: vec![0.0; judged.len()] };
    for (i, mean, chance) in parts.into_iter().flatten() {
        (forecast.mean[i], forecast.chance[i]) = (mean, chance);
    }
    forecast
}

impl Round {
    /// The forecast of members with weights, by position of their kind.
    pub(super) fn pool(&self, members: &[(usize, f64)]) -> Option<Forecast> {
        let n = self.actual.len();
        let mut pooled = Forecast { mean: vec![0.0; n], chance: vec![0.0; n] };
        for (kind, weight) in members {
            let it = self.forecasts.get(*kind)?.as_ref().ok()?;
            for i in 0..n {
                pooled.mean[i] += weight * it.mean[i];
                pooled.chance[i] += weight * it.chance[i];
            }
        }
        Some(pooled)
    }
}
