//! Chance, and nothing but a seed behind it: the same words give the same draws on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of draws for one purpose of one customer. Streams never touch each other, so adding a draw to one of them
/// changes nothing elsewhere.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

/// The multiplier of FNV-1a.
const PRIME: u64 = 0x0100_0000_01b3;

/// A stream's number drawn from words (FNV-1a): stable for ever, unlike the standard library's hashes.
#[must_use]
pub fn stream(words: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        for byte in word.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
    hash
}

impl Chance {
    /// The stream of this number under a seed.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Even in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// True with probability `p`.
    pub fn happens(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A whole number from 0 to `below` − 1, evenly; 0 if `below` is 0.
    pub fn below(&mut self, below: usize) -> usize {
        if below == 0 { 0 } else { self.0.random_range(0..below) }
    }

    /// A whole number in `[from, to]`, evenly.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.random_range(from..=to.max(from))
    }

    /// A waiting time with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A gamma variate of this shape and mean (Marsaglia and Tsang).
    pub fn gamma(&mut self, shape: f64, mean: f64) -> f64 {
        let scale = mean / shape;
        if shape < 1.0 {
            let power = self.unit().max(f64::MIN_POSITIVE).powf(1.0 / shape);
            return self.gamma_above_one(shape + 1.0) * power * scale;
        }
        self.gamma_above_one(shape) * scale
    }

    fn gamma_above_one(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 {
                let u = (1.0 - self.unit()).ln();
                if u < 0.5 * x * x + d - d * v + d * v.ln() {
                    return d * v;
                }
            }
        }
    }

    /// A beta variate.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a, a), self.gamma(b, b));
        if x + y > 0.0 { x / (x + y) } else { 0.5 }
    }

    /// One of `items`, by its weight.
    pub fn weighted<'a, T>(&mut self, items: &'a [(T, f64)]) -> &'a T {
        let total: f64 = items.iter().map(|(_, weight)| weight).sum();
        let mut left = self.unit() * total;
        for (item, weight) in items {
            left -= weight;
            if left < 0.0 {
                return item;
            }
        }
        &items[items.len() - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut chance = Chance::new(1, stream(&[b"moments"]));
        let n = 40_000;
        let mean = |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || chance.gamma(0.6, 2.0)) - 2.0).abs() < 0.06);
        assert!((mean(&mut || chance.gamma(6.0, 50.0)) - 50.0).abs() < 0.5);
        assert!((mean(&mut || chance.beta(1.5, 4.5)) - 0.25).abs() < 0.005);
        assert!((mean(&mut || chance.exponential(3.0)) - 3.0).abs() < 0.06);
        assert!(mean(&mut || chance.normal()).abs() < 0.02);
    }

    #[test]
    fn streams_are_apart_and_repeat() {
        let draws = |seed, stream| (0..4).map(|_| Chance::new(seed, stream).unit()).collect::<Vec<_>>();
        assert_eq!(draws(1, 2), draws(1, 2));
        assert_ne!(draws(1, 2), draws(1, 3));
        assert_ne!(draws(1, 2), draws(2, 2));
    }
}
