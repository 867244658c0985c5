//! Orders as rows: one for each line of an order, and one for each refund.

use perennial_api::ingestion::v1::{ExportedOrder, OrderPlacement, OrderPlacementLine, OrderReturn};
use perennial_types::Currency;

use super::cell::{Cell, Column, Kind, column};
use crate::session::bare;

/// The columns, in their order. New ones are added at the end.
pub const COLUMNS: &[Column] = &[
    column("order", Kind::Text),
    column("customer", Kind::Text),
    column("email", Kind::Text),
    column("customer_phone", Kind::Text),
    column("anonymous_id", Kind::Text),
    column("ordered_at", Kind::Time),
    column("revenue", Kind::Amount),
    column("currency", Kind::Text),
    column("discount", Kind::Amount),
    column("cost", Kind::Amount),
    column("coupon", Kind::Text),
    column("channel", Kind::Text),
    column("country", Kind::Text),
    column("refunds", Kind::Text),
    column("product", Kind::Text),
    column("product_name", Kind::Text),
    column("category", Kind::Text),
    column("quantity", Kind::Integer),
    column("price", Kind::Amount),
    column("unit_cost", Kind::Amount),
    column("message_id", Kind::Text),
    column("perennial_profile", Kind::Text),
    column("perennial_net_revenue", Kind::Amount),
    column("perennial_net_profit", Kind::Amount),
];

/// An order's rows: its lines, then what went back of it.
#[must_use]
pub fn rows(it: &ExportedOrder) -> Vec<Vec<Cell>> {
    let of = Currency::parse(&it.currency).unwrap_or(Currency::EUR);
    let mut rows = Vec::new();
    if let Some(placed) = &it.placement {
        let shares = shares(placed.revenue_minor, &placed.lines);
        for (n, share) in shares.iter().enumerate() {
            rows.push(line(it, placed, of, n, *share));
        }
    }
    // What is left goes back whole with the first that says so; there is nothing more for the others.
    let told: i64 = it.returns.iter().filter_map(|it| it.amount_minor).fold(0, i64::saturating_add);
    let mut left = it.placement.as_ref().map_or(0, |it| it.revenue_minor.saturating_sub(told).max(0));
    for back in &it.returns {
        let amount = match back.amount_minor {
            // Nothing went back, so nothing is told.
            Some(0) => continue,
            Some(amount) => Some(amount),
            None => Some(std::mem::take(&mut left)).filter(|it| *it > 0),
        };
        rows.push(returned(it, back, of, amount));
    }
    rows
}

/// What recognises the customer: the number of the shop, else what else there is.
fn who(it: &ExportedOrder) -> [Cell; 4] {
    let is_known = [&it.user_id, &it.email, &it.phone].iter().any(|it| !it.is_empty());
    let visitor = if is_known { "" } else { &it.anonymous_id };
    [&it.user_id, &it.email, &it.phone, visitor].map(Cell::word)
}

fn line(it: &ExportedOrder, placed: &OrderPlacement, of: Currency, n: usize, revenue: i64) -> Vec<Cell> {
    let [customer, email, phone, visitor] = who(it);
    let first = |amount: Option<i64>| Cell::amount(amount.filter(|_| n == 0), of);
    // Where all costs are known, they are what is not profit.
    let cost = placed.revenue_minor.saturating_sub(placed.profit_minor);
    let cost = (placed.cost_known_per_mille == 1_000 && cost >= 0).then_some(cost);
    let line = placed.lines.get(n);
    let text = |of: fn(&OrderPlacementLine) -> &str| line.map_or(Cell::Nothing, |it| Cell::word(of(it)));
    vec![
        Cell::word(&it.order_id),
        customer,
        email,
        phone,
        visitor,
        Cell::time(placed.order_time.as_ref()),
        Cell::Amount(revenue, of),
        Cell::word(&it.currency),
        first(Some(placed.discount_minor).filter(|it| *it > 0)),
        first(cost),
        Cell::word(&placed.coupon),
        Cell::word(&placed.channel),
        Cell::word(&placed.country),
        Cell::Nothing,
        text(|it| &it.product_id),
        text(|it| &it.product_name),
        text(|it| &it.category),
        Cell::integer(line.map(|it| it.quantity)),
        Cell::amount(line.map(|it| it.price_minor), of),
        Cell::amount(line.and_then(|it| it.cost_minor).filter(|it| *it >= 0), of),
        Cell::word(&placed.message_id),
        Cell::word(bare(&it.profile)),
        first(Some(it.net_revenue_minor)),
        first(Some(it.net_profit_minor)),
    ]
}

