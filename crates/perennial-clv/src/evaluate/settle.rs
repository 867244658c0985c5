//! The verdict on a contest: every contender's score and metrics, the stack, the boosted trees, and who wins.

use super::boosted;
use super::contest::{Forecast, Round};
use super::metrics::Metrics;
use super::selection::{BASELINE, Contender, Reason, Selection, Weight};
use super::tracking::Level;
use super::weights;
use crate::kind::Kind;

/// A model replaces the first one only if its score is better by so many standard errors.
const CLEARLY: f64 = 2.0;

/// The sum of forecasts may be off by this factor, either way, before a model counts as not calibrated.
const MOST_OFF: f64 = 2.0;

/// The largest share of orders that may be forecast into the wrong tenth of customers.
const MOST_MISPLACED: f64 = 0.5;

/// A contender with what it said at every origin.
pub(super) struct Entry {
    contender: Contender,
    pub(super) forecasts: Vec<Forecast>,
}

/// `boosts` where boosted trees compete: the days in the models' unit of time.
pub(super) fn settle(rounds: &[Round], kinds: &[Kind], boosts: Option<f64>) -> Selection {
    let baseline = of_baseline(rounds);
    let limit = baseline.metrics.map(|it| it.deviance);
    let mut entries: Vec<Entry> = (0..kinds.len()).map(|k| single(rounds, kinds, k, limit)).collect();
    let fitted: Vec<usize> = (0..kinds.len()).filter(|&k| !entries[k].forecasts.is_empty()).collect();
    let mut learnt = Vec::new();
    if fitted.len() > 1 {
        let (entry, weights) = stack(rounds, kinds, &fitted, limit);
        entries.push(entry);
        learnt = weights;
    }
    let mut boosting = None;
    if let (Some(days_per_unit), Some(base)) = (boosts, entries.last().filter(|it| !it.forecasts.is_empty()))
    {
        let weights: Vec<f64> = (0..kinds.len())
            .map(|k| learnt.iter().find(|it| it.kind == kinds[k]).map_or(0.0, |it| it.weight))
            .collect();
        if let Some((forecasts, trees)) = boosted::compete(rounds, &base.forecasts, &weights, days_per_unit) {
            entries.push(judged(rounds, Kind::Boosted, forecasts, limit));
            boosting = Some(trees);
        }
    }
    let reference = entries.iter().position(|it| it.contender.refused.is_none());
    if let Some(reference) = reference {
        for i in 0..entries.len() {
            if i != reference && !entries[i].forecasts.is_empty() {
                entries[i].contender.gain = Some(gain(rounds, &entries[i], &entries[reference]));
            }
        }
    }
    let winner = reference.map(|it| win(rounds, &entries, it));
    let why = match (winner, reference) {
        (None, _) if rounds.is_empty() => "the history is too short to hold anything out".to_owned(),
        (Some(winner), Some(first)) if winner != first => {
            let (mean, error) = entries[winner].contender.gain.unwrap_or_default();
            let (name, other) = (&entries[winner].contender.name, &entries[first].contender.name);
            format!("{name} gave what came a better score than {other}, by {mean:.4} ± {error:.4} a customer")
        }
        (Some(winner), _) => {
            format!("no other model is better than {} by two standard errors", entries[winner].contender.name)
        }
        (None, _) => "no model may be published".to_owned(),
    };
    let winner = winner.map(|it| &entries[it]);
    let level = level(rounds, winner);
    let deciles = winner.map(|it| deciles(rounds, it)).unwrap_or_default();
    let chosen = winner.and_then(|it| it.contender.kind);
    let mut contenders: Vec<Contender> = entries.into_iter().map(|it| it.contender).collect();
    contenders.push(baseline);
    contenders.sort_by(|a, b| {
        let key =
            |it: &Contender| (it.kind != chosen || chosen.is_none(), it.refused.is_some(), it.kind.is_none());
        let score = |it: &Contender| it.score.unwrap_or(f64::NEG_INFINITY);
        key(a).cmp(&key(b)).then(score(b).total_cmp(&score(a)))
    });
    Selection {
        origins: rounds.iter().map(|it| it.origin).collect(),
        chosen,
        why,
        weights: learnt,
        contenders,
        level,
        deciles,
        boosting,
    }
}

