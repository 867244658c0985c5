//! The names of the models of transactions.

use crate::beta_geometric::MOST_REGULAR;
use crate::error::InvalidValue;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A model of transactions; written `bg-nbd`, `mbg-nbd`, `bg-cnbd-2`, `mbg-cnbd-2`, `pareto-nbd`, `nbd`, `stack`, `boosted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Kind {
    /// Beta-geometric dropout after each repeat purchase (Fader, Hardie and Lee 2005).
    BgNbd,
    /// The same, but the first purchase can be the last (Batislam et al. 2007).
    MbgNbd,
    /// BG with Erlang-k gaps: regular buyers (Platzer and Reutterer 2016).
    BgCnbd(u32),
    /// MBG with Erlang-k gaps.
    MbgCnbd(u32),
    /// An unseen exponential lifetime (Schmittlein, Morrison and Colombo 1987).
    ParetoNbd,
    /// No dropout at all (Ehrenberg 1959).
    Nbd,
    /// Several of the others forecasting together, with weights learnt on hold-outs.
    Stack,
    /// Boosted trees over the stack, or over the one model there is: order from the trees, level from the model. It competes
    /// where it is named, and is used by [`crate::Boosting`].
    Boosted,
}

impl Kind {
    /// The names of the parameters, in order.
    #[must_use]
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::BgNbd | Self::MbgNbd | Self::BgCnbd(_) | Self::MbgCnbd(_) => &["r", "alpha", "a", "b"],
            Self::ParetoNbd => &["r", "alpha", "s", "beta"],
            Self::Nbd => &["r", "alpha"],
            Self::Stack | Self::Boosted => &[],
        }
    }

    /// Which of the parameters are times and so scale with the unit.
    pub(crate) fn is_time(self, parameter: usize) -> bool {
        matches!(self.parameters().get(parameter), Some(&("alpha" | "beta")))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BgNbd => f.write_str("bg-nbd"),
            Self::MbgNbd => f.write_str("mbg-nbd"),
            Self::BgCnbd(k) => write!(f, "bg-cnbd-{k}"),
            Self::MbgCnbd(k) => write!(f, "mbg-cnbd-{k}"),
            Self::ParetoNbd => f.write_str("pareto-nbd"),
            Self::Nbd => f.write_str("nbd"),
            Self::Stack => f.write_str("stack"),
            Self::Boosted => f.write_str("boosted"),
        }
    }
}

impl FromStr for Kind {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let regular = |prefix: &str| {
            let k = text.strip_prefix(prefix)?.parse().ok()?;
            (1..=MOST_REGULAR).contains(&k).then_some(k)
        };
        match text {
            "bg-nbd" => Ok(Self::BgNbd),
            "mbg-nbd" => Ok(Self::MbgNbd),
            "pareto-nbd" => Ok(Self::ParetoNbd),
            "nbd" => Ok(Self::Nbd),
            "stack" => Ok(Self::Stack),
            "boosted" => Ok(Self::Boosted),
            _ => match (regular("bg-cnbd-"), regular("mbg-cnbd-")) {
                (Some(1), _) => Ok(Self::BgNbd),
                (Some(k), _) => Ok(Self::BgCnbd(k)),
                (_, Some(1)) => Ok(Self::MbgNbd),
                (_, Some(k)) => Ok(Self::MbgCnbd(k)),
                (None, None) => Err(InvalidValue::new(
                    "kind",
                    "is no model of transactions",
                    text,
                    "use pareto-nbd, bg-nbd, mbg-nbd, bg-cnbd-K, mbg-cnbd-K (K up to 12) or nbd",
                )),
            },
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<Kind> for String {
    fn from(it: Kind) -> Self {
        it.to_string()
    }
}
