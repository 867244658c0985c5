//! The columns of an export: one list for every format, and for the documentation.

use perennial_api::scoring::v1::{Rfm, Score};
use perennial_types::{Timestamp, micros};

use crate::commands::instant_of;
use crate::session::bare;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A count, or money in minor units of `currency`.
    Integer,
    /// A measure.
    Real,
    /// An instant, UTC.
    Time,
    /// A calendar day of the business.
    Date,
    /// Yes or no.
    Flag,
}

/// One value of one score.
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
    /// An instant.
    Time(Timestamp),
    /// Days since 1970-01-01.
    Date(i32),
    /// Yes or no.
    Flag(bool),
}

/// A column.
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Reads it off a score.
    pub read: fn(&Score) -> Cell,
}

impl Cell {
    /// As CSV has it; nothing is the empty text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(it) => it.clone(),
            Self::Integer(it) => it.to_string(),
            Self::Real(it) => it.to_string(),
            Self::Time(it) => it.to_string(),
            Self::Date(it) => date_of(*it),
            Self::Flag(it) => it.to_string(),
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

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

fn date_of(day: i32) -> String {
    EPOCH.saturating_add(jiff::Span::new().try_days(day).unwrap_or_default()).to_string()
}

fn text(it: &str) -> Cell {
    if it.is_empty() { Cell::Nothing } else { Cell::Text(it.to_owned()) }
}

fn date(it: &str) -> Cell {
    let day = it.parse::<jiff::civil::Date>().ok();
    day.map_or(Cell::Nothing, |it| Cell::Date((it - EPOCH).get_days()))
}

fn time(it: Option<&prost_types::Timestamp>) -> Cell {
    instant_of(it).map_or(Cell::Nothing, Cell::Time)
}

fn real(it: Option<f64>) -> Cell {
    it.map_or(Cell::Nothing, Cell::Real)
}

fn integer(it: Option<i64>) -> Cell {
    it.map_or(Cell::Nothing, Cell::Integer)
}

fn expected(it: &Score, months: i32) -> Cell {
    integer(it.values.iter().find(|it| it.months == months).map(|it| it.expected_minor))
}

fn ends(it: &Score, months: i32, level: f64) -> Option<(i64, i64)> {
    let value = it.values.iter().find(|it| it.months == months)?;
    let interval = value.intervals.iter().find(|it| (it.level - level).abs() < 1e-9)?;
    Some((interval.low_minor, interval.high_minor))
}

fn low(it: &Score, months: i32, level: f64) -> Cell {
    integer(ends(it, months, level).map(|it| it.0))
}

fn high(it: &Score, months: i32, level: f64) -> Cell {
    integer(ends(it, months, level).map(|it| it.1))
}

fn fifth(it: &Score, of: fn(&Rfm) -> i32) -> Cell {
    integer(it.rfm.as_ref().map(|it| i64::from(of(it))))
}

const fn column(name: &'static str, kind: Kind, read: fn(&Score) -> Cell) -> Column {
    Column { name, kind, read }
}

/// All columns, in their order. New ones are added at the end.
pub const COLUMNS: [Column; 48] = [
    column("profile", Kind::Text, |it| text(bare(&it.name))),
    column("as_of", Kind::Time, |it| time(it.as_of_time.as_ref())),
    column("model", Kind::Text, |it| text(&it.model)),
    column("model_cutoff_date", Kind::Date, |it| date(&it.model_cutoff_date)),
    column("currency", Kind::Text, |it| text(&it.currency)),
    column("orders", Kind::Integer, |it| Cell::Integer(it.orders)),
    column("revenue_minor", Kind::Integer, |it| Cell::Integer(it.revenue_minor)),
    column("profit_minor", Kind::Integer, |it| Cell::Integer(it.profit_minor)),
    column("refund_minor", Kind::Integer, |it| Cell::Integer(it.refund_minor)),
    column("first_order", Kind::Time, |it| time(it.first_order_time.as_ref())),
    column("last_order", Kind::Time, |it| time(it.last_order_time.as_ref())),
    column("x", Kind::Integer, |it| Cell::Integer(it.x)),
    column("t_x_weeks", Kind::Real, |it| Cell::Real(it.t_x_weeks)),
    column("age_weeks", Kind::Real, |it| Cell::Real(it.age_weeks)),
    column("p_alive", Kind::Real, |it| real(it.p_alive)),
    column("expected_orders_90d", Kind::Real, |it| Cell::Real(it.expected_orders_90d)),
    column("expected_profit_90d_minor", Kind::Integer, |it| Cell::Integer(it.expected_profit_90d_minor)),
    column("clv_12m_minor", Kind::Integer, |it| expected(it, 12)),
    column("clv_12m_low_minor", Kind::Integer, |it| low(it, 12, 0.8)),
    column("clv_12m_high_minor", Kind::Integer, |it| high(it, 12, 0.8)),
    column("clv_24m_minor", Kind::Integer, |it| expected(it, 24)),
    column("clv_36m_minor", Kind::Integer, |it| expected(it, 36)),
    column("clv_endless_minor", Kind::Integer, |it| expected(it, 0)),
    column("clv_percentile", Kind::Real, |it| real(it.clv_percentile)),
    column("recency", Kind::Integer, |it| fifth(it, |it| it.recency)),
    column("frequency", Kind::Integer, |it| fifth(it, |it| it.frequency)),
    column("monetary", Kind::Integer, |it| fifth(it, |it| it.monetary)),
    column("next_order", Kind::Time, |it| {
        time(it.next_order.as_ref().and_then(|it| it.median_time.as_ref()))
    }),
    column("overdue", Kind::Time, |it| time(it.overdue_time.as_ref())),
    column("lapse", Kind::Time, |it| time(it.lapse_time.as_ref())),
    column("reactivated", Kind::Flag, |it| Cell::Flag(it.reactivated)),
    column("clv_decile", Kind::Integer, |it| integer(it.clv_decile.map(i64::from))),
    column("clv_12m_low_50_minor", Kind::Integer, |it| low(it, 12, 0.5)),
    column("clv_12m_high_50_minor", Kind::Integer, |it| high(it, 12, 0.5)),
    column("clv_12m_low_95_minor", Kind::Integer, |it| low(it, 12, 0.95)),
    column("clv_12m_high_95_minor", Kind::Integer, |it| high(it, 12, 0.95)),
    column("clv_24m_low_minor", Kind::Integer, |it| low(it, 24, 0.8)),
    column("clv_24m_high_minor", Kind::Integer, |it| high(it, 24, 0.8)),
    column("clv_36m_low_minor", Kind::Integer, |it| low(it, 36, 0.8)),
    column("clv_36m_high_minor", Kind::Integer, |it| high(it, 36, 0.8)),
    column("clv_endless_low_minor", Kind::Integer, |it| low(it, 0, 0.8)),
    column("clv_endless_high_minor", Kind::Integer, |it| high(it, 0, 0.8)),
    column("next_order_early", Kind::Time, |it| {
        time(it.next_order.as_ref().and_then(|it| it.early_time.as_ref()))
    }),
    column("next_order_late", Kind::Time, |it| {
        time(it.next_order.as_ref().and_then(|it| it.late_time.as_ref()))
    }),
    column("next_order_never", Kind::Real, |it| real(it.next_order.as_ref().map(|it| it.never))),
    column("margin", Kind::Real, |it| Cell::Real(it.margin)),
    column("known_cost_share", Kind::Real, |it| Cell::Real(it.known_cost_share)),
    column("overdue_reason", Kind::Text, |it| text(&it.overdue_reason)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_column_with_its_type_in_order() {
        let page = include_str!("../../../../../../docs/score-export.md");
        let written: Vec<(&str, &str)> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .filter_map(|(name, rest)| Some((name, rest.split(" | ").next()?)))
            .collect();
        let word = |kind: Kind| match kind {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Real => "real",
            Kind::Time => "instant",
            Kind::Date => "day",
            Kind::Flag => "flag",
        };
        let known: Vec<(&str, &str)> = COLUMNS.iter().map(|it| (it.name, word(it.kind))).collect();
        assert_eq!(written, known);
    }
}