/// The reference serves unless something is clearly better. Then the stack does, which leans on no single model being
/// right, unless a single model is clearly better than the stack, too.
fn win(rounds: &[Round], entries: &[Entry], reference: usize) -> usize {
    let may = |i: &usize| entries[*i].contender.refused.is_none() && *i != reference;
    let clearly = |i: usize, than: usize| {
        let (mean, error) = gain(rounds, &entries[i], &entries[than]);
        mean > 0.0 && mean > CLEARLY * error
    };
    let best = |than: usize| {
        let score = |i: &usize| entries[*i].contender.score.unwrap_or(f64::NEG_INFINITY);
        let better = (0..entries.len()).filter(may).filter(|&i| i != than && clearly(i, than));
        better.max_by(|a, b| score(a).total_cmp(&score(b)))
    };
    let Some(better) = best(reference) else { return reference };
    match (0..entries.len()).filter(may).find(|&i| entries[i].contender.kind == Some(Kind::Stack)) {
        Some(stack) => best(stack).unwrap_or(stack),
        None => better,
    }
}

fn single(rounds: &[Round], kinds: &[Kind], k: usize, limit: Option<f64>) -> Entry {
    let failed = rounds.iter().find_map(|it| it.forecasts[k].as_ref().err());
    if failed.is_some() || rounds.is_empty() {
        let error = failed.cloned().unwrap_or_else(|| "there is no hold-out to judge by".to_owned());
        return Entry { contender: refused(kinds[k], Reason::Unfitted { error }), forecasts: Vec::new() };
    }
    let forecasts = rounds.iter().filter_map(|it| it.pool(&[(k, 1.0)])).collect();
    judged(rounds, kinds[k], forecasts, limit)
}

/// The stack, judged at each origin by weights learnt at the others, and the weights learnt at all.
fn stack(rounds: &[Round], kinds: &[Kind], members: &[usize], limit: Option<f64>) -> (Entry, Vec<Weight>) {
    let rows: Vec<Vec<Vec<f64>>> = rounds
        .iter()
        .map(|round| {
            let of = |i: usize| {
                members.iter().filter_map(|&k| Some(round.forecasts[k].as_ref().ok()?.chance[i])).collect()
            };
            (0..round.actual.len()).map(of).collect()
        })
        .collect();
    let learn = |wanted: &dyn Fn(usize, usize) -> bool| {
        let chosen: Vec<&[f64]> = rows
            .iter()
            .enumerate()
            .flat_map(|(r, rows)| rows.iter().enumerate().map(move |(i, row)| (r, i, row)))
            .filter(|(r, i, _)| wanted(*r, *i))
            .map(|it| it.2.as_slice())
            .collect();
        weights::learn(&chosen, members.len())
    };
    let pool = |round: &Round, weights: &[f64]| {
        let members: Vec<(usize, f64)> = members.iter().copied().zip(weights.iter().copied()).collect();
        round.pool(&members)
    };
    let forecasts: Vec<Forecast> = if let [round] = rounds {
        // One origin: each half of the customers is judged by the other.
        let halves = [0, 1].map(|half| pool(round, &learn(&|_, i| i % 2 != half)));
        let [Some(even), Some(odd)] = halves else {
            return (Entry { contender: refused(Kind::Stack, nothing()), forecasts: Vec::new() }, Vec::new());
        };
        let mix = |even: &[f64], odd: &[f64]| {
            (0..even.len()).map(|i| if i % 2 == 0 { even[i] } else { odd[i] }).collect()
        };
        vec![Forecast { mean: mix(&even.mean, &odd.mean), chance: mix(&even.chance, &odd.chance) }]
    } else {
        rounds
            .iter()
            .enumerate()
            .filter_map(|(r, round)| pool(round, &learn(&|other, _| other != r)))
            .collect()
    };
    let learnt = learn(&|_, _| true);
    let weights = members.iter().zip(learnt).map(|(&k, weight)| Weight { kind: kinds[k], weight }).collect();
    (judged(rounds, Kind::Stack, forecasts, limit), weights)
}

fn nothing() -> Reason {
    Reason::Unfitted { error: "there is no hold-out to judge by".to_owned() }
}

fn refused(kind: Kind, reason: Reason) -> Contender {
    Contender {
        name: kind.to_string(),
        kind: Some(kind),
        score: None,
        gain: None,
        metrics: None,
        biases: Vec::new(),
        refused: Some(reason),
    }
}

/// Forecasts of all rounds, one after the other.
fn joined(forecasts: &[Forecast]) -> Vec<f64> {
    forecasts.iter().flat_map(|it| it.mean.iter().copied()).collect()
}

fn actuals(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().flat_map(|it| it.actual.iter().copied()).collect()
}

fn biases<'a>(rounds: &'a [Round], means: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let bias = |(round, mean): (&Round, &[f64])| {
        let actual: f64 = round.actual.iter().sum();
        if actual > 0.0 { mean.iter().sum::<f64>() / actual - 1.0 } else { 0.0 }
    };
    rounds.iter().zip(means).map(bias).collect()
}

