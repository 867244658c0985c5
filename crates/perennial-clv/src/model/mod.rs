//! One type for every model of transactions, so that a service stores a fitted model and scores with it without
//! knowing which it is.

mod forecasts;
mod transactions;
mod written;

pub use forecasts::Given;
pub(crate) use forecasts::Outlook;
pub(crate) use transactions::Transactions;

use crate::beta_geometric::BetaGeometric;
use crate::error::InvalidValue;
use crate::kind::Kind;
use crate::nbd::Nbd;
use crate::pareto::ParetoNbd;
use crate::stack::Stack;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use written::Raw;

/// A model of transactions with its parameters.
///
/// As JSON: `{"kind":"bg-nbd","params":{"alpha":4.41,"a":0.79,"b":2.43,"r":0.24}}`. Reading it back checks every
/// parameter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "a model is read a million times and copied seldom")]
pub enum Model {
    /// BG/NBD, MBG/NBD and their regular forms.
    BetaGeometric(BetaGeometric),
    /// An unseen lifetime.
    ParetoNbd(ParetoNbd),
    /// Nobody drops out.
    Nbd(Nbd),
    /// Several of the others, forecasting together.
    Stack(Stack),
}

impl Model {
    /// A model from its kind and named parameters, as a person or a file gives them.
    ///
    /// # Errors
    /// If a parameter is missing, unknown, not positive or not finite.
    pub fn from_params<'a>(
        kind: Kind,
        params: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<Self, InvalidValue> {
        let names = kind.parameters();
        let mut values = vec![f64::NAN; names.len()];
        for (name, value) in params {
            match names.iter().position(|it| *it == name) {
                Some(i) => values[i] = value,
                None => {
                    return Err(InvalidValue::new(
                        "params",
                        "has a name this model does not know",
                        name,
                        "see Kind::parameters for the names",
                    ));
                }
            }
        }
        Self::from_values(kind, &values)
    }

    /// From values in the order of [`Kind::parameters`].
    pub(crate) fn from_values(kind: Kind, values: &[f64]) -> Result<Self, InvalidValue> {
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        let four = [at(0), at(1), at(2), at(3)];
        let family = |k, modified| Ok(Self::BetaGeometric(BetaGeometric::new(four, k, modified)?));
        match kind {
            Kind::BgNbd => family(1, false),
            Kind::MbgNbd => family(1, true),
            Kind::BgCnbd(k) => family(k, false),
            Kind::MbgCnbd(k) => family(k, true),
            Kind::ParetoNbd => Ok(Self::ParetoNbd(ParetoNbd::new(at(0), at(1), at(2), at(3))?)),
            Kind::Nbd => Ok(Self::Nbd(Nbd::new(at(0), at(1))?)),
            Kind::Stack | Kind::Boosted => Err(InvalidValue::new(
                "kind",
                "is made of fitted models, not of parameters",
                kind,
                "let evaluate::select make it, or use Stack::new",
            )),
        }
    }

    /// Which model this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::BetaGeometric(BetaGeometric { k, modified, .. }) => match (k, modified) {
                (1, false) => Kind::BgNbd,
                (1, true) => Kind::MbgNbd,
                (k, false) => Kind::BgCnbd(*k),
                (k, true) => Kind::MbgCnbd(*k),
            },
            Self::ParetoNbd(_) => Kind::ParetoNbd,
            Self::Nbd(_) => Kind::Nbd,
            Self::Stack(_) => Kind::Stack,
        }
    }

    /// The models this one consists of, with their weights: itself with 1, unless it is a stack.
    #[must_use]
    pub fn members(&self) -> Vec<(f64, Self)> {
        match self {
            Self::Stack(it) => it.members().collect(),
            it => vec![(1.0, *it)],
        }
    }

    /// The member of a kind: where a search for that kind may start.
    #[must_use]
    pub fn member(&self, kind: Kind) -> Option<Self> {
        self.members().into_iter().map(|it| it.1).find(|it| it.kind() == kind)
    }

    /// Whether the model can tell of this customer that they have dropped out.
    pub(crate) fn can_drop_out(&self, it: &Summary) -> bool {
        match self {
            Self::BetaGeometric(model) => model.modified || it.x() > 0,
            Self::ParetoNbd(_) => true,
            Self::Nbd(_) => false,
            Self::Stack(model) => model.members().any(|(_, model)| model.can_drop_out(it)),
        }
    }

    /// The parameters by name, in the order of [`Kind::parameters`]; a stack has none of its own.
    #[must_use]
    pub fn params(&self) -> Vec<(&'static str, f64)> {
        let values = match self {
            Self::BetaGeometric(it) => vec![it.r, it.alpha, it.a, it.b],
            Self::ParetoNbd(it) => vec![it.r, it.alpha, it.s, it.beta],
            Self::Nbd(it) => vec![it.r, it.alpha],
            Self::Stack(_) => Vec::new(),
        };
        self.kind().parameters().iter().copied().zip(values).collect()
    }

    /// The one model this is, or the stack.
    fn inner(&self) -> Result<&dyn Transactions, &Stack> {
        match self {
            Self::BetaGeometric(it) => Ok(it),
            Self::ParetoNbd(it) => Ok(it),
            Self::Nbd(it) => Ok(it),
            Self::Stack(it) => Err(it),
        }
    }
}