fn returned(it: &ExportedOrder, back: &OrderReturn, of: Currency, amount: Option<i64>) -> Vec<Cell> {
    let [customer, email, phone, visitor] = who(it);
    let number = if back.refund_id.is_empty() { &back.message_id } else { &back.refund_id };
    let mut cells = vec![
        Cell::word(number),
        customer,
        email,
        phone,
        visitor,
        Cell::time(back.return_time.as_ref()),
        Cell::amount(amount.map(i64::saturating_neg), of),
        Cell::word(&it.currency),
    ];
    cells.resize(COLUMNS.len(), Cell::Nothing);
    for (name, cell) in [
        ("refunds", Cell::word(&it.order_id)),
        ("message_id", Cell::word(&back.message_id)),
        ("perennial_profile", Cell::word(bare(&it.profile))),
    ] {
        if let Some(place) = COLUMNS.iter().position(|it| it.name == name) {
            cells[place] = cell;
        }
    }
    cells
}

/// An order's revenue shared among its lines by their worth; each share is nothing or more, and together they are the
/// revenue. An order without lines has one share.
fn shares(revenue: i64, lines: &[OrderPlacementLine]) -> Vec<i64> {
    let worth: Vec<i128> =
        lines.iter().map(|it| (i128::from(it.quantity) * i128::from(it.price_minor)).max(0)).collect();
    let all: i128 = worth.iter().sum();
    if all == 0 {
        let mut shares = vec![0; lines.len().max(1)];
        shares[0] = revenue;
        return shares;
    }
    let (mut sum, mut given) = (0_i128, 0_i64);
    let share = |worth: &i128| {
        sum += worth;
        let until = i64::try_from(i128::from(revenue) * sum / all).unwrap_or(revenue);
        let share = until - given;
        given = until;
        share
    };
    worth.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(lines: &[(i64, i64)], revenue: i64, returns: &[Option<i64>]) -> ExportedOrder {
        let line = |(quantity, price_minor): &(i64, i64)| OrderPlacementLine {
            product_id: "mug".to_owned(),
            quantity: *quantity,
            price_minor: *price_minor,
            ..Default::default()
        };
        let placement = OrderPlacement {
            revenue_minor: revenue,
            lines: lines.iter().map(line).collect(),
            ..Default::default()
        };
        let back =
            |amount_minor: &Option<i64>| OrderReturn { amount_minor: *amount_minor, ..Default::default() };
        ExportedOrder {
            order_id: "1".to_owned(),
            currency: "EUR".to_owned(),
            placement: Some(placement),
            returns: returns.iter().map(back).collect(),
            ..Default::default()
        }
    }

    fn revenues(it: &ExportedOrder) -> Vec<String> {
        let place = COLUMNS.iter().position(|it| it.name == "revenue").unwrap();
        rows(it).iter().map(|row| row[place].text()).collect()
    }

    #[test]
    fn lines_share_the_revenue_to_the_cent() {
        assert_eq!(revenues(&order(&[(1, 100), (1, 100), (1, 100)], 200, &[])), ["0.66", "0.67", "0.67"]);
        assert_eq!(revenues(&order(&[(2, 0), (1, 0)], 500, &[])), ["5.00", "0.00"]);
        assert_eq!(revenues(&order(&[], 500, &[])), ["5.00"]);
        assert_eq!(revenues(&order(&[(3, 900), (0, 100)], 0, &[])), ["0.00", "0.00"]);
    }

    #[test]
    fn what_went_back_is_told_as_an_amount_where_it_is_one() {
        assert_eq!(revenues(&order(&[], 500, &[Some(200), None])), ["5.00", "-2.00", "-3.00"]);
        assert_eq!(revenues(&order(&[], 500, &[None, None])), ["5.00", "-5.00", ""]);
        assert_eq!(revenues(&order(&[], 0, &[None])), ["0.00", ""], "of nothing all goes back");
        assert_eq!(revenues(&order(&[], 500, &[Some(0)])), ["5.00"]);
    }
}
