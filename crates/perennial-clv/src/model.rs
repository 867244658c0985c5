//! One type for every model of transactions, so that a service stores a fitted model and scores with it without
//! knowing which it is.

use crate::beta_geometric::BetaGeometric;
use crate::counts::{Counts, LEAST};
use crate::error::InvalidValue;
use crate::kind::Kind;
use crate::nbd::Nbd;
use crate::pareto::ParetoNbd;
use crate::quadrature::{GAUSS_8, GAUSS_12, Rule};
use crate::stack::Stack;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest horizon that is answered, in units of the model's own time scale; longer ones are cut to it.
const LONGEST: f64 = 1e18;

/// What a model of transactions can say. Times are in the unit of the data it was fitted to.
///
/// The provided methods hold for any model in which a customer who is dead never returns.
pub(crate) trait Transactions {
    fn ln_likelihood(&self, it: &Summary) -> f64;
    fn p_alive(&self, it: &Summary) -> f64;
    /// P(alive) to about 1e-12, where that is cheaper.
    fn p_alive_fast(&self, it: &Summary) -> f64 {
        self.p_alive(it)
    }
    fn ln_p_alive(&self, it: &Summary) -> f64;
    /// The time over which the posterior changes: α + T.
    fn scale(&self, it: &Summary) -> f64;
    fn expected_if_alive(&self, it: &Summary, times: &[f64]) -> Vec<f64>;
    /// P(X ≥ n), n = 0, 1, …, until less than `least` is left.
    fn tail_if_alive(&self, it: &Summary, t: f64, least: f64) -> Vec<f64>;
    fn order_within_if_alive(&self, it: &Summary, t: f64) -> f64;
    /// The chance that a customer who is alive ever orders again.
    fn order_ever_if_alive(&self, _: &Summary) -> f64 {
        1.0
    }
    /// A bound from below on that chance which costs nothing.
    fn order_ever_at_least(&self, _: &Summary) -> f64 {
        1.0
    }
    /// `q` in (0, 1).
    fn next_order_if_alive(&self, it: &Summary, q: f64) -> Option<f64>;
    /// `threshold` in (0, 1).
    fn lapse_after(&self, it: &Summary, threshold: f64) -> Option<f64>;

    /// ∫₀ʰ e^(−δt) dE(t) = e^(−δh) E(h) + δ ∫₀ʰ e^(−δt) E(t) dt for a customer who is alive; the integral by
    /// Gauss–Legendre in ln(1 + t/scale).
    fn discounted_if_alive(&self, it: &Summary, horizon: f64, rate: f64) -> f64 {
        if rate == 0.0 {
            return self.expected_if_alive(it, &[horizon])[0];
        }
        let scale = self.scale(it);
        // Beyond 45 units of discount nothing is left to count.
        let end = horizon.min(45.0 / rate);
        let reach = (end / scale).ln_1p();
        // Neither E nor the discount may change much within a panel.
        let panels = (reach / 1.2).max(rate * end / 8.0).ceil().max(1.0);
        let width = reach / panels;
        let rule: &Rule = if reach <= 1.2 && rate * end <= 2.0 { &GAUSS_8 } else { &GAUSS_12 };
        let (mut times, mut weights) = (Vec::new(), Vec::new());
        let mut panel = 0.0;
        while panel < panels {
            for &(u, weight) in &rule.points {
                let v = (panel + u) * width;
                let t = scale * v.exp_m1();
                times.push(t);
                // dt = (scale + t) dv
                weights.push(weight * width * (scale + t) * rate * (-rate * t).exp());
            }
            panel += 1.0;
        }
        times.push(end);
        weights.push((-rate * end).exp());
        self.expected_if_alive(it, &times).iter().zip(&weights).map(|(e, w)| e * w).sum()
    }
}

/// What is taken as known about a customer when the next order is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The history alone: the customer may have dropped out already.
    History,
    /// The history, and that the customer is alive at its end.
    Alive,
}

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

#[derive(Serialize, Deserialize)]
struct Raw {
    kind: Kind,
    #[serde(default)]
    params: BTreeMap<String, f64>,
    /// Of a stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<RawMember>,
}

