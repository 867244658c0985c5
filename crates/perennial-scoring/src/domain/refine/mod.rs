//! What makes a chosen model finer: a calendar clock, the first order's covariates, or a level of its own for each group of
//! customers. Each has to prove itself on the rolling origins by the logarithm of the chance given to what came.

mod estimate;
#[cfg(test)]
mod tests;
mod trial;

use perennial_clv::evaluate::Selection;
use perennial_clv::{Fit, Kind, Rows, Summary};
use serde::{Deserialize, Serialize};

use super::customer::PurchaseDay;
use super::lens::{Lens, PLAIN};
use super::portrait::{Field, Seen};

/// A customer, as a fit reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person<'a> {
    /// Purchase days, ascending.
    pub days: &'a [PurchaseDay],
    /// What was known at the first order.
    pub seen: Option<Seen<'a>>,
}

/// A way to make a model finer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// Time runs faster in seasons in which everybody buys more.
    Season,
    /// Channel, category, country, coupon, units and value of the first order, all together.
    Covariates,
    /// A level for each group by one of them, drawn to the workspace's.
    Group(Field),
}

impl Candidate {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Season => "season",
            Self::Covariates => "covariates",
            Self::Group(field) => field.as_str(),
        }
    }

    /// All there are.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let groups = Field::GROUPINGS.into_iter().map(Self::Group);
        [Self::Season, Self::Covariates].into_iter().chain(groups).collect()
    }

    /// Reads its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::all().into_iter().find(|it| it.as_str() == word)
    }
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Wish {
    /// The plain model.
    #[default]
    Plain,
    /// Let these compete.
    Compete(Vec<Candidate>),
    /// Learn again what won before.
    Keep(Box<Refined>),
}

/// How one of them did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub name: String,
    /// By how much the logarithm of the chance given to what came was better than the plain model's, a customer.
    pub gain: f64,
    /// The standard error of that over customers.
    pub error: f64,
    /// Customers judged, at all origins.
    pub judged: u64,
    /// Whether it serves.
    pub won: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refined {
    /// What serves.
    pub lens: Lens,
    /// Where its effects come from, if there are any.
    pub effects: Option<Candidate>,
    /// Who competed, in the order of their trials.
    pub trials: Vec<Trial>,
}

impl Refined {
    /// Whether the model is as it was.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.lens == PLAIN
    }

    /// By how much what won was better than the plain model, in all.
    #[must_use]
    pub fn gain(&self) -> f64 {
        self.trials.iter().filter(|it| it.won).map(|it| it.gain).sum()
    }

    /// Leaves the model as it was; the trials remain to be read.
    pub fn withdraw(&mut self) {
        (self.lens, self.effects) = (Lens::default(), None);
        self.trials.iter_mut().for_each(|it| it.won = false);
    }
}

/// What came of it: the lens and, where the clock changed, the model fitted on it.
pub type Outcome = (Refined, Option<Fit>);

/// The customers, sorted by what is known of them: what is learnt from every so-many-th does not depend on their ids.
#[must_use]
pub fn sorted(mut people: Vec<Person<'_>>) -> Vec<Person<'_>> {
    people.sort_unstable();
    people
}

/// Which of the wanted ones the data can carry.
#[must_use]
pub fn possible(wish: &Wish, people: &[Person<'_>], hold_out: &Selection, cutoff: i32) -> Vec<Candidate> {
    let Wish::Compete(wanted) = wish else { return Vec::new() };
    if hold_out.origins.is_empty() {
        return Vec::new();
    }
    let known: Vec<Seen<'_>> = people.iter().filter_map(|it| it.seen).collect();
    let can = |it: &Candidate| match it {
        Candidate::Season => trial::spans_years(people, cutoff),
        Candidate::Covariates => !estimate::columns(&known).is_empty(),
        Candidate::Group(field) => estimate::has_groups(&known, *field),
    };
    wanted.iter().copied().filter(can).collect()
}

/// Lets the possible ones compete, or learns again what won before. `stop` hears of each trial and may end it by answering
/// `true`: then there is nothing.
pub fn refine(
    people: &[Person<'_>],
    fit: &Fit,
    kind: Kind,
    (hold_out, cutoff): (&Selection, i32),
    (wish, possible): (&Wish, &[Candidate]),
    mut stop: impl FnMut(usize) -> bool,
) -> Option<Outcome> {
    let again = |lens: &Lens| -> Option<Fit> {
        let rows = Rows::new(people.iter().filter_map(|it| lens.summary(it.days, cutoff)));
        hold_out.fit(kind, &rows, Some(&fit.model)).ok()
    };
    let season = || estimate::season(people, &fit.model, cutoff);
    let mut found = Refined::default();
    let mut served = None;
    if let Wish::Keep(before) = wish {
        if before.lens.season.is_some() {
            found.lens.season = season();
            served = again(&found.lens);
        }
        let model = served.as_ref().map_or(&fit.model, |it| &it.model);
        found.effects = before.effects;
        found.trials.clone_from(&before.trials);
        if let Some(effects) = before.effects {
            estimate::effects(effects, model, people, cutoff, &mut found.lens);
        }
        return Some((found, served));
    }
    if possible.is_empty() {
        return Some((found, None));
    }
    let mut arena = trial::Arena::open(people, kind, hold_out, &fit.model);
    let mut done = 0;
    if possible.contains(&Candidate::Season) {
        if stop(done) {
            return None;
        }
        done += 1;
        let trial = arena.season(cutoff, &fit.model);
        if trial.won
            && let Some(learnt) = season()
        {
            found.lens.season = Some(learnt);
            served = again(&found.lens);
            arena.keep_season();
        }
        found.trials.push(trial);
    }
    let mut best: Option<(f64, Candidate)> = None;
    for it in possible.iter().filter(|it| **it != Candidate::Season) {
        if stop(done) {
            return None;
        }
        done += 1;
        let trial = arena.effects(*it);
        if trial.won && best.is_none_or(|(gain, _)| trial.gain > gain) {
            best = Some((trial.gain, *it));
        }
        found.trials.push(trial);
    }
    let winner = best.map(|it| it.1);
    for it in found.trials.iter_mut().filter(|it| it.name != Candidate::Season.as_str()) {
        it.won = winner.is_some_and(|winner| winner.as_str() == it.name);
    }
    if let Some(winner) = winner {
        let model = served.as_ref().map_or(&fit.model, |it| &it.model);
        estimate::effects(winner, model, people, cutoff, &mut found.lens);
        found.effects = Some(winner);
    }
    Some((found, served))
}

/// Those known at the end of a day, at most so many of them, evenly taken.
fn known<'a>(
    people: &[Person<'a>],
    lens: &Lens,
    cutoff: i32,
    most: usize,
) -> Vec<(usize, Option<Seen<'a>>, Summary)> {
    let count = people.iter().filter(|it| it.days.first().is_some_and(|it| it.day <= cutoff)).count();
    let by_then =
        people.iter().enumerate().filter(|(_, it)| it.days.first().is_some_and(|it| it.day <= cutoff));
    let taken = by_then.step_by(count.div_ceil(most).max(1));
    taken.filter_map(|(i, it)| Some((i, it.seen, lens.summary(it.days, cutoff)?))).collect()
}
