//! Effects and seasons, learnt from what came until a day.

use std::collections::BTreeMap;

use perennial_clv::{History, Model, Season, Summary};

use super::{Candidate, Person, known};
use crate::domain::ledger::{DAYS_PER_WEEK, until};
use crate::domain::lens::{Effect, Lens, moved, step};
use crate::domain::portrait::{Field, Seen};

/// Customers a level needs,
const LEAST: usize = 100;
/// and their repeat purchases.
const LEAST_REPEATS: u64 = 20;
/// Levels of a grouping, at most: the largest.
const MOST_LEVELS: usize = 50;
/// Levels of one field among covariates, at most: the largest.
const MOST_COVARIATES: usize = 8;
/// Customers an effect is learnt from, at most; of more, every so-many-th.
const MOST_LEARNT: usize = 20_000;
/// Covariates are learnt one after the other, given the others, so many times over.
const ROUNDS: usize = 3;
/// The change of a logarithm by which slopes are measured.
const NEAR: f64 = 0.05;
/// Parts of a year of a season.
const MONTHS: usize = 12;
/// Parts of the year are drawn towards the mean by this many orders.
const SEASON_PRIOR: f64 = 20.0;

/// A covariate: a level of a field, or a number with its centre.
pub struct Covariate {
    field: Field,
    level: Option<String>,
    center: f64,
    customers: u64,
}

impl Covariate {
    fn value(&self, seen: &Seen<'_>) -> f64 {
        match &self.level {
            Some(level) => f64::from(u8::from(seen.level(self.field) == Some(level))),
            None => seen.number(self.field).map_or(0.0, |it| step(it, self.center)),
        }
    }
}

/// Customers by level of a field.
fn levels<'a>(known: &[Seen<'a>], field: Field) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for level in known.iter().filter_map(|it| it.level(field)) {
        *counts.entry(level).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().filter(|it| it.1 >= LEAST).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts
}