fn judged(rounds: &[Round], kind: Kind, forecasts: Vec<Forecast>, limit: Option<f64>) -> Entry {
    let metrics = Metrics::new(&joined(&forecasts), &actuals(rounds));
    let chances = forecasts.iter().flat_map(|it| &it.chance);
    let score = chances.map(|it| it.ln()).sum::<f64>() / metrics.map_or(1.0, |it| it.customers as f64);
    let refused = match (&metrics, limit) {
        (None, _) => Some(nothing()),
        (Some(it), Some(limit)) if it.deviance >= limit => {
            Some(Reason::LosesToBaseline { deviance: it.deviance, baseline: limit })
        }
        (Some(it), _) => {
            let level = 1.0 + it.bias_percent / 100.0;
            let wrong = !(1.0 / MOST_OFF..=MOST_OFF).contains(&level) || it.misplaced > MOST_MISPLACED;
            wrong.then_some(Reason::Uncalibrated { level, misplaced: it.misplaced })
        }
    };
    let contender = Contender {
        name: kind.to_string(),
        kind: Some(kind),
        score: metrics.is_some().then_some(score),
        gain: None,
        metrics,
        biases: biases(rounds, forecasts.iter().map(|it| it.mean.as_slice())),
        refused,
    };
    Entry { contender, forecasts }
}

fn of_baseline(rounds: &[Round]) -> Contender {
    let repeated: Vec<f64> = rounds.iter().flat_map(|it| it.repeated.iter().copied()).collect();
    Contender {
        name: BASELINE.to_owned(),
        kind: None,
        score: None,
        gain: None,
        metrics: Metrics::new(&repeated, &actuals(rounds)),
        biases: biases(rounds, rounds.iter().map(|it| it.repeated.as_slice())),
        refused: None,
    }
}

/// The mean difference of scores, and its standard error over customers, each of whom is judged at several origins.
fn gain(rounds: &[Round], ours: &Entry, theirs: &Entry) -> (f64, f64) {
    let most = rounds.iter().filter_map(|it| it.members.last()).max().copied().unwrap_or_default();
    let mut sums = vec![0.0_f64; most + 1];
    let (mut judged, mut total) = (0.0, 0.0);
    for ((round, ours), theirs) in rounds.iter().zip(&ours.forecasts).zip(&theirs.forecasts) {
        for ((member, ours), theirs) in round.members.iter().zip(&ours.chance).zip(&theirs.chance) {
            let difference = ours.ln() - theirs.ln();
            sums[*member] += difference;
            total += difference;
            judged += 1.0;
        }
    }
    let squares: f64 = sums.iter().map(|it| it * it).sum();
    let customers = sums.iter().filter(|it| **it != 0.0).count() as f64;
    let variance = (squares - total * total / customers.max(1.0)).max(0.0);
    (total / f64::max(judged, 1.0), variance.sqrt() / f64::max(judged, 1.0))
}

/// What was thought before has the weight of one origin.
fn level(rounds: &[Round], winner: Option<&Entry>) -> Level {
    let Level { spread, mut freedom } = Level::untested();
    let (mut sum, mut weight) = (spread.powi(2), 1.0);
    let mut free_from = i32::MIN;
    for (round, forecast) in rounds.iter().zip(winner.iter().flat_map(|it| &it.forecasts)) {
        let (actual, foretold): (f64, f64) = (round.actual.iter().sum(), forecast.mean.iter().sum());
        let off = ((actual + 1.0) / (foretold + 1.0)).ln();
        let residual: f64 = round.actual.iter().zip(&forecast.mean).map(|(a, m)| (a - m).powi(2)).sum();
        let noise = residual / (foretold + 1.0).powi(2);
        sum += (off * off - noise).max(0.0);
        weight += 1.0;
        if round.origin.cut >= free_from {
            freedom += 1;
            free_from = round.origin.cut.saturating_add(round.origin.horizon);
        }
    }
    Level { spread: (sum / weight).sqrt(), freedom }
}

fn deciles(rounds: &[Round], entry: &Entry) -> Vec<(f64, f64)> {
    let mut pairs: Vec<(f64, f64)> = joined(&entry.forecasts).into_iter().zip(actuals(rounds)).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let n = pairs.len();
    let tenth = |k: usize| &pairs[n * k / 10..n * (k + 1) / 10];
    let mean = |it: &[(f64, f64)], f: fn(&(f64, f64)) -> f64| it.iter().map(f).sum::<f64>() / it.len() as f64;
    (0..10)
        .map(tenth)
        .filter(|it| !it.is_empty())
        .map(|it| (mean(it, |it| it.0), mean(it, |it| it.1)))
        .collect()
}
