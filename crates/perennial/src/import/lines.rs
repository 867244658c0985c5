//! Rows of one order become one order, even where those of two orders alternate.

use std::collections::{BTreeMap, HashMap};

use perennial_types::Timestamp;
use serde_json::{Map, Value};

/// An order is whole when so many rows came after its last one.
const APART: u64 = 1_000;
/// Most rows of orders that are not whole yet: the oldest order is taken for whole when there are more.
const HELD: usize = 50_000;

/// One row of a file of orders, read.
#[derive(Clone, Debug)]
pub struct OrderRow {
    /// Its place among all rows, from 0.
    pub place: u64,
    /// Its line in the file.
    pub line: u64,
    /// The shop's id of the customer; of a guest the address, number or visitor's id they are known by.
    pub customer: String,
    /// The shop has no id of them.
    pub is_guest: bool,
    /// The browser's or device's id, if the file has one.
    pub anonymous: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The order's number, if the file has one.
    pub order: Option<String>,
    /// The order whose money goes back, if the file has a column for it.
    pub refunds: Option<String>,
    /// The message id of its event, if the file has one.
    pub message: Option<String>,
    /// Revenue, as decimal text; negative where money goes back, none where all of it does.
    pub revenue: Option<String>,
    /// Everything else that Order Completed may say: discount, cost_total, coupon, currency, email, phone, channel, country.
    pub more: Map<String, Value>,
    /// The product, if the row names one.
    pub product: Option<Map<String, Value>>,
    /// How many units of it; negative where they come back.
    pub quantity: Option<f64>,
    /// The row as it stood in the file.
    pub raw: Vec<String>,
}

/// An order: its rows, at least one.
#[derive(Clone, Debug)]
pub struct Rows(pub Vec<OrderRow>);

impl Rows {
    /// The place of its first row.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.0.first().map_or(0, |it| it.place)
    }

    fn last(&self) -> u64 {
        self.0.last().map_or(0, |it| it.place)
    }
}

/// What rows of one order share.
type Number = (String, String, Option<String>);

fn number(row: &OrderRow) -> Option<Number> {
    row.order.clone().map(|it| (row.customer.clone(), it, row.message.clone()))
}

/// Collects rows into orders, in constant memory.
#[derive(Debug, Default)]
pub struct Collector {
    /// Orders that are not whole yet, by the place of their first row.
    open: BTreeMap<u64, Rows>,
    /// Where the order of a customer with a number, and with a message of its own if it names one, is among them.
    known: HashMap<Number, u64>,
    held: usize,
}

impl Collector {
    /// Takes a row, and gives the orders that are whole by then, in the order of their first rows.
    pub fn push(&mut self, row: OrderRow) -> Vec<Rows> {
        let place = row.place;
        let number = number(&row);
        self.held += 1;
        match number.as_ref().and_then(|it| self.known.get(it)).and_then(|it| self.open.get_mut(it)) {
            Some(rows) => rows.0.push(row),
            None => {
                self.open.insert(place, Rows(vec![row]));
                self.known.extend(number.map(|it| (it, place)));
            }
        }
        self.whole(place)
    }

    /// The orders that are whole when the row at `place` was read, whatever it was.
    pub fn whole(&mut self, place: u64) -> Vec<Rows> {
        let mut whole = Vec::new();
        while let Some(oldest) = self.open.first_entry() {
            let rows = oldest.get();
            let is_numbered = rows.0.first().is_some_and(|it| it.order.is_some());
            if is_numbered && place.saturating_sub(rows.last()) < APART && self.held <= HELD {
                break;
            }
            let rows = oldest.remove();
            whole.push(self.closed(rows));
        }
        whole
    }

    /// All that are left.
    pub fn finish(&mut self) -> Vec<Rows> {
        let mut left = Vec::new();
        while let Some((_, rows)) = self.open.pop_first() {
            left.push(self.closed(rows));
        }
        left
    }

    fn closed(&mut self, rows: Rows) -> Rows {
        self.held -= rows.0.len();
        if let Some(number) = rows.0.first().and_then(number) {
            self.known.remove(&number);
        }
        rows
    }

    /// The first row that is not part of a whole order; nothing if all are.
    #[must_use]
    pub fn waiting(&self) -> Option<u64> {
        self.open.first_key_value().map(|(place, _)| *place)
    }
}
