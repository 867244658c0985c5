//! Customers drawn from a model: to check a formula by brute force, to rehearse, to measure.

use crate::beta_geometric::BetaGeometric;
use crate::gamma_gamma::GammaGamma;
use crate::model::Model;
use crate::nbd::Nbd;
use crate::pareto::ParetoNbd;
use crate::summary::Summary;

/// More purchases than this are not drawn for one customer.
const MOST: usize = 1_000_000;

/// A source of chance that gives the same draws for the same seed on every machine (xoshiro256++).
#[derive(Debug, Clone)]
pub struct Chance {
    state: [u64; 4],
}

impl Chance {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut z = seed;
        let mut next = || {
            z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut it = z;
            it = (it ^ (it >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            it = (it ^ (it >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            it ^ (it >> 31)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Standard normal (Box and Muller, one of the pair).
    fn normal(&mut self) -> f64 {
        (2.0 * self.exponential()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Gamma of a shape with scale 1 (Marsaglia and Tsang 2000), as its logarithm: small shapes underflow.
    fn ln_gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.ln_gamma(shape + 1.0) - self.exponential() / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d.ln() + v.ln();
            }
        }
    }

    /// Gamma of a shape with scale 1.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        self.ln_gamma(shape).exp()
    }

    /// Beta of two shapes.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.ln_gamma(a), self.ln_gamma(b));
        1.0 / (1.0 + (y - x).exp())
    }
}

impl Model {
    /// The times of the repeat purchases of one new customer drawn from the model, up to `until`.
    pub fn simulate(&self, chance: &mut Chance, until: f64) -> Vec<f64> {
        match *self {
            Self::BetaGeometric(BetaGeometric { r, alpha, a, b, k, modified }) => {
                let rate = chance.gamma(r) / alpha;
                let quits = chance.beta(a, b);
                let mut times = Vec::new();
                let mut now = 0.0;
                let mut alive = !modified || chance.uniform() >= quits;
                while alive && times.len() < MOST {
                    now += (0..k).map(|_| chance.exponential()).sum::<f64>() / rate;
                    // Not a number where rate is nought: nobody comes.
                    if now.is_nan() || now > until {
                        break;
                    }
                    times.push(now);
                    alive = chance.uniform() >= quits;
                }
                times
            }
            Self::ParetoNbd(ParetoNbd { r, alpha, s, beta }) => {
                let rate = chance.gamma(r) / alpha;
                let end = chance.exponential() * beta / chance.gamma(s);
                poisson(chance, rate, until.min(end))
            }
            Self::Nbd(Nbd { r, alpha }) => {
                let rate = chance.gamma(r) / alpha;
                poisson(chance, rate, until)
            }
            // Each customer is of one of the members.
            Self::Stack(ref it) => {
                let mut draw = chance.uniform();
                let mut members = it.members();
                let first = members.next();
                let drawn = first.into_iter().chain(members).find(|(weight, _)| {
                    draw -= weight;
                    draw < 0.0
                });
                drawn.or(first).map_or_else(Vec::new, |(_, model)| model.simulate(chance, until))
            }
        }
    }
}

fn poisson(chance: &mut Chance, rate: f64, until: f64) -> Vec<f64> {
    let mut times = Vec::new();
    let mut now = 0.0;
    while times.len() < MOST {
        now += chance.exponential() / rate;
        if now.is_nan() || now > until {
            break;
        }
        times.push(now);
    }
    times
}

impl GammaGamma {
    /// The values of `n` orders of one new customer drawn from the model.
    pub fn simulate(&self, chance: &mut Chance, n: usize) -> Vec<f64> {
        let scale = self.gamma() / chance.gamma(self.q());
        (0..n).map(|_| chance.gamma(self.p()) * scale).collect()
    }
}

impl Summary {
    /// The history of a customer with repeat purchases at these ascending times, seen up to `age`; later ones are not
    /// looked at. Nothing if the age is not a number or negative.
    #[must_use]
    pub fn from_times(times: &[f64], age: f64) -> Option<Self> {
        let seen = &times[..times.partition_point(|it| *it <= age)];
        let mut before = 0.0;
        let mut ln_gaps = 0.0;
        for it in seen {
            ln_gaps += f64::ln(it - before);
            before = *it;
        }
        let it = Self::new(u32::try_from(seen.len()).ok()?, before, age).ok()?;
        it.with_ln_gaps(ln_gaps).ok()
    }
}
