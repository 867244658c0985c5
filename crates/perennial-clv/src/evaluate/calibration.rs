//! Whether distributions mean what they say.

use crate::counts::Counts;

/// The randomised probability integral transform of an observed count: F(n−1) + u·P(n), with u from a generator fixed
/// by `seed` and `index`. Over many customers it is uniform if and only if the distributions are right.
#[must_use]
pub fn randomised_pit(counts: &Counts, observed: usize, seed: u64, index: u64) -> f64 {
    let below = 1.0 - counts.at_least(observed);
    (below + unit(seed, index) * counts.exactly(observed)).clamp(0.0, 1.0)
}

/// A number in [0, 1) (splitmix64).
fn unit(seed: u64, index: u64) -> f64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

/// The Kolmogorov–Smirnov distance of values in [0, 1] from the uniform distribution; 0 of nothing.
#[must_use]
pub fn uniform_distance(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let gap = |(i, it): (usize, &f64)| (it - i as f64 / n).abs().max((it - (i as f64 + 1.0) / n).abs());
    sorted.iter().enumerate().map(gap).fold(0.0, f64::max)
}

/// The share of observed counts inside the equal-tailed interval of a level.
///
/// Counts are discrete, so even a perfect model covers more than the level; less is a fault.
#[must_use]
pub fn coverage<'a>(pairs: impl IntoIterator<Item = (&'a Counts, usize)>, level: f64) -> f64 {
    let (mut inside, mut all) = (0.0_f64, 0.0_f64);
    for (counts, observed) in pairs {
        let (low, high) = (counts.quantile(0.5 - 0.5 * level), counts.quantile(0.5 + 0.5 * level));
        inside += f64::from(u8::from((low..=high).contains(&observed)));
        all += 1.0;
    }
    inside / all.max(1.0)
}
