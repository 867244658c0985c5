//! Evaluation over what is known of one profile at one instant.

use perennial_types::{Currency, Properties, Scalar, Timestamp, micros};

use super::check::{Expr, Field};
use super::parse::Operator;
use crate::domain::duration::DAY;
use crate::domain::offer::Terms;
use crate::domain::state::State;

/// What an expression looks at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// All that is known of the profile.
    pub state: &'a State,
    /// The instant of the question.
    pub at: Timestamp,
    /// The properties of the triggering event.
    pub it: &'a Properties,
    /// What the offer gives that is weighed, and the margin of a customer of whom nothing is known.
    pub offer: Option<(Terms, f64)>,
}

impl<'a> View<'a> {
    /// What is known at `at`, with no offer to weigh.
    #[must_use]
    pub fn of(state: &'a State, at: Timestamp, it: &'a Properties) -> Self {
        Self { state, at, it, offer: None }
    }
}

/// A value; what is not known is `Null`, and no comparison with it is true.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not known.
    Null,
    /// True or false.
    Bool(bool),
    /// A number; money as minor units.
    Number(f64),
    /// Text.
    Text(String),
}

impl Expr {
    /// Whether the condition holds; what cannot be known does not hold.
    #[must_use]
    pub fn holds(&self, view: View<'_>) -> bool {
        self.value(view) == Value::Bool(true)
    }

    /// The figures it was decided by, such as `clv.expected_profit_90d is 6.10 EUR`.
    #[must_use]
    pub fn figures(&self, view: View<'_>, currency: Currency) -> String {
        let mut fields = Vec::new();
        self.fields(&mut fields);
        let figure = |field: &Field| {
            let (name, money) = field.name();
            match field.value(view) {
                Value::Null => format!("{name} is not known"),
                Value::Bool(it) => format!("{name} is {it}"),
                Value::Text(it) => format!("{name} is {it}"),
                #[expect(clippy::cast_possible_truncation, reason = "a cast from a double saturates")]
                Value::Number(it) if money => format!("{name} is {} {currency}", currency.format(it as i64)),
                Value::Number(it) => format!("{name} is {}", (it * 1_000.0).round() / 1_000.0),
            }
        };
        fields.iter().map(figure).collect::<Vec<_>>().join(", ")
    }

    /// What it comes to.
    #[must_use]
    pub fn value(&self, view: View<'_>) -> Value {
        match self {
            Self::Bool(it) => Value::Bool(*it),
            Self::Number(it) => Value::Number(*it),
            Self::Text(it) => Value::Text(it.clone()),
            Self::Null => Value::Null,
            Self::Field(field) => field.value(view),
            Self::It(name) => scalar(view.it.get(name)),
            Self::Trait(name) => scalar(view.state.traits.get(name)),
            Self::Consent(channel, purpose) => Value::Bool(view.state.consents(*channel, *purpose)),
            Self::Reachable(channel) => Value::Bool(view.state.reachable.contains(channel.as_str())),
            Self::Segment(name) => Value::Bool(view.state.segments.contains(name)),
            Self::Did(event, window) => {
                Value::Bool(view.state.seen.get(event).is_some_and(|seen| *seen > micros(view.at) - window))
            }
            Self::Not(inner) => Value::Bool(!inner.holds(view)),
            Self::Negate(inner) => match inner.value(view) {
                Value::Number(it) => Value::Number(-it),
                _ => Value::Null,
            },
            Self::And(a, b) => Value::Bool(a.holds(view) && b.holds(view)),
            Self::Or(a, b) => Value::Bool(a.holds(view) || b.holds(view)),
            Self::Compare(operator, a, b) => Value::Bool(compare(*operator, &a.value(view), &b.value(view))),
            Self::In(a, list) => {
                let value = a.value(view);
                Value::Bool(list.iter().any(|it| compare(Operator::Equal, &value, &it.value(view))))
            }
            Self::Calculate(operator, a, b) => calculate(*operator, &a.value(view), &b.value(view)),
        }
    }
}

fn scalar(scalar: Option<&Scalar>) -> Value {
    match scalar {
        None => Value::Null,
        Some(Scalar::Bool(it)) => Value::Bool(*it),
        Some(Scalar::Text(it)) => Value::Text(it.clone()),
        Some(number) => number.number().map_or(Value::Null, Value::Number),
    }
}

fn compare(operator: Operator, a: &Value, b: &Value) -> bool {
    let order = match (a, b) {
        (Value::Null, Value::Null) => Some(std::cmp::Ordering::Equal),
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        // A property may carry its number as text.
        (Value::Text(text), Value::Number(b)) => {
            text.trim().parse::<f64>().ok().and_then(|it| it.partial_cmp(b))
        }
        (Value::Number(a), Value::Text(text)) => {
            text.trim().parse::<f64>().ok().and_then(|it| a.partial_cmp(&it))
        }
        _ => None,
    };
    let Some(order) = order else {
        return operator == Operator::Unequal;
    };
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::Unequal => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterEqual => order.is_ge(),
        _ => false,
    }
}

fn calculate(operator: Operator, a: &Value, b: &Value) -> Value {
    let (Value::Number(a), Value::Number(b)) = (a, b) else {
        return Value::Null;
    };
    let result = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        _ => return Value::Null,
    };
    if result.is_finite() { Value::Number(result) } else { Value::Null }
}

impl Field {
    #[expect(clippy::cast_precision_loss, reason = "money and counts in rules are far below 2^53")]
    fn value(self, view: View<'_>) -> Value {
        let State { score, cart, .. } = view.state;
        let now = micros(view.at);
        let scored = |value: f64| if score.model.is_empty() { Value::Null } else { Value::Number(value) };
        let (orders, revenue, profit) = view.state.totals();
        match self {
            Self::Orders => Value::Number(orders as f64),
            Self::Revenue => Value::Number(revenue as f64),
            Self::Profit => Value::Number(profit as f64),
            Self::Margin if revenue > 0 => Value::Number(profit as f64 / revenue as f64),
            Self::Margin => Value::Null,
            Self::MarginAfterDiscount => {
                let left =
                    |(terms, default): (Terms, f64)| terms.margin_left((orders, revenue, profit), default);
                view.offer.and_then(left).map_or(Value::Null, Value::Number)
            }
            Self::DaysSinceOrder => {
                let last = view.state.last_order();
                last.map_or(Value::Null, |it| Value::Number((now - it) as f64 / DAY as f64))
            }
            Self::Stage if view.state.stage.is_empty() => Value::Null,
            Self::Stage => Value::Text(view.state.stage.clone()),
            Self::Overdue => Value::Bool(score.overdue != 0 && score.overdue <= now),
            Self::Lapsed => Value::Bool(score.lapse != 0 && score.lapse <= now),
            Self::Identified => Value::Bool(view.state.identified),
            Self::CartItems => Value::Number(cart.as_ref().map_or(0, |it| it.items()) as f64),
            Self::CartValue => Value::Number(cart.as_ref().map_or(0, |it| it.value()) as f64),
            Self::ClvPercentile => scored(score.percentile),
            Self::ClvValue12m => scored(score.clv_12m as f64),
            Self::ClvExpectedProfit90d => scored(score.profit_90d as f64),
            Self::ClvExpectedOrders90d => scored(score.orders_90d),
            Self::ClvPAlive => scored(score.p_alive),
            Self::RfmRecency => Value::Number(f64::from(score.rfm.0)),
            Self::RfmFrequency => Value::Number(f64::from(score.rfm.1)),
            Self::RfmMonetary => Value::Number(f64::from(score.rfm.2)),
        }
    }
}
