//! The distribution of predicted value over all customers.

/// Bins of a distribution.
const BINS: usize = 12;

/// How values lie, minor units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// From, up to (none in the last), how many.
    pub bins: Vec<(i64, Option<i64>, u64)>,
    /// The median (nearest rank).
    pub median: i64,
    /// The mean.
    pub mean: i64,
    /// The sum.
    pub total: i64,
    /// The share of the sum that the most valuable fifth holds.
    pub top_fifth_share: f64,
}

impl Distribution {
    /// The distribution of some values; nothing of none.
    #[must_use]
    pub fn of(mut values: Vec<i64>) -> Option<Self> {
        values.sort_unstable();
        let (least, n) = (*values.first()?, values.len());
        let rank = |q: f64| values[(((n as f64 * q).ceil() as usize).max(1) - 1).min(n - 1)];
        let high = rank(0.98);
        let inner = BINS - 1;
        let width = ((high.saturating_sub(least)) / inner as i64).max(1);
        let mut bins = Vec::with_capacity(BINS);
        let mut from = least;
        let mut below = 0;
        for bin in 0..BINS {
            let to = (bin < inner).then(|| from.saturating_add(width));
            let end = to.map_or(n, |to| values.partition_point(|it| *it < to));
            bins.push((from, to, (end - below) as u64));
            below = end;
            from = to.unwrap_or(from);
        }
        let total = values.iter().fold(0_i64, |sum, it| sum.saturating_add(*it));
        let top = values[n - n.div_ceil(5)..].iter().fold(0_i64, |sum, it| sum.saturating_add(*it));
        let share = if total > 0 { top as f64 / total as f64 } else { 0.0 };
        Some(Self { bins, median: rank(0.5), mean: total / n as i64, total, top_fifth_share: share })
    }
}