#[derive(Serialize, Deserialize)]
struct RawMember {
    weight: f64,
    model: Model,
}

impl TryFrom<Raw> for Model {
    type Error = InvalidValue;

    fn try_from(raw: Raw) -> Result<Self, InvalidValue> {
        if raw.kind == Kind::Stack {
            let members: Vec<(f64, Self)> = raw.members.into_iter().map(|it| (it.weight, it.model)).collect();
            return Ok(Self::Stack(Stack::new(&members)?));
        }
        Self::from_params(raw.kind, raw.params.iter().map(|(name, value)| (name.as_str(), *value)))
    }
}

impl From<Model> for Raw {
    fn from(it: Model) -> Self {
        let params = it.params().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let members = match it {
            Model::Stack(it) => it.members().map(|(weight, model)| RawMember { weight, model }).collect(),
            _ => Vec::new(),
        };
        Self { kind: it.kind(), params, members }
    }
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

    /// The log-likelihood of one customer's purchase times.
    #[must_use]
    pub fn ln_likelihood(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.ln_likelihood(it), |model| model.ln_likelihood(it))
    }

    /// P(alive): the chance that the customer has not dropped out by the end of the history.
    ///
    /// In the plain BG forms this is 1 for x = 0 by construction; do not show it to people as certainty.
    #[must_use]
    pub fn p_alive(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.p_alive(it), |model| model.p_alive(it))
    }

    /// P(alive) to about 1e-12, for searches.
    pub(crate) fn p_alive_fast(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.p_alive(it), |model| model.p_alive_fast(it))
    }

    /// ln P(alive), which stays exact where P(alive) itself underflows.
    #[must_use]
    pub fn ln_p_alive(&self, it: &Summary) -> f64 {
        self.inner().map_or_else(|stack| stack.ln_p_alive(it), |model| model.ln_p_alive(it))
    }

    /// Expected orders within `horizon` after the end of the history.
    ///
    /// A horizon that is negative or not a number counts as none; one beyond 10¹⁸ times α + T is cut to that.
    #[must_use]
    pub fn expected(&self, it: &Summary, horizon: f64) -> f64 {
        match self.inner() {
            Ok(model) => {
                finite(model.p_alive(it) * model.expected_if_alive(it, &[clean(model, it, horizon)])[0])
            }
            Err(stack) => stack.expected(it, horizon),
        }
    }

    /// [`Model::expected`] for many horizons at once, which costs little more than one.
    #[must_use]
    pub fn expected_at(&self, it: &Summary, horizons: &[f64]) -> Vec<f64> {
        match self.inner() {
            Ok(model) => {
                let alive = model.p_alive(it);
                let times: Vec<f64> = horizons.iter().map(|horizon| clean(model, it, *horizon)).collect();
                model.expected_if_alive(it, &times).iter().map(|value| finite(alive * value)).collect()
            }
            Err(stack) => {
                let mut sums = vec![0.0; horizons.len()];
                for (weight, model) in stack.members() {
                    for (sum, value) in sums.iter_mut().zip(model.expected_at(it, horizons)) {
                        *sum += weight * value;
                    }
                }
                sums
            }
        }
    }

    /// Expected orders within `horizon`, each discounted by e^(−`rate`·t) from the end of the history: DERT where
    /// the horizon is infinite. `rate` is continuous and per unit of time ([`crate::continuous_rate`]); a negative
    /// one counts as 0.
    #[must_use]
    pub fn discounted(&self, it: &Summary, horizon: f64, rate: f64) -> f64 {
        let rate = if rate > 0.0 { rate.min(1e12) } else { 0.0 };
        match self.inner() {
            Ok(model) => {
                let horizon = clean(model, it, horizon);
                finite(model.p_alive(it) * model.discounted_if_alive(it, horizon, rate))
            }
            Err(stack) => stack.discounted(it, horizon, rate),
        }
    }

    /// The distribution of the number of orders within `horizon`.
    #[must_use]
    pub fn counts(&self, it: &Summary, horizon: f64) -> Counts {
        self.counts_to(it, horizon, LEAST)
    }

    /// The same, as far as chances of at least `least`.
    pub(crate) fn counts_to(&self, it: &Summary, horizon: f64, least: f64) -> Counts {
        match self.inner() {
            Ok(model) => {
                Counts::new(model.p_alive(it), model.tail_if_alive(it, clean(model, it, horizon), least))
            }
            Err(stack) => stack.counts_to(it, horizon, least),
        }
    }

    /// P(alive), expected and discounted orders and their distribution at once, as the methods of these names give them: P(alive),
    /// an integral in the Pareto/NBD, is worked out once.
    pub(crate) fn outlook(&self, it: &Summary, horizon: f64, rate: f64, least: f64) -> Outlook {
        match self.inner() {
            Ok(model) => {
                let (alive, horizon) = (model.p_alive(it), clean(model, it, horizon));
                let expected = finite(alive * model.expected_if_alive(it, &[horizon])[0]);
                let discounted = if rate > 0.0 {
                    finite(alive * model.discounted_if_alive(it, horizon, rate))
                } else {
                    expected
                };
                let counts = Counts::new(alive, model.tail_if_alive(it, horizon, least));
                Outlook { p_alive: alive, expected, discounted, counts }
            }
            Err(stack) => stack.outlook(it, horizon, rate, least),
        }
    }

    /// The chance of at least one order within `horizon`.
    #[must_use]
    pub fn order_within(&self, it: &Summary, horizon: f64, given: Given) -> f64 {
        match self.inner() {
            // Not cut as expectations are: a first order may be due after more than 10¹⁸ times what has passed.
            Ok(model) => alive(model, it, given) * model.order_within_if_alive(it, horizon.max(0.0)),
            Err(stack) => stack.order_within(it, horizon, given),
        }
    }

    /// The chance that no further order ever comes.
    #[must_use]
    pub fn never_orders(&self, it: &Summary, given: Given) -> f64 {
        match self.inner() {
            Ok(model) => 1.0 - alive(model, it, given) * model.order_ever_if_alive(it),
            Err(stack) => stack.never_orders(it, given),
        }
    }

    /// The time by which the next order comes with probability `q`, counted from the end of the history; `None`
    /// if it never does with that probability.
    ///
    /// A quantile beyond the range of numbers is [`f64::MAX`]. `q` outside [0, 1) never comes.
    #[must_use]
    pub fn next_order_quantile(&self, it: &Summary, q: f64, given: Given) -> Option<f64> {
        if q <= 0.0 {
            return (q == 0.0).then_some(0.0);
        }
        let model = match self.inner() {
            Ok(model) => model,
            Err(stack) => return stack.next_order_quantile(it, q, given),
        };
        let conditional = q / alive(model, it, given);
        if conditional.is_nan() || conditional >= 1.0 {
            return None;
        }
        if conditional >= model.order_ever_at_least(it) && conditional >= model.order_ever_if_alive(it) {
            return None;
        }
        model.next_order_if_alive(it, conditional)
    }

    /// How long after the last purchase P(alive) falls below `threshold` if no further purchase comes; `None` if it
    /// never does. The age of the history does not matter, so the instant is known at the purchase.
    #[must_use]
    pub fn lapse_after(&self, it: &Summary, threshold: f64) -> Option<f64> {
        if threshold.is_nan() || threshold <= 0.0 {
            return None;
        }
        if threshold >= 1.0 {
            return Some(0.0);
        }
        self.inner()
            .map_or_else(|stack| stack.lapse_after(it, threshold), |model| model.lapse_after(it, threshold))
    }
}

/// What a history says about the orders to come.
pub(crate) struct Outlook {
    pub(crate) p_alive: f64,
    pub(crate) expected: f64,
    pub(crate) discounted: f64,
    pub(crate) counts: Counts,
}

fn alive(model: &dyn Transactions, it: &Summary, given: Given) -> f64 {
    match given {
        Given::History => model.p_alive(it),
        Given::Alive => 1.0,
    }
}

fn clean(model: &dyn Transactions, it: &Summary, horizon: f64) -> f64 {
    if horizon > 0.0 { horizon.min(LONGEST * model.scale(it)) } else { 0.0 }
}

/// Clamps rounding below zero and overflow above.
fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, f64::MAX) }
}
