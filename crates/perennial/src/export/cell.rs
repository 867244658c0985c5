//! What stands in a table that goes out.

use perennial_types::{Currency, Timestamp, micros};
use serde_json::{Number, Value};

use crate::commands::instant_of;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A count, or money in minor units of `currency`.
    Integer,
    /// A measure.
    Real,
    /// Money in `currency`, as a decimal number.
    Amount,
    /// An instant, UTC.
    Time,
    /// A calendar day of the business.
    Date,
    /// Yes or no.
    Flag,
    /// A list or an object; as text where columns hold text only.
    Json,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// A column of a name and a kind.
#[must_use]
pub const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// One value of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Not known, or not there.
    Nothing,
    /// UTF-8.
    Text(String),
    /// A count or an amount.
    Integer(i64),
    /// A measure.
    Real(f64),
    /// Minor units, and the currency that says how many decimals they have.
    Amount(i64, Currency),
    /// An instant.
    Time(Timestamp),
    /// Days since 1970-01-01.
    Date(i32),
    /// Yes or no.
    Flag(bool),
    /// A list or an object.
    Json(Value),
}

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

impl Cell {
    /// Text; nothing if it is empty.
    #[must_use]
    pub fn word(it: &str) -> Self {
        if it.is_empty() { Self::Nothing } else { Self::Text(it.to_owned()) }
    }

    /// An instant of the wire; nothing if it is not there.
    #[must_use]
    pub fn time(it: Option<&prost_types::Timestamp>) -> Self {
        instant_of(it).map_or(Self::Nothing, Self::Time)
    }

    /// A calendar day; nothing if it is none.
    #[must_use]
    pub fn date(it: &str) -> Self {
        let day = it.parse::<jiff::civil::Date>().ok();
        day.map_or(Self::Nothing, |it| Self::Date((it - EPOCH).get_days()))
    }

    /// A measure that may not be known.
    #[must_use]
    pub fn real(it: Option<f64>) -> Self {
        it.map_or(Self::Nothing, Self::Real)
    }

    /// A count that may not be known.
    #[must_use]
    pub fn integer(it: Option<i64>) -> Self {
        it.map_or(Self::Nothing, Self::Integer)
    }

    /// An amount that may not be known.
    #[must_use]
    pub fn amount(it: Option<i64>, of: Currency) -> Self {
        it.map_or(Self::Nothing, |it| Self::Amount(it, of))
    }

    /// A list or an object; nothing if it is empty.
    #[must_use]
    pub fn json(it: Value) -> Self {
        match &it {
            Value::Object(inner) if inner.is_empty() => Self::Nothing,
            Value::Array(inner) if inner.is_empty() => Self::Nothing,
            Value::Null => Self::Nothing,
            _ => Self::Json(it),
        }
    }

    /// As CSV has it; nothing is the empty text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(it) => it.clone(),
            Self::Integer(it) => it.to_string(),
            Self::Real(it) => it.to_string(),
            Self::Amount(it, of) => of.format(*it),
            Self::Time(it) => it.to_string(),
            Self::Date(it) => {
                EPOCH.saturating_add(jiff::Span::new().try_days(*it).unwrap_or_default()).to_string()
            }
            Self::Flag(it) => it.to_string(),
            Self::Json(it) => it.to_string(),
        }
    }

    /// As JSON has it; an amount is a number.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Integer(it) => (*it).into(),
            Self::Real(it) => Number::from_f64(*it).map_or(Value::Null, Value::Number),
            Self::Amount(..) => self.text().parse::<Number>().map_or(Value::Null, Value::Number),
            Self::Flag(it) => (*it).into(),
            Self::Json(it) => it.clone(),
            Self::Text(_) | Self::Time(_) | Self::Date(_) => self.text().into(),
        }
    }

    /// Microseconds since 1970-01-01, UTC, of an instant.
    #[must_use]
    pub fn micros(&self) -> Option<i64> {
        match self {
            Self::Time(it) => Some(micros(*it)),
            _ => None,
        }
    }
}
