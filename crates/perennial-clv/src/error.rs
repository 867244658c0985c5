//! What can be wrong with input, and what to do about it.

use thiserror::Error;

/// A value outside its domain: names the field, what it must be, and what came.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{field}: {reason} (got {value}); {remedy}")]
pub struct InvalidValue {
    /// The field or parameter.
    pub field: &'static str,
    /// What the value must be.
    pub reason: &'static str,
    /// The value that was refused, as text.
    pub value: String,
    /// What to do.
    pub remedy: &'static str,
}

impl InvalidValue {
    pub(crate) fn new(
        field: &'static str,
        reason: &'static str,
        value: impl ToString,
        remedy: &'static str,
    ) -> Self {
        Self { field, reason, value: value.to_string(), remedy }
    }

    /// The value if it is a positive finite number.
    pub(crate) fn positive(field: &'static str, value: f64) -> Result<f64, Self> {
        const REMEDY: &str = "check the unit of the data, or fit the model again";
        if value.is_finite() && value > 0.0 {
            Ok(value)
        } else {
            Err(Self::new(field, "must be positive and finite", value, REMEDY))
        }
    }
}

/// Why a model cannot be fitted to the data given.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum FitError {
    /// There is nothing to learn from.
    #[error(
        "customers: {have} of at least {need} are there; wait for more, or fit several workspaces together"
    )]
    TooFew {
        /// How many there are.
        have: usize,
        /// How many are needed.
        need: usize,
    },
    /// Everybody bought once, so no rate of repeat purchase can be learnt.
    #[error("x: no customer has bought twice, so a repeat rate cannot be learnt; extend the window or wait")]
    NoRepeat,
    /// Nobody was observed for any time.
    #[error(
        "age: no customer was observed for longer than the day of the first order; choose a later cutoff"
    )]
    NoTime,
    /// A value is outside its domain.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// The search stopped before the gradient vanished.
    #[error("{model}: the search did not converge; look for extreme customers, or use another model")]
    NotConverged {
        /// The model.
        model: String,
    },
    /// No starting point gave a finite likelihood.
    #[error(
        "{model}: the likelihood is not finite at any starting point; look for extreme values of {field}"
    )]
    NotFinite {
        /// The model.
        model: String,
        /// Where to look.
        field: &'static str,
    },
}
