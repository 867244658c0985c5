//! Evaluation: the answer to a rule for one profile at an instant, and when time alone next changes it.

use perennial_types::{Currency, Properties};
use std::cell::{Cell, RefCell};

use super::rule::{
    Aggregate, Expr, Measure, OrderMoney, ScoreField, Value, compare, compute, in_words, matches,
};
use super::rules::Rules;
use super::state::{State, consent_key};

/// How many changes of its parts a rule is followed ahead before the next one is taken as a possible flip.
const LOOKAHEAD: usize = 16;

/// Answers the parts of a rule that look at something.
trait Leaves {
    fn leaf<'a>(&'a self, expr: &'a Expr) -> Value<'a>;
}

fn value<'a>(expr: &'a Expr, leaves: &'a impl Leaves, currency: Currency) -> Value<'a> {
    match expr {
        Expr::Bool(it) => Value::Bool(*it),
        Expr::Number(it) => Value::Number(*it),
        Expr::Money(it) => Value::Money(*it),
        Expr::Text(it) => Value::Text(it),
        Expr::Instant(it) => Value::Instant(*it),
        Expr::All(parts) => Value::Bool(parts.iter().all(|it| holds(it, leaves, currency))),
        Expr::Any(parts) => Value::Bool(parts.iter().any(|it| holds(it, leaves, currency))),
        Expr::Not(part) => Value::Bool(!holds(part, leaves, currency)),
        Expr::Compare(op, sides) => {
            let (left, right) = (value(&sides.0, leaves, currency), value(&sides.1, leaves, currency));
            Value::Bool(compare(*op, left, right, currency))
        }
        Expr::Compute(op, sides) => {
            compute(*op, value(&sides.0, leaves, currency), value(&sides.1, leaves, currency))
        }
        Expr::OneOf(part, constants) => {
            let found = value(part, leaves, currency);
            let equal = |it: &Expr| {
                compare(super::rule::Comparison::Equal, found, value(it, leaves, currency), currency)
            };
            Value::Bool(constants.iter().any(equal))
        }
        Expr::Matches(test, part, piece) => Value::Bool(matches(*test, value(part, leaves, currency), piece)),
        leaf => leaves.leaf(leaf),
    }
}

fn holds(expr: &Expr, leaves: &impl Leaves, currency: Currency) -> bool {
    value(expr, leaves, currency) == Value::Bool(true)
}

struct Event<'e>(&'e Properties);

impl Leaves for Event<'_> {
    fn leaf<'a>(&'a self, expr: &'a Expr) -> Value<'a> {
        match expr {
            Expr::Property(name) => self.0.get(name).map_or(Value::Unknown, Value::Scalar),
            Expr::HasProperty(name) => Value::Bool(self.0.contains_key(name)),
            _ => Value::Unknown,
        }
    }
}

/// Whether an event passes a filter.
pub fn passes(filter: Option<&Expr>, properties: &Properties, currency: Currency) -> bool {
    filter.is_none_or(|it| holds(it, &Event(properties), currency))
}

/// One profile at one instant.
pub struct View<'v> {
    rules: &'v Rules,
    state: &'v State,
    at: i64,
    stage: Cell<Option<usize>>,
    segments: RefCell<Vec<Option<bool>>>,
}

impl<'v> View<'v> {
    /// What `state` says at `at`.
    pub fn new(rules: &'v Rules, state: &'v State, at: i64) -> Self {
        Self { rules, state, at, stage: Cell::new(None), segments: RefCell::default() }
    }

    /// Whether a segment's rule holds, by its place.
    pub fn holds(&self, place: usize) -> bool {
        holds(&self.rules.segments[place].expr, self, self.rules.currency)
    }

    /// The same, remembered: a segment may be asked for from many sides.
    fn in_segment(&self, place: usize) -> bool {
        if let Some(Some(known)) = self.segments.borrow().get(place) {
            return *known;
        }
        let answer = self.holds(place);
        let mut known = self.segments.borrow_mut();
        known.resize(self.rules.segments.len(), None);
        known[place] = Some(answer);
        answer
    }

    /// The place of the stage whose rule is the first that holds; the last one if none does.
    pub fn stage(&self) -> usize {
        if let Some(known) = self.stage.get() {
            return known;
        }
        let stages = &self.rules.stages;
        let first = stages.iter().position(|it| holds(&it.expr, self, self.rules.currency));
        let place = first.unwrap_or(stages.len().saturating_sub(1));
        self.stage.set(Some(place));
        place
    }

