//! The search for a maximum of a likelihood, and the verdict on where it ended.

use crate::fit::Status;
use crate::optimise::{BOX, Found, Objective, minimise};
use crate::parallel;

/// Starts are compared on about this many rows before all are read.
const SAMPLE: usize = 2048;

/// Below this curvature (per squared logarithm) the data say nothing about a parameter: its standard error is a
/// factor of e³⁰.
const FLAT: f64 = 1e-3;

/// A search that has ended, and the verdict on it.
pub(crate) struct Searched {
    pub(crate) found: Found,
    pub(crate) status: Status,
}

/// What is maximised: a sum over rows as a function of parameters, the first `positive` of which are searched as
/// logarithms and the rest as they are.
pub(crate) struct Problem<'a, N, F> {
    pub(crate) names: &'a [N],
    pub(crate) positive: usize,
    /// Adds value and derivatives by the natural parameters of some rows onto 1 + n sums.
    pub(crate) add: F,
}

impl<N: AsRef<str>, F> Problem<'_, N, F> {
    /// Natural parameters from searched ones.
    pub(crate) fn natural(&self, at: &[f64]) -> Vec<f64> {
        at.iter().enumerate().map(|(i, it)| if i < self.positive { it.exp() } else { *it }).collect()
    }

    /// Maximises: all starts on a sample of the rows, the best of them on all rows, and a second search along the
    /// edge where the first ends on a ridge.
    pub(crate) fn search<R: Sync + Copy>(&self, rows: &[R], starts: &[Vec<f64>]) -> Option<Searched>
    where
        F: Fn(&[f64], &[R], &mut [f64]) + Sync,
    {
        let best = |rows: &[R], before: Option<&Found>, goal: f64| {
            let objective = Likelihood { problem: self, rows, pinned: None };
            if let Some(before) = before {
                return minimise(&objective, &before.at, goal);
            }
            starts
                .iter()
                .filter_map(|it| minimise(&objective, it, goal))
                .min_by(|left, right| left.value.total_cmp(&right.value))
        };
        // The gradient of a sum of n rounded terms cannot vanish better than this.
        let goal = 1e-7_f64.max(1e-11 * rows.len() as f64);
        // Each stage starts where the one before, on a sixteenth of the rows, has ended.
        let mut size = SAMPLE;
        let mut found = None;
        while size < rows.len() {
            let sample: Vec<R> = rows.iter().copied().step_by(rows.len().div_ceil(size)).collect();
            found = Some(best(&sample, found.as_ref(), 1e-3)?);
            size *= 16;
        }
        let found = best(rows, found.as_ref(), goal)?;
        Some(self.judge(rows, found, goal))
    }

    /// Certifies an optimum, or looks for the limit of the model that the data point to.
    fn judge<R: Sync>(&self, rows: &[R], found: Found, goal: f64) -> Searched
    where
        F: Fn(&[f64], &[R], &mut [f64]) + Sync,
    {
        let accepted = 10.0 * goal.max(1e-7);
        if found.bound.is_empty() && found.gradient_max <= accepted && found.least_curvature > FLAT {
            return Searched { found, status: Status::Optimum };
        }
        let found = self.to_the_edge(rows, found, goal);
        let status = if found.bound.is_empty() {
            if found.gradient_max <= accepted && found.least_curvature > 0.0 {
                Status::Optimum
            } else {
                Status::NotConverged
            }
        } else if found.gradient_max <= 1e3 * accepted {
            self.boundary(&found)
        } else {
            Status::NotConverged
        };
        Searched { found, status }
    }

    /// Follows a ridge to the edge of the box, if the likelihood does not fall on the way.
    fn to_the_edge<R: Sync>(&self, rows: &[R], mut found: Found, goal: f64) -> Found
    where
        F: Fn(&[f64], &[R], &mut [f64]) + Sync,
    {
        for _ in 0..self.positive {
            let Some(flat) = found.flattest.filter(|it| *it < self.positive && found.least_curvature <= FLAT)
            else {
                break;
            };
            // Parameters come in pairs whose ratio the data do know: the pair moves until one of them is at the edge.
            let partner = Some(flat ^ 1).filter(|it| *it < self.positive);
            let mut tries = vec![(flat, BOX, None), (flat, -BOX, None)];
            if let Some(partner) = partner {
                let (low, high) =
                    if found.at[flat] < found.at[partner] { (flat, partner) } else { (partner, flat) };
                tries.extend([(high, BOX, Some(low)), (low, -BOX, Some(high))]);
            }
            let ends = tries.into_iter().filter_map(|(first, edge, follower)| {
                let mut start = found.at.clone();
                if let Some(follower) = follower {
                    start[follower] += edge - start[first];
                }
                start[first] = edge;
                minimise(&Likelihood { problem: self, rows, pinned: Some(first) }, &start, goal)
            });
            let Some(end) = ends.min_by(|left, right| left.value.total_cmp(&right.value)) else { break };
            if end.value > found.value + 1e-6 * found.value.abs().max(1.0).sqrt() {
                break;
            }
            found = end;
        }
        found
    }

    fn boundary(&self, found: &Found) -> Status {
        let mut meaning = Vec::new();
        for &i in &found.bound {
            let name = self.names[i].as_ref();
            let end = if found.at[i] > 0.0 { "has no upper limit" } else { "vanishes" };
            let what = match name {
                "r" | "alpha" => "customers hardly differ in this rate, or it is extreme",
                "a" | "b" => "customers hardly differ in their dropout probability, or it is extreme",
                "s" | "beta" => "customers hardly differ in their dropout rate, or it is extreme",
                _ => "the data do not determine it",
            };
            meaning.push(format!("{name} {end}: {what}"));
        }
        Status::Boundary {
            parameters: found.bound.iter().map(|&i| self.names[i].as_ref().to_owned()).collect(),
            meaning: meaning.join("; "),
        }
    }
}

/// A log-likelihood turned upside down.
struct Likelihood<'a, N, R, F> {
    problem: &'a Problem<'a, N, F>,
    rows: &'a [R],
    pinned: Option<usize>,
}

impl<N: AsRef<str>, R: Sync, F: Fn(&[f64], &[R], &mut [f64]) + Sync> Objective for Likelihood<'_, N, R, F> {
    fn dimension(&self) -> usize {
        self.problem.names.len()
    }

    fn pinned(&self, parameter: usize) -> bool {
        self.pinned == Some(parameter)
    }

    fn value(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let values = self.problem.natural(at);
        let add = &self.problem.add;
        let sums = parallel::sum(self.rows, values.len() + 1, |rows, sums| add(&values, rows, sums));
        for (i, it) in gradient.iter_mut().enumerate() {
            let slope = if i < self.problem.positive { values[i] } else { 1.0 };
            *it = -slope * sums[i + 1];
        }
        -sums[0]
    }
}
