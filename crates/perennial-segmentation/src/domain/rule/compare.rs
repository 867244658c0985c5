//! Comparing and computing with values whose types were checked, or show only now (traits and properties).

use perennial_types::{Currency, Scalar, Timestamp, micros};
use std::cmp::Ordering;

use super::expr::{Arithmetic, Comparison, TextTest, Value};

/// Whether `left op right`. With something unknown on either side only `!=` holds.
pub fn compare(op: Comparison, left: Value<'_>, right: Value<'_>, currency: Currency) -> bool {
    let ordering = order(left, right, currency);
    match op {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::NotEqual => ordering != Some(Ordering::Equal),
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => ordering == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn order(left: Value<'_>, right: Value<'_>, currency: Currency) -> Option<Ordering> {
    Some(match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(&b),
        (Value::Number(a), Value::Number(b)) => return a.partial_cmp(&b),
        (Value::Money(a), Value::Money(b)) | (Value::Instant(a), Value::Instant(b)) => a.cmp(&b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Scalar(a), Value::Scalar(b)) => return scalars(a, b),
        (Value::Scalar(a), b) => return order(read(a, b, currency)?, b, currency),
        (a, Value::Scalar(b)) => return order(a, read(b, a, currency)?, currency),
        _ => return None,
    })
}

/// A trait or property read as what the other side is.
fn read<'a>(scalar: &'a Scalar, like: Value<'_>, currency: Currency) -> Option<Value<'a>> {
    Some(match like {
        Value::Bool(_) => match scalar {
            Scalar::Bool(it) => Value::Bool(*it),
            _ => return None,
        },
        Value::Number(_) => Value::Number(scalar.number()?),
        // Amounts of events and traits are in major units, as numbers or text.
        Value::Money(_) => Value::Money(match scalar {
            Scalar::Bool(_) => return None,
            other => currency.minor_units(&other.to_string()).ok()?,
        }),
        Value::Text(_) => Value::Text(scalar.text()?),
        Value::Instant(_) => Value::Instant(instant(scalar.text()?)?),
        Value::Unknown | Value::Scalar(_) => return None,
    })
}

fn scalars(a: &Scalar, b: &Scalar) -> Option<Ordering> {
    match (a, b) {
        (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(b)),
        (Scalar::Text(a), Scalar::Text(b)) => Some(a.cmp(b)),
        (a, b) => a.number()?.partial_cmp(&b.number()?),
    }
}

/// Reads an instant: RFC 3339, or a date, which begins at midnight UTC.
pub fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() > 40 {
        return None;
    }
    let at = text.parse::<Timestamp>().or_else(|_| format!("{text}T00:00:00Z").parse::<Timestamp>());
    at.ok().map(micros)
}

/// The result of arithmetic; unknown where it has none.
pub fn compute<'a>(op: Arithmetic, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    let (left, right) = (numeric(left), numeric(right));
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            let result = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide => a / b,
            };
            if result.is_finite() { Value::Number(result) } else { Value::Unknown }
        }
        (Value::Money(a), Value::Money(b)) => match op {
            Arithmetic::Add => Value::Money(a.saturating_add(b)),
            Arithmetic::Subtract => Value::Money(a.saturating_sub(b)),
            Arithmetic::Divide if b != 0 => Value::Number(to_f64(a) / to_f64(b)),
            Arithmetic::Divide | Arithmetic::Multiply => Value::Unknown,
        },
        (Value::Money(a), Value::Number(b)) => scale(op, a, b),
        (Value::Number(a), Value::Money(b)) if op == Arithmetic::Multiply => scale(op, b, a),
        _ => Value::Unknown,
    }
}

fn numeric(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Scalar(it) => it.number().map_or(Value::Unknown, Value::Number),
        other => other,
    }
}

fn scale<'a>(op: Arithmetic, amount: i64, by: f64) -> Value<'a> {
    let result = match op {
        Arithmetic::Multiply => to_f64(amount) * by,
        Arithmetic::Divide => to_f64(amount) / by,
        _ => return Value::Unknown,
    };
    #[expect(clippy::cast_possible_truncation, reason = "beyond 64 bits it saturates")]
    if result.is_finite() { Value::Money(result.round() as i64) } else { Value::Unknown }
}

#[expect(clippy::cast_precision_loss, reason = "factors are doubles: exact below 2^53 minor units")]
fn to_f64(minor: i64) -> f64 {
    minor as f64
}

/// Whether a piece of text is in, at the start or at the end of a value that is text.
pub fn matches(test: TextTest, value: Value<'_>, piece: &str) -> bool {
    let text = match value {
        Value::Text(text) => Some(text),
        Value::Scalar(scalar) => scalar.text(),
        _ => None,
    };
    text.is_some_and(|text| match test {
        TextTest::StartsWith => text.starts_with(piece),
        TextTest::EndsWith => text.ends_with(piece),
        TextTest::Contains => text.contains(piece),
    })
}