    fn entries(&self, aggregate: &Aggregate) -> f64 {
        let since = self.at.saturating_sub(aggregate.window);
        if aggregate.of_orders() {
            let orders = self.state.orders.values().filter(|it| it.series.contains(&aggregate.series));
            let counting = orders.map(|it| &it.order).filter(|it| {
                it.counts() && it.placed_at().is_some_and(|at| perennial_types::micros(at) > since)
            });
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 minor units")]
            return match &aggregate.measure {
                Measure::OrderMoney(OrderMoney::Revenue) => counting.map(|it| it.net_revenue() as f64).sum(),
                Measure::OrderMoney(OrderMoney::Profit) => counting.map(|it| it.net_profit() as f64).sum(),
                Measure::OrderMoney(OrderMoney::Discount) => counting.map(|it| it.discount() as f64).sum(),
                _ => counting.count() as f64,
            };
        }
        let Some(entries) = self.state.series.get(&aggregate.series) else { return 0.0 };
        let first = entries.at.partition_point(|it| *it <= since);
        match aggregate.measure {
            Measure::Property(_) => entries.values.get(first..).unwrap_or_default().iter().sum(),
            #[expect(clippy::cast_precision_loss, reason = "at most ten thousand")]
            _ => (entries.at.len() - first) as f64,
        }
    }

    fn score(&self, field: ScoreField) -> Value<'static> {
        let score = self.state.score.unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 orders")]
        let known = match field {
            ScoreField::Orders => return Value::Number(score.orders as f64),
            ScoreField::Revenue => return Value::Money(score.revenue),
            ScoreField::Profit => return Value::Money(score.profit),
            ScoreField::Recency => return Value::Number(score.rfm[0].into()),
            ScoreField::Frequency => return Value::Number(score.rfm[1].into()),
            ScoreField::Monetary => return Value::Number(score.rfm[2].into()),
            ScoreField::PAlive => Value::Number(score.p_alive),
            ScoreField::Percentile => Value::Number(score.percentile),
            ScoreField::ExpectedProfit90d => Value::Money(score.expected_profit_90d),
            ScoreField::ExpectedProfit12m => Value::Money(score.expected_profit_12m),
        };
        if score.modelled { known } else { Value::Unknown }
    }

    fn past(&self, instant: Option<i64>) -> Value<'static> {
        Value::Bool(instant.is_some_and(|it| it <= self.at))
    }
}

impl Leaves for View<'_> {
    fn leaf<'a>(&'a self, expr: &'a Expr) -> Value<'a> {
        let state = self.state;
        let known_trait = |name: &String| state.traits.get(name).and_then(|it| it.0.as_ref());
        match expr {
            Expr::Trait(name) => known_trait(name).map_or(Value::Unknown, Value::Scalar),
            Expr::HasTrait(name) => Value::Bool(known_trait(name).is_some()),
            Expr::Consent(channel, purpose) => {
                Value::Bool(state.consents.get(consent_key(*channel, *purpose)).is_some_and(|it| it.0))
            }
            Expr::Reachable(channel) => Value::Bool(state.reachable.contains(channel)),
            Expr::Identified => Value::Bool(state.identified),
            Expr::Stage => {
                self.rules.stages.get(self.stage()).map_or(Value::Unknown, |it| Value::Text(&it.name))
            }
            Expr::Score(field) => self.score(*field),
            Expr::LastOrder => last_order(state).map_or(Value::Unknown, Value::Instant),
            Expr::Overdue => self.past(overdue(state)),
            Expr::Lapsed => self.past(lapse(state)),
            Expr::Reactivated => Value::Bool(state.score.is_some_and(|it| it.reactivated)),
            Expr::Ago(micros) => Value::Instant(self.at.saturating_sub(*micros)),
            Expr::Count(it) => Value::Number(self.entries(it)),
            Expr::Did(it) => Value::Bool(self.entries(it) > 0.0),
            #[expect(clippy::cast_possible_truncation, reason = "whole minor units")]
            Expr::Sum(it) => match it.measure {
                Measure::OrderMoney(_) => Value::Money(self.entries(it) as i64),
                _ => Value::Number(self.entries(it)),
            },
            Expr::InSegment(name) => {
                Value::Bool(self.rules.place(name).is_some_and(|place| self.in_segment(place)))
            }
            _ => Value::Unknown,
        }
    }
}

fn instant(micros: i64) -> Option<i64> {
    (micros != 0).then_some(micros)
}

fn last_order(state: &State) -> Option<i64> {
    state.score.and_then(|it| instant(it.last_order))
}

fn overdue(state: &State) -> Option<i64> {
    state.score.filter(|it| it.orders > 0).and_then(|it| instant(it.overdue))
}

fn lapse(state: &State) -> Option<i64> {
    state.score.filter(|it| it.orders > 0).and_then(|it| instant(it.lapse))
}

/// The part of a rule that time changes next, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// When, in microseconds.
    pub at: i64,
    /// Which part: `overdue`, `lapse`, `Product Viewed 14d`, `ago 30d`.
    pub part: String,
}

