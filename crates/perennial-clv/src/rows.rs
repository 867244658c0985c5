//! Raw summaries compressed to distinct weighted rows: what a likelihood reads, once per evaluation.

use crate::summary::Summary;

/// One distinct (x, t_x, T) and how many customers share it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    pub(crate) x: f64,
    pub(crate) t_x: f64,
    pub(crate) age: f64,
    pub(crate) weight: f64,
}

/// The distinct histories of many customers, sorted by (x, T, t_x), so that a fit is reproducible to the bit
/// whatever order the customers came in.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub(crate) rows: Vec<Row>,
    /// Σ weight.
    pub(crate) customers: f64,
    /// Σ weight · Σ ln(gap).
    pub(crate) ln_gaps: f64,
}

impl Rows {
    /// Compresses the histories of many customers.
    #[must_use]
    pub fn new(customers: impl IntoIterator<Item = Summary>) -> Self {
        let mut keyed: Vec<Keyed> =
            customers.into_iter().filter(|it| it.weight() > 0.0).map(Keyed::new).collect();
        // Not-negative floats order as their bits, so one comparison of integers decides. Weight and gaps are
        // part of the order: a sum of floats depends on it.
        keyed.sort_unstable_by_key(|it| it.key);
        let mut it = Self::default();
        for Keyed { key, ln_gaps } in keyed {
            let (x, age, t_x, weight) =
                (key.0, f64::from_bits(key.1), f64::from_bits(key.2), f64::from_bits(key.3));
            it.customers += weight;
            it.ln_gaps += weight * ln_gaps;
            match it.rows.last_mut() {
                #[expect(clippy::float_cmp, reason = "rows are equal when their bits are")]
                Some(last) if last.x == f64::from(x) && last.age == age && last.t_x == t_x => {
                    last.weight += weight
                }
                _ => it.rows.push(Row { x: f64::from(x), t_x, age, weight }),
            }
        }
        it
    }

    /// The distinct histories, each with how many customers share it.
    pub fn distinct(&self) -> impl Iterator<Item = (Summary, f64)> + '_ {
        // What was valid going in is valid coming out.
        self.rows.iter().filter_map(|it| Some((Summary::new(it.x as u32, it.t_x, it.age).ok()?, it.weight)))
    }

    /// How many distinct histories there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many customers they stand for.
    #[must_use]
    pub fn customers(&self) -> f64 {
        self.customers
    }

    /// Their repeat purchases together, Σ x.
    #[must_use]
    pub fn repeat_purchases(&self) -> f64 {
        self.rows.iter().map(|it| it.weight * it.x).sum()
    }

    /// The mean age, in the caller's unit.
    #[must_use]
    pub fn mean_age(&self) -> f64 {
        if self.customers > 0.0 {
            self.rows.iter().map(|it| it.weight * it.age).sum::<f64>() / self.customers
        } else {
            0.0
        }
    }

    /// The same rows with every time multiplied by `factor`.
    pub(crate) fn scaled(&self, factor: f64) -> Vec<Row> {
        self.rows.iter().map(|it| Row { t_x: it.t_x * factor, age: it.age * factor, ..*it }).collect()
    }
}

struct Keyed {
    key: (u32, u64, u64, u64),
    ln_gaps: f64,
}

impl Keyed {
    fn new(it: Summary) -> Self {
        // −0.0 would sort behind everything; adding 0.0 makes it +0.0.
        let bits = |it: f64| (it + 0.0).to_bits();
        Self { key: (it.x(), bits(it.age()), bits(it.t_x()), bits(it.weight())), ln_gaps: it.ln_gaps() }
    }
}
