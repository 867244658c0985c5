//! The columns of an export: one list for every format, and for the documentation.

use perennial_api::scoring::v1::{Rfm, Score};

use crate::export::{self, Cell, Column, Kind};
use crate::session::bare;

/// A column, and how it is read off a score.
pub struct Read {
    column: Column,
    read: fn(&Score) -> Cell,
}

fn text(it: &str) -> Cell {
    Cell::word(it)
}

fn date(it: &str) -> Cell {
    Cell::date(it)
}

fn time(it: Option<&prost_types::Timestamp>) -> Cell {
    Cell::time(it)
}

fn real(it: Option<f64>) -> Cell {
    Cell::real(it)
}

fn integer(it: Option<i64>) -> Cell {
    Cell::integer(it)
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

const fn column(name: &'static str, kind: Kind, read: fn(&Score) -> Cell) -> Read {
    Read { column: export::column(name, kind), read }
}

/// All columns.
#[must_use]
pub fn plain() -> &'static [Column] {
    const PLAIN: [Column; COLUMNS.len()] = {
        let mut all = [export::column("", Kind::Text); COLUMNS.len()];
        let mut n = 0;
        while n < COLUMNS.len() {
            all[n] = COLUMNS[n].column;
            n += 1;
        }
        all
    };
    &PLAIN
}

/// A score as a row.
#[must_use]
pub fn cells(score: &Score) -> Vec<Cell> {
    COLUMNS.iter().map(|it| (it.read)(score)).collect()
}

/// All columns, in their order. New ones are added at the end.
pub const COLUMNS: [Read; 48] = [
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
            Kind::Amount => "amount",
            Kind::Json => "json",
            Kind::Time => "instant",
            Kind::Date => "day",
            Kind::Flag => "flag",
        };
        let known: Vec<(&str, &str)> = plain().iter().map(|it| (it.name, word(it.kind))).collect();
        assert_eq!(written, known);
    }
}
