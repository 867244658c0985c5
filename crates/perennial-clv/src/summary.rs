//! One customer's history as the models see it: the sufficient statistics of Fader and Hardie, in the model's time unit.

use crate::error::InvalidValue;
use serde::{Deserialize, Serialize};

/// How often a customer bought again, when last, and how long they have been known.
///
/// All times are counted from the first purchase in one unit of the caller's choice (weeks in the literature);
/// a fitted model answers in the same unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Summary {
    x: u32,
    t_x: f64,
    age: f64,
    ln_gaps: f64,
    weight: f64,
}

/// The wire form; validated on the way in.
#[derive(Serialize, Deserialize)]
struct Raw {
    x: u32,
    t_x: f64,
    age: f64,
    #[serde(default)]
    ln_gaps: f64,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

impl TryFrom<Raw> for Summary {
    type Error = InvalidValue;

    fn try_from(raw: Raw) -> Result<Self, InvalidValue> {
        Self::new(raw.x, raw.t_x, raw.age)?.with_ln_gaps(raw.ln_gaps)?.with_weight(raw.weight)
    }
}

impl From<Summary> for Raw {
    fn from(it: Summary) -> Self {
        Self { x: it.x, t_x: it.t_x, age: it.age, ln_gaps: it.ln_gaps, weight: it.weight }
    }
}

impl Summary {
    /// A customer with `x` repeat purchases, the last of them `t_x` after the first purchase, known for `age` (T).
    ///
    /// # Errors
    /// Unless 0 ≤ `t_x` ≤ `age` < ∞ and `t_x` is 0 where `x` is 0.
    pub fn new(x: u32, t_x: f64, age: f64) -> Result<Self, InvalidValue> {
        if !age.is_finite() || age < 0.0 {
            return Err(InvalidValue::new(
                "age",
                "must be finite and not negative",
                age,
                "leave out customers whose first order is after the cutoff",
            ));
        }
        if !t_x.is_finite() || t_x < 0.0 || t_x > age {
            return Err(InvalidValue::new(
                "t_x",
                "must lie between 0 and the age",
                t_x,
                "count only orders up to the cutoff",
            ));
        }
        if x == 0 && t_x > 0.0 {
            return Err(InvalidValue::new(
                "t_x",
                "must be 0 without a repeat purchase",
                t_x,
                "measure from the first purchase",
            ));
        }
        Ok(Self { x, t_x, age, ln_gaps: 0.0, weight: 1.0 })
    }

    /// A customer at the moment of the first purchase: x = 0, T = 0.
    #[must_use]
    pub fn newborn() -> Self {
        Self { x: 0, t_x: 0.0, age: 0.0, ln_gaps: 0.0, weight: 1.0 }
    }

    /// The same history, standing for `weight` customers in a fit (0 leaves it out).
    ///
    /// # Errors
    /// Unless the weight is finite and not negative.
    pub fn with_weight(self, weight: f64) -> Result<Self, InvalidValue> {
        if !weight.is_finite() || weight < 0.0 {
            return Err(InvalidValue::new(
                "weight",
                "must be finite and not negative",
                weight,
                "use 1 for each customer",
            ));
        }
        Ok(Self { weight, ..self })
    }

    /// The same history with Σ ln(gap) over the `x` gaps between purchases, which only the likelihood of the
    /// regular models (k > 1) reads, and there only as a constant.
    ///
    /// # Errors
    /// Unless the sum is finite.
    pub fn with_ln_gaps(self, ln_gaps: f64) -> Result<Self, InvalidValue> {
        if !ln_gaps.is_finite() {
            return Err(InvalidValue::new(
                "ln_gaps",
                "must be finite",
                ln_gaps,
                "merge purchases of one instant first",
            ));
        }
        Ok(Self { ln_gaps, ..self })
    }

    /// The same customer at another age; `None` before the last purchase.
    #[must_use]
    pub fn at_age(self, age: f64) -> Option<Self> {
        (age.is_finite() && age >= self.t_x).then_some(Self { age, ..self })
    }

    /// The same customer at the instant of the last purchase (T = t_x).
    #[must_use]
    pub fn at_last_purchase(self) -> Self {
        Self { age: self.t_x, ..self }
    }

    /// Repeat purchases, the first one not counted.
    #[must_use]
    pub fn x(&self) -> u32 {
        self.x
    }

    /// From the first purchase to the last.
    #[must_use]
    pub fn t_x(&self) -> f64 {
        self.t_x
    }

    /// From the first purchase to the end of observation: T.
    #[must_use]
    pub fn age(&self) -> f64 {
        self.age
    }

    /// From the last purchase to the end of observation: T − t_x.
    #[must_use]
    pub fn silence(&self) -> f64 {
        self.age - self.t_x
    }

    /// Σ ln(gap) between consecutive purchases.
    #[must_use]
    pub fn ln_gaps(&self) -> f64 {
        self.ln_gaps
    }

    /// How many customers this history stands for.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight
    }
}
