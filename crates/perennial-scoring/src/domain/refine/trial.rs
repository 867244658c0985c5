//! Trials on the rolling origins: what is learnt until a cutoff is judged by what came after it.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::thread;

use perennial_clv::evaluate::Selection;
use perennial_clv::{Counts, Kind, Model, Rows, Summary};

use super::{Candidate, Person, Trial, estimate, known};
use crate::domain::ledger::count_between;
use crate::domain::lens::{Lens, moved};

/// Customers judged at one origin, at most; of more, every so-many-th.
const MOST_JUDGED: usize = 4_000;
/// A gain counts if it is so many standard errors.
const CLEARLY: f64 = 2.0;
/// Chances are scored as at least this: one surprise may not decide everything.
const LEAST_CHANCE: f64 = 1e-9;
/// A season is judged by quarters, the last four of them: a whole year would not show it.
const QUARTERS: i32 = 4;
/// Days of a quarter.
const QUARTER: i32 = 91;
/// Days before the earliest of them that a season needs,
const TWO_YEARS: i32 = 730;
/// and repeat purchases.
const LEAST_REPEATS: usize = 500;

/// Whether each of the last four quarters has two years before it, and enough in them.
pub fn spans_years(people: &[Person<'_>], cutoff: i32) -> bool {
    let earliest = cutoff.saturating_sub(QUARTERS * QUARTER);
    let first = people.iter().filter_map(|it| Some(it.days.first()?.day)).min();
    let repeats = || people.iter().map(|it| it.days.len().saturating_sub(1)).sum::<usize>();
    first.is_some_and(|first| earliest.saturating_sub(first) >= TWO_YEARS) && repeats() >= LEAST_REPEATS
}

/// One origin.
struct Round {
    cut: i32,
    horizon: i32,
    /// The model fitted to what came before, on the clock in force.
    model: Model,
    lens: Lens,
    /// Positions, and what came.
    judged: Vec<(usize, usize)>,
    /// The chance of it by the model without effects.
    chance: Vec<f64>,
}

/// The rolling origins.
pub struct Arena<'a> {
    people: &'a [Person<'a>],
    kind: Kind,
    hold_out: &'a Selection,
    rounds: Vec<Round>,
}

impl<'a> Arena<'a> {
    /// Fits the chosen kind anew at each origin; searches start at the model fitted to everything, and end at the optimum
    /// of what came before.
    pub fn open(people: &'a [Person<'a>], kind: Kind, hold_out: &'a Selection, start: &Model) -> Self {
        let mut it = Self { people, kind, hold_out, rounds: Vec::new() };
        let origins = hold_out.origins.iter();
        it.rounds = origins.filter_map(|origin| it.round((origin.cut, origin.horizon), start)).collect();
        it
    }

    fn fitted(&self, lens: &Lens, cut: i32, start: &Model) -> Option<Model> {
        let rows = Rows::new(self.people.iter().filter_map(|it| lens.summary(it.days, cut)));
        Some(self.hold_out.fit(self.kind, &rows, Some(start)).ok()?.model)
    }

    fn round(&self, (cut, horizon): (i32, i32), start: &Model) -> Option<Round> {
        let (lens, until) = (Lens::default(), cut.saturating_add(horizon));
        let model = self.fitted(&lens, cut, start)?;
        let judged = known(self.people, &lens, cut, MOST_JUDGED);
        let judged = judged.into_iter().map(|it| it.0);
        let judged = judged.map(|i| (i, count_between(self.people[i].days, cut, until) as usize)).collect();
        let mut round = Round { cut, horizon, model, lens, judged, chance: Vec::new() };
        round.chance = round.chances(self.people, &round.model, &round.lens);
        Some(round)
    }

    /// A season learnt until an origin, and the model fitted on its clock.
    fn seasonal(&self, round: &Round) -> Option<(Lens, Model)> {
        let season = estimate::season(self.people, &round.model, round.cut)?;
        let lens = Lens { season: Some(season), ..Lens::default() };
        let model = self.fitted(&lens, round.cut, &round.model)?;
        Some((lens, model))
    }

    /// The calendar clock on trial, quarter by quarter.
    pub fn season(&self, cutoff: i32, start: &Model) -> Trial {
        let cuts = (1..=QUARTERS).map(|k| (cutoff - k * QUARTER, QUARTER));
        let rounds: Vec<Round> = cuts.filter_map(|it| self.round(it, start)).collect();
        let chance = |round: &Round| match self.seasonal(round) {
            Some((lens, model)) => round.chances(self.people, &model, &lens),
            None => round.chance.clone(),
        };
        let chances: Vec<Vec<f64>> = rounds.iter().map(chance).collect();
        judge(self.people.len(), Candidate::Season, &rounds, &chances)
    }

    /// From here on what is on trial is compared with the model on the calendar clock.
    pub fn keep_season(&mut self) {
        let found: Vec<_> = self.rounds.iter().map(|it| self.seasonal(it)).collect();
        for (round, found) in self.rounds.iter_mut().zip(found) {
            if let Some((lens, model)) = found {
                (round.lens, round.model) = (lens, model);
                round.chance = round.chances(self.people, &round.model, &round.lens);
            }
        }
    }

    /// Effects on trial.
    pub fn effects(&self, candidate: Candidate) -> Trial {
        let chances: Vec<Vec<f64>> = self
            .rounds
            .iter()
            .map(|round| {
                let mut lens = round.lens.clone();
                estimate::effects(candidate, &round.model, self.people, round.cut, &mut lens);
                if lens.effects.is_empty() {
                    return round.chance.clone();
                }
                round.chances(self.people, &round.model, &lens)
            })
            .collect();
        judge(self.people.len(), candidate, &self.rounds, &chances)
    }
}