/// Whether there are two groups that are large enough.
pub fn has_groups(known: &[Seen<'_>], field: Field) -> bool {
    levels(known, field).len() >= 2
}

/// What of the first order varies enough to tell customers apart.
pub fn columns(known: &[Seen<'_>]) -> Vec<Covariate> {
    let mut columns = Vec::new();
    for field in Field::GROUPINGS {
        let least = known.len() * 3 / 100;
        let large: Vec<(&str, usize)> = levels(known, field).into_iter().filter(|it| it.1 >= least).collect();
        if large.len() < 2 {
            continue;
        }
        columns.extend(large.into_iter().take(MOST_COVARIATES).map(|(level, customers)| Covariate {
            field,
            level: Some(level.to_owned()),
            center: 0.0,
            customers: customers as u64,
        }));
    }
    for field in [Field::Units, Field::Value] {
        let mut numbers: Vec<f64> = known.iter().filter_map(|it| it.number(field)).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        let Some(&center) = numbers.get(numbers.len() / 2).filter(|_| numbers.len() >= 2 * LEAST) else {
            continue;
        };
        let away = numbers.iter().filter(|it| step(**it, center) != 0.0).count();
        if away >= numbers.len() / 10 {
            columns.push(Covariate { field, level: None, center, customers: numbers.len() as u64 });
        }
    }
    columns
}

/// Learns the effects of a candidate from what came until the end of a day, and puts them into a lens.
pub fn effects(candidate: Candidate, model: &Model, people: &[Person<'_>], cutoff: i32, lens: &mut Lens) {
    let described: Vec<(Seen<'_>, Summary)> = match candidate {
        Candidate::Season => return,
        Candidate::Covariates => known(people, lens, cutoff, MOST_LEARNT),
        Candidate::Group(_) => known(people, lens, cutoff, usize::MAX),
    }
    .into_iter()
    .filter_map(|(_, seen, summary)| Some((seen?, summary)))
    .collect();
    lens.constant = 0.0;
    lens.effects = match candidate {
        Candidate::Group(field) => grouped(field, model, &described),
        _ => together(model, &described),
    };
    lens.effects.retain(|it| it.change.abs() > 1e-3);
    if candidate == Candidate::Covariates && !lens.effects.is_empty() {
        // Together they must leave the level as it is.
        let rows = described.iter().map(|(it, row)| (lens.change(Some(it)), 1.0, *row)).collect();
        lens.constant = peak(model, rows).map_or(0.0, |it| it.0);
    }
}

/// A level for each group: its own estimate, drawn to none by how uncertain it is against how much groups differ
/// (empirical Bayes, the variance between groups by moments).
fn grouped(field: Field, model: &Model, known: &[(Seen<'_>, Summary)]) -> Vec<Effect> {
    let mut groups: BTreeMap<&str, Vec<Summary>> = BTreeMap::new();
    for (seen, summary) in known {
        if let Some(level) = seen.level(field) {
            groups.entry(level).or_default().push(*summary);
        }
    }
    let mut groups: Vec<(&str, Vec<Summary>)> = groups.into_iter().collect();
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(b.0)));
    let repeats = |rows: &[Summary]| rows.iter().map(|it| u64::from(it.x())).sum::<u64>();
    let own: Vec<(&str, usize, f64, f64)> = groups
        .into_iter()
        .filter(|(_, rows)| rows.len() >= LEAST && repeats(rows) >= LEAST_REPEATS)
        .take(MOST_LEVELS)
        .filter_map(|(level, rows)| {
            let customers = rows.len();
            let taken = rows.into_iter().step_by(customers.div_ceil(MOST_LEARNT));
            let (change, variance) = peak(model, taken.map(|it| (0.0, 1.0, it)).collect())?;
            Some((level, customers, change, variance))
        })
        .collect();
    shrunk(field, own)
}

/// Estimates of levels (with their customers and variances), drawn to none.
fn shrunk(field: Field, own: Vec<(&str, usize, f64, f64)>) -> Vec<Effect> {
    if own.len() < 2 {
        return Vec::new();
    }
    let weights: f64 = own.iter().map(|it| 1.0 / it.3).sum();
    let squares: f64 = own.iter().map(|it| it.2 * it.2 / it.3).sum();
    let between = ((squares - own.len() as f64) / weights).max(0.0);
    let effect = |(level, customers, change, variance): (&str, usize, f64, f64)| {
        let kept = between / (between + variance);
        Effect {
            field,
            level: Some(level.to_owned()),
            center: 0.0,
            change: kept * change,
            customers: customers as u64,
            kept,
        }
    };
    own.into_iter().map(effect).collect()
}

/// The effects of all covariates together, each learnt given the others: levels drawn to none as those of groups are,
/// slopes by how uncertain they are.
fn together(model: &Model, known: &[(Seen<'_>, Summary)]) -> Vec<Effect> {
    let columns = columns(&known.iter().map(|it| it.0).collect::<Vec<_>>());
    let mut fields: Vec<Field> = columns.iter().map(|it| it.field).collect();
    fields.dedup();
    let mut effects: Vec<Effect> = Vec::new();
    for _ in 0..ROUNDS {
        for &field in &fields {
            let others: Vec<Effect> = effects.iter().filter(|it| it.field != field).cloned().collect();
            let offset = |it: &Seen<'_>| others.iter().filter_map(|effect| effect.of(it)).sum::<f64>();
            let learn = |it: &Covariate| {
                let rows = known.iter().filter_map(|(seen, row)| {
                    let z = it.value(seen);
                    (z != 0.0).then(|| (offset(seen), z, *row))
                });
                peak(model, rows.collect())
            };
            let own = columns.iter().filter(|it| it.field == field);
            let found = match field {
                Field::Units | Field::Value => own
                    .filter_map(|it| {
                        let (slope, variance) = learn(it)?;
                        let kept = (1.0 - variance / (slope * slope).max(1e-12)).max(0.0);
                        let (customers, center) = (it.customers, it.center);
                        Some(Effect { field, level: None, center, change: kept * slope, customers, kept })
                    })
                    .collect(),
                _ => {
                    let mut levels = Vec::new();
                    for it in own {
                        if let (Some(level), Some((change, variance))) = (&it.level, learn(it)) {
                            levels.push((level.as_str(), it.customers as usize, change, variance));
                        }
                    }
                    shrunk(field, levels)
                }
            };
            effects = others;
            effects.extend(found);
        }
    }
    effects
}

/// The factor b by which customers are likeliest, each of whom orders e^(offset + b·z) times as often, and its variance;
/// nothing where the likelihood has no peak. Of a stack each member's likelihood counts by its weight.
fn peak(model: &Model, mut rows: Vec<(f64, f64, Summary)>) -> Option<(f64, f64)> {
    let alike =
        |a: &(f64, f64, Summary), b: &(f64, f64, Summary)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
    rows.sort_by(alike);
    let members = model.members();
    let likelihood = |b: f64| -> f64 {
        let own = |run: &[(f64, f64, Summary)]| -> f64 {
            let of = |(weight, member): &(f64, Model)| {
                let it = moved(member, run[0].0 + b * run[0].1);
                weight * run.iter().map(|row| it.ln_likelihood(&row.2)).sum::<f64>()
            };
            members.iter().map(of).sum()
        };
        rows.chunk_by(|a, b| alike(a, b).is_eq()).map(own).sum()
    };
    let mut at = 0.0_f64;
    for _ in 0..12 {
        let [low, here, high] = [at - NEAR, at, at + NEAR].map(likelihood);
        let slope = (high - low) / (2.0 * NEAR);
        let curve = (high - 2.0 * here + low) / (NEAR * NEAR);
        if !(curve < 0.0 && slope.is_finite()) {
            return None;
        }
        let step = (-slope / curve).clamp(-0.5, 0.5);
        at = (at + step).clamp(-1.9, 1.9);
        if step.abs() < 1e-4 {
            return Some((at, -1.0 / curve));
        }
    }
    None
}

/// The season that purchases until the end of a day show.
pub fn season(people: &[Person<'_>], model: &Model, cutoff: i32) -> Option<Season> {
    let histories: Vec<History> = people
        .iter()
        .map(|it| {
            let mut history = History::new();
            for day in until(it.days, cutoff) {
                history.add(day.day, day.revenue);
            }
            history
        })
        .filter(|it| !it.is_empty())
        .collect();
    Season::learn(MONTHS, &histories, model, cutoff, DAYS_PER_WEEK, SEASON_PRIOR).ok()
}
