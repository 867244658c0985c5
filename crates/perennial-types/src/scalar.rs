//! Scalar values: what rules, branches and templates can see of an event's properties and a profile's traits.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A scalar property or trait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number; JSON numbers without a fraction are read as this.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
}

/// Scalars by name. Nested objects are flattened with dots (`address.city`); lists are not kept.
pub type Properties = BTreeMap<String, Scalar>;

impl Scalar {
    /// The number it is, or the number it reads as if it is text that is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(_) => None,
            #[expect(clippy::cast_precision_loss, reason = "rules compare as doubles beyond 2^53")]
            Self::Int(it) => Some(*it as f64),
            Self::Float(it) => Some(*it),
            Self::Text(it) => it.trim().parse().ok().filter(|it: &f64| it.is_finite()),
        }
    }

    /// The text it is.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(it) => Some(it),
            _ => None,
        }
    }
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(it) => it.fmt(f),
            Self::Int(it) => it.fmt(f),
            Self::Float(it) => it.fmt(f),
            Self::Text(it) => it.fmt(f),
        }
    }
}

impl From<&str> for Scalar {
    fn from(it: &str) -> Self {
        Self::Text(it.to_owned())
    }
}