/// The mean gain, and its standard error over customers, each of whom is judged at several origins.
fn judge(people: usize, candidate: Candidate, rounds: &[Round], chances: &[Vec<f64>]) -> Trial {
    let mut sums = vec![0.0_f64; people];
    let mut seen = vec![false; people];
    let (mut judged, mut total) = (0.0_f64, 0.0);
    for (round, ours) in rounds.iter().zip(chances) {
        for (((person, _), ours), plain) in round.judged.iter().zip(ours).zip(&round.chance) {
            let gain = ours.ln() - plain.ln();
            sums[*person] += gain;
            seen[*person] = true;
            total += gain;
            judged += 1.0;
        }
    }
    let customers = seen.iter().filter(|it| **it).count() as f64;
    let squares: f64 = sums.iter().map(|it| it * it).sum();
    let variance = (squares - total * total / customers.max(1.0)).max(0.0);
    let (gain, error) = (total / judged.max(1.0), variance.sqrt() / judged.max(1.0));
    let won = gain > 0.0 && gain > CLEARLY * error && judged > 0.0;
    Trial { name: candidate.as_str().to_owned(), gain, error, judged: judged as u64, won }
}

/// A customer's change of rate and history, bit by bit.
type Key = (u64, u32, u64, u64);

impl Round {
    /// The chance of what came to each of those judged.
    fn chances(&self, people: &[Person<'_>], model: &Model, lens: &Lens) -> Vec<f64> {
        let weeks = lens.weeks(self.cut, f64::from(self.horizon));
        let rows: Vec<Option<(f64, Summary, usize)>> = self
            .judged
            .iter()
            .map(|(i, actual)| {
                let it = people[*i];
                Some((lens.change(it.seen.as_ref()), lens.summary(it.days, self.cut)?, *actual))
            })
            .collect();
        let work = |rows: &[Option<(f64, Summary, usize)>]| -> Vec<f64> {
            let mut models: HashMap<u64, Model> = HashMap::new();
            let mut known: HashMap<Key, Counts> = HashMap::new();
            let chance = |row: &Option<(f64, Summary, usize)>| {
                let Some((change, it, actual)) = row else { return LEAST_CHANCE };
                let key = (change.to_bits(), it.x(), it.t_x().to_bits(), it.age().to_bits());
                let counts = known.entry(key).or_insert_with(|| {
                    let own = models.entry(change.to_bits()).or_insert_with(|| moved(model, *change));
                    own.counts(it, weeks)
                });
                counts.exactly(*actual).max(LEAST_CHANCE)
            };
            rows.iter().map(chance).collect()
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let parts = rows.chunks(rows.len().div_ceil(threads).max(1));
        thread::scope(|scope| {
            let parts: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
            parts.into_iter().flat_map(|it| it.join().unwrap_or_else(|it| resume_unwind(it))).collect()
        })
    }
}
