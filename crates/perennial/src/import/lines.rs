//! Rows of one order that lie next to each other become one order.

use perennial_types::Timestamp;
use serde_json::{Map, Value};

/// One row of a file of orders, read.
#[derive(Clone, Debug)]
pub struct OrderRow {
    /// Its line in the file.
    pub line: u64,
    /// The shop's id of the customer.
    pub customer: String,
    /// When.
    pub at: Timestamp,
    /// The order's number, if the file has one.
    pub order: Option<String>,
    /// Revenue, as decimal text.
    pub revenue: String,
    /// Everything else that Order Completed may say: discount, cost_total, coupon, currency, email, channel, country.
    pub more: Map<String, Value>,
    /// The product, if the row names one.
    pub product: Option<Map<String, Value>>,
    /// The row as it stood in the file.
    pub raw: Vec<String>,
}

/// An order: its rows, at least one.
#[derive(Clone, Debug)]
pub struct Rows(pub Vec<OrderRow>);

impl Rows {
    /// Whether a row belongs to the same order: the same number of the same customer.
    #[must_use]
    pub fn takes(&self, row: &OrderRow) -> bool {
        let first = &self.0[0];
        row.order.is_some()
            && row.order == first.order
            && row.customer == first.customer
            && self.0.len() < 500
    }
}

/// Collects rows into orders.
#[derive(Debug, Default)]
pub struct Collector(Option<Rows>);

impl Collector {
    /// Takes a row, and gives the order before it if that is whole now.
    pub fn push(&mut self, row: OrderRow) -> Option<Rows> {
        match &mut self.0 {
            Some(rows) if rows.takes(&row) => {
                rows.0.push(row);
                None
            }
            before => before.replace(Rows(vec![row])),
        }
    }

    /// The last order.
    pub fn finish(&mut self) -> Option<Rows> {
        self.0.take()
    }
}
