//! A stack: several fitted models that forecast together, each with a weight.
//!
//! The predictive distribution is the weighted mean of those of its members (a linear pool). The weights are learnt on
//! hold-outs by the logarithmic score ([`crate::evaluate::select`]), not from the likelihood of the data the members
//! were fitted to. Source: Yao, Vehtari, Simpson and Gelman (2018), "Using Stacking to Average Bayesian Predictive
//! Distributions".

use crate::beta_geometric::BetaGeometric;
use crate::counts::Counts;
use crate::error::InvalidValue;
use crate::model::{Given, Model, Outlook};
use crate::nbd::Nbd;
use crate::pareto::ParetoNbd;
use crate::root;
use crate::summary::Summary;

/// Members, at most.
pub(crate) const MOST_MEMBERS: usize = 6;

/// A member with less weight than this says nothing.
const LEAST_WEIGHT: f64 = 1e-3;

/// Models that forecast together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stack {
    /// Weight and model; the first `len` count.
    members: [(f64, Member); MOST_MEMBERS],
    len: usize,
}

/// A model that is no stack: small enough to be copied.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Member {
    BetaGeometric(BetaGeometric),
    ParetoNbd(ParetoNbd),
    Nbd(Nbd),
}

impl From<Member> for Model {
    fn from(it: Member) -> Self {
        match it {
            Member::BetaGeometric(it) => Self::BetaGeometric(it),
            Member::ParetoNbd(it) => Self::ParetoNbd(it),
            Member::Nbd(it) => Self::Nbd(it),
        }
    }
}

impl Stack {
    /// A stack of models with weights, which are made to add up to 1. Members of less than a thousandth are left out.
    ///
    /// # Errors
    /// Unless there are one to six members, none of them a stack, with weights that are finite, not negative and not
    /// all nought.
    pub fn new(members: &[(f64, Model)]) -> Result<Self, InvalidValue> {
        let invalid =
            |reason, value: String| InvalidValue::new("members", reason, value, "fit the model again");
        let total: f64 = members.iter().map(|it| it.0).sum();
        if members.iter().any(|it| !(it.0.is_finite() && it.0 >= 0.0)) || !(total > 0.0 && total.is_finite())
        {
            return Err(invalid(
                "must have weights that are not negative and not all nought",
                total.to_string(),
            ));
        }
        let heavy: Vec<_> = members.iter().filter(|it| it.0 >= LEAST_WEIGHT * total).collect();
        if heavy.len() > MOST_MEMBERS {
            return Err(invalid("must be at most six", heavy.len().to_string()));
        }
        let total: f64 = heavy.iter().map(|it| it.0).sum();
        let mut stack =
            Self { members: [(0.0, Member::Nbd(Nbd { r: 1.0, alpha: 1.0 })); MOST_MEMBERS], len: 0 };
        for (slot, (weight, model)) in stack.members.iter_mut().zip(heavy) {
            let member = match model {
                Model::BetaGeometric(it) => Member::BetaGeometric(*it),
                Model::ParetoNbd(it) => Member::ParetoNbd(*it),
                Model::Nbd(it) => Member::Nbd(*it),
                Model::Stack(_) => return Err(invalid("must not be stacks themselves", "stack".to_owned())),
            };
            *slot = (weight / total, member);
            stack.len += 1;
        }
        Ok(stack)
    }

