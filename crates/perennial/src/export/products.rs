//! Products as rows.

use perennial_api::catalog::v1::Product;
use perennial_api::catalog::v1::product::Availability;
use perennial_types::Currency;

use super::cell::{Cell, Column, Kind, column};

/// The columns, in their order. New ones are added at the end.
pub const COLUMNS: &[Column] = &[
    column("product", Kind::Text),
    column("sku", Kind::Text),
    column("group", Kind::Text),
    column("variant", Kind::Text),
    column("product_name", Kind::Text),
    column("brand", Kind::Text),
    column("category", Kind::Text),
    column("url", Kind::Text),
    column("image_url", Kind::Text),
    column("price", Kind::Amount),
    column("list_price", Kind::Amount),
    column("currency", Kind::Text),
    column("cost", Kind::Amount),
    column("cost_currency", Kind::Text),
    column("availability", Kind::Text),
    column("stock", Kind::Integer),
    column("perennial_first_seen", Kind::Time),
    column("perennial_updated_at", Kind::Time),
];

/// A product as a row.
#[must_use]
pub fn row(it: &Product) -> Vec<Cell> {
    let of = |code: &str| Currency::parse(code).unwrap_or(Currency::EUR);
    let (sold_in, bought_in) = (of(&it.currency), of(&it.cost_currency));
    let availability = match it.availability() {
        Availability::InStock => "in_stock",
        Availability::OutOfStock => "out_of_stock",
        Availability::Preorder => "preorder",
        Availability::Backorder => "backorder",
        Availability::Unspecified => "",
    };
    let texts = [
        &it.product_id,
        &it.sku,
        &it.group_id,
        &it.variant,
        &it.title,
        &it.brand,
        &it.category,
        &it.url,
        &it.image_url,
    ];
    let mut cells: Vec<Cell> = texts.into_iter().map(|it| Cell::word(it)).collect();
    cells.extend([
        Cell::amount(it.price_minor, sold_in),
        Cell::amount(it.list_price_minor, sold_in),
        Cell::word(&it.currency),
        Cell::amount(it.cost_minor, bought_in),
        Cell::word(&it.cost_currency),
        Cell::word(availability),
        Cell::integer(it.stock_quantity),
        Cell::time(it.create_time.as_ref()),
        Cell::time(it.update_time.as_ref()),
    ]);
    cells
}