/// The earliest change of a part of these rules after an instant.
struct Ahead<'a> {
    rules: &'a Rules,
    state: &'a State,
    after: i64,
    segments: Vec<bool>,
    stages: bool,
    next: Option<(i64, Part<'a>)>,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Overdue,
    Lapse,
    Window(&'a Aggregate),
    Ago(i64),
}

impl<'a> Ahead<'a> {
    fn offer(&mut self, at: i64, part: Part<'a>) {
        if at > self.after && self.next.is_none_or(|(known, _)| at < known) {
            self.next = Some((at, part));
        }
    }

    fn rule(&mut self, expr: &'a Expr) {
        expr.walk(&mut |part| self.part(part));
    }

    fn part(&mut self, part: &'a Expr) {
        match part {
            Expr::Overdue => {
                if let Some(at) = overdue(self.state) {
                    self.offer(at, Part::Overdue);
                }
            }
            Expr::Lapsed => {
                if let Some(at) = lapse(self.state) {
                    self.offer(at, Part::Lapse);
                }
            }
            Expr::Compare(_, sides) => {
                for (side, other) in [(&sides.0, &sides.1), (&sides.1, &sides.0)] {
                    let Expr::Ago(micros) = side else { continue };
                    let fixed = match other {
                        Expr::Instant(at) => Some(*at),
                        Expr::LastOrder => last_order(self.state),
                        Expr::Trait(name) => self.trait_instant(name),
                        _ => None,
                    };
                    if let Some(at) = fixed {
                        // At `at + micros` the two are equal, one microsecond later ago() is ahead.
                        let equal = at.saturating_add(*micros);
                        self.offer(equal, Part::Ago(*micros));
                        self.offer(equal.saturating_add(1), Part::Ago(*micros));
                    }
                }
            }
            Expr::Count(it) | Expr::Did(it) | Expr::Sum(it) => self.window(it),
            Expr::Stage if !self.stages => {
                self.stages = true;
                let rules = self.rules;
                for stage in &rules.stages {
                    self.rule(&stage.expr);
                }
            }
            Expr::InSegment(name) => {
                let rules = self.rules;
                if let Some(place) = rules.place(name) {
                    self.segments.resize(rules.segments.len(), false);
                    if !std::mem::replace(&mut self.segments[place], true) {
                        self.rule(&rules.segments[place].expr);
                    }
                }
            }
            _ => {}
        }
    }

    fn trait_instant(&self, name: &str) -> Option<i64> {
        let text = self.state.traits.get(name)?.0.as_ref()?.text()?;
        super::rule::instant(text)
    }

    /// The next entry to leave a window.
    fn window(&mut self, aggregate: &'a Aggregate) {
        let since = self.after.saturating_sub(aggregate.window);
        let first = if aggregate.of_orders() {
            let orders = self.state.orders.values().filter(|it| it.series.contains(&aggregate.series));
            let placed = orders.filter(|it| it.order.counts()).filter_map(|it| it.order.placed_at());
            placed.map(perennial_types::micros).filter(|it| *it > since).min()
        } else {
            let entries = self.state.series.get(&aggregate.series);
            entries.and_then(|it| it.at.get(it.at.partition_point(|at| *at <= since)).copied())
        };
        if let Some(at) = first {
            self.offer(at.saturating_add(aggregate.window), Part::Window(aggregate));
        }
    }
}

/// The next change of a part of `expr` by time alone after `after`; of the stage, if `expr` is none.
pub fn next_turn(rules: &Rules, state: &State, expr: Option<&Expr>, after: i64) -> Option<Turn> {
    next(rules, state, expr, after).map(|(at, part)| {
        let part = match part {
            Part::Overdue => "overdue".to_owned(),
            Part::Lapse => "lapse".to_owned(),
            Part::Window(it) => format!("{} {}", it.event, in_words(it.window)),
            Part::Ago(micros) => format!("ago {}", in_words(micros)),
        };
        Turn { at, part }
    })
}

fn next<'a>(
    rules: &'a Rules,
    state: &'a State,
    expr: Option<&'a Expr>,
    after: i64,
) -> Option<(i64, Part<'a>)> {
    let mut ahead = Ahead { rules, state, after, segments: Vec::new(), stages: false, next: None };
    match expr {
        Some(expr) => ahead.rule(expr),
        None => ahead.part(&Expr::Stage),
    }
    ahead.next
}

/// The next instant at which time alone changes the answer to a segment's rule (or may, where its parts change often).
pub fn next_flip(rules: &Rules, state: &State, place: usize, at: i64) -> Option<i64> {
    let now = View::new(rules, state, at).holds(place);
    follow(rules, state, Some(&rules.segments[place].expr), at, |view| view.holds(place) != now)
}

/// The next instant at which time alone changes (or may change) the stage.
pub fn next_stage_flip(rules: &Rules, state: &State, at: i64) -> Option<i64> {
    let now = View::new(rules, state, at).stage();
    follow(rules, state, None, at, |view| view.stage() != now)
}

fn follow(
    rules: &Rules,
    state: &State,
    expr: Option<&Expr>,
    mut at: i64,
    changed: impl Fn(&View<'_>) -> bool,
) -> Option<i64> {
    for _ in 0..LOOKAHEAD {
        (at, _) = next(rules, state, expr, at)?;
        if changed(&View::new(rules, state, at)) {
            break;
        }
    }
    Some(at)
}