    /// The members, each with its weight; weights add up to 1.
    pub fn members(&self) -> impl Iterator<Item = (f64, Model)> + '_ {
        self.members[..self.len].iter().map(|(weight, member)| (*weight, (*member).into()))
    }

    fn mean(&self, f: impl Fn(&Model) -> f64) -> f64 {
        self.members().map(|(weight, model)| weight * f(&model)).sum()
    }

    pub(crate) fn ln_likelihood(&self, it: &Summary) -> f64 {
        let parts: Vec<f64> = self.members().map(|(w, model)| w.ln() + model.ln_likelihood(it)).collect();
        let most = parts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + parts.iter().map(|it| (it - most).exp()).sum::<f64>().ln()
    }

    /// The mean over those members in which this customer can have dropped out: the NBD, and the plain BG forms for
    /// x = 0, say 1 whatever happens, which is a convention and no forecast. 1 if there is none.
    pub(crate) fn p_alive(&self, it: &Summary) -> f64 {
        self.mean_alive(it, Model::p_alive)
    }

    fn mean_alive(&self, it: &Summary, p_alive: impl Fn(&Model, &Summary) -> f64) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (weight, model) in self.members().filter(|(_, model)| model.can_drop_out(it)) {
            sum += weight * p_alive(&model, it);
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { 1.0 }
    }

    pub(crate) fn ln_p_alive(&self, it: &Summary) -> f64 {
        let known = || self.members().filter(|(_, model)| model.can_drop_out(it));
        let most = known().map(|(_, model)| model.ln_p_alive(it)).fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            return if known().next().is_some() { most } else { 0.0 };
        }
        let sum: f64 = known().map(|(weight, model)| weight * (model.ln_p_alive(it) - most).exp()).sum();
        (most + (sum / known().map(|it| it.0).sum::<f64>()).ln()).min(0.0)
    }

    pub(crate) fn expected(&self, it: &Summary, horizon: f64) -> f64 {
        self.mean(|model| model.expected(it, horizon))
    }

    pub(crate) fn discounted(&self, it: &Summary, horizon: f64, rate: f64) -> f64 {
        self.mean(|model| model.discounted(it, horizon, rate))
    }

    pub(crate) fn counts_to(&self, it: &Summary, horizon: f64, least: f64) -> Counts {
        Counts::mixed(self.members().map(|(weight, model)| (weight, model.counts_to(it, horizon, least))))
    }

    pub(crate) fn outlook(&self, it: &Summary, horizon: f64, rate: f64, least: f64) -> Outlook {
        let parts: Vec<(f64, Model, Outlook)> = self
            .members()
            .map(|(weight, model)| (weight, model, model.outlook(it, horizon, rate, least)))
            .collect();
        let mean = |f: fn(&Outlook) -> f64| parts.iter().map(|it| it.0 * f(&it.2)).sum();
        let (mut alive, mut able) = (0.0, 0.0);
        for (weight, _, part) in parts.iter().filter(|(_, model, _)| model.can_drop_out(it)) {
            alive += weight * part.p_alive;
            able += weight;
        }
        Outlook {
            p_alive: if able > 0.0 { alive / able } else { 1.0 },
            expected: mean(|it| it.expected),
            discounted: mean(|it| it.discounted),
            counts: Counts::mixed(parts.into_iter().map(|(weight, _, part)| (weight, part.counts))),
        }
    }

    pub(crate) fn order_within(&self, it: &Summary, horizon: f64, given: Given) -> f64 {
        match given {
            Given::History => self.mean(|model| model.order_within(it, horizon, given)),
            Given::Alive => {
                let shares = self.alive_shares(it);
                shares.iter().map(|(share, model)| share * model.order_within(it, horizon, given)).sum()
            }
        }
    }

    pub(crate) fn never_orders(&self, it: &Summary, given: Given) -> f64 {
        let never: f64 = match given {
            Given::History => self.mean(|model| model.never_orders(it, given)),
            Given::Alive => {
                let shares = self.alive_shares(it);
                shares.iter().map(|(share, model)| share * model.never_orders(it, given)).sum()
            }
        };
        never.clamp(0.0, 1.0)
    }

    /// Each member's share of those who are alive; in logarithms where next to nobody is.
    fn alive_shares(&self, it: &Summary) -> Vec<(f64, Model)> {
        let mut shares: Vec<(f64, Model)> =
            self.members().map(|(weight, model)| (weight * model.p_alive_fast(it), model)).collect();
        let mut sum: f64 = shares.iter().map(|it| it.0).sum();
        if sum < 1e-200 {
            let logs: Vec<f64> =
                self.members().map(|(weight, model)| weight.ln() + model.ln_p_alive(it)).collect();
            let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for ((share, _), log) in shares.iter_mut().zip(logs) {
                *share = if most == f64::NEG_INFINITY { 1.0 } else { (log - most).exp() };
            }
            sum = shares.iter().map(|it| it.0).sum();
        }
        shares.iter_mut().for_each(|it| it.0 /= sum);
        shares
    }

    /// Of a mixture, between the least and the greatest of its members' own quantiles.
    pub(crate) fn next_order_quantile(&self, it: &Summary, q: f64, given: Given) -> Option<f64> {
        let members = self.alive_shares(it);
        let alive = self.mean(|model| model.p_alive_fast(it)).max(f64::MIN_POSITIVE);
        let conditional = if given == Given::Alive { q } else { q / alive };
        if conditional.is_nan() || conditional >= 1.0 {
            return None;
        }
        let own: Vec<Option<f64>> = members
            .iter()
            .map(|(_, model)| model.next_order_quantile(it, conditional, Given::Alive))
            .collect();
        let found = || own.iter().flatten().copied();
        let low = found().min_by(f64::total_cmp)?;
        let mut high = found().max_by(f64::total_cmp)?;
        let within = |t: f64| -> f64 {
            members.iter().map(|(share, model)| share * model.order_within(it, t, Given::Alive)).sum()
        };
        let short = |t: f64| within(t) - conditional;
        if own.iter().any(Option::is_none) {
            if 1.0 - self.never_orders(it, Given::Alive) <= conditional {
                return None;
            }
            while short(high) < 0.0 {
                if high > 1e300 {
                    return None;
                }
                high = (high * 16.0).max(1e-12);
            }
        }
        if low >= high || low <= 0.0 {
            return Some(low);
        }
        Some(root::between_within(low.ln(), high.ln(), 1e-11, |v| short(v.exp())).exp().clamp(low, high))
    }

    pub(crate) fn lapse_after(&self, it: &Summary, threshold: f64) -> Option<f64> {
        let last = it.at_last_purchase();
        if !self.members().any(|(_, model)| model.can_drop_out(&last)) {
            return None;
        }
        if self.p_alive(&last) < threshold {
            return Some(0.0);
        }
        // Between the members' own instants, as a logarithm of time, on which P(alive) falls about evenly.
        let able: Vec<(f64, Model)> = self.members().filter(|(_, model)| model.can_drop_out(&last)).collect();
        let own: Vec<f64> = able.iter().filter_map(|(_, model)| model.lapse_after(it, threshold)).collect();
        let low = own.iter().copied().min_by(f64::total_cmp)?;
        let mut high = own.iter().copied().max_by(f64::total_cmp)?.max(1e-9);
        let weights: f64 = able.iter().map(|it| it.0).sum();
        let above = |silence: f64| {
            let Some(then) = it.at_age(it.t_x() + silence) else { return -1.0 };
            let alive: f64 = able.iter().map(|(weight, model)| weight * model.p_alive_fast(&then)).sum();
            alive / weights - threshold
        };
        while above(high) > 0.0 {
            if high > 1e300 {
                return None;
            }
            high *= 16.0;
        }
        // Members may lapse at instants that are many orders of magnitude apart: close in on the one that carries the weight.
        let least = low.max(1e-300);
        let mut from = least.max(1e-9 * high);
        while from > least && above(from) < 0.0 {
            high = from;
            from = least.max(1e-9 * from);
        }
        Some(root::between_within(from.ln(), high.ln(), 1e-11, |v| above(v.exp())).exp())
    }
}
