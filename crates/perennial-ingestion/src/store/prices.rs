//! What products were sold for and what they cost, from an instant on until the next one.

use perennial_store::{
    Backend, Column, ConnectionTrait, Result, Table, Value, any_of, column, insert_rows, query,
};
use perennial_types::{Money, Timestamp, Workspace, from_micros, micros};
use std::collections::HashMap;

use super::catalogue::money;
use crate::domain::catalogue::guard::Asked;
use crate::domain::catalogue::product::{Price, Product};

const PRICES: Table = Table {
    name: "product_price",
    columns: &[
        ("workspace", Column::Text),
        ("product", Column::Text),
        ("since", Column::BigInt),
        ("currency", Column::Text),
        ("price", Column::BigInt),
        ("list_price", Column::BigInt),
        ("cost_currency", Column::Text),
        ("cost", Column::BigInt),
    ],
};

/// One entry of a product's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From when on.
    pub since: Timestamp,
    /// What it was sold for.
    pub price: Option<Price>,
    /// What it cost.
    pub cost: Option<Money>,
}

/// Writes what products are sold for and cost from `since` on.
///
/// # Errors
/// If the database refuses.
pub async fn add<'a>(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    since: Timestamp,
    products: impl Iterator<Item = &'a Product>,
) -> Result<()> {
    let code = |it: Money| it.currency.code().to_owned();
    let row = |it: &Product| {
        vec![
            workspace.as_str().into(),
            it.id.as_str().into(),
            micros(since).into(),
            it.price.map(|it| code(it.now)).into(),
            it.price.map(|it| it.now.minor).into(),
            it.price.and_then(|it| it.list).into(),
            it.cost.map(code).into(),
            it.cost.map(|it| it.minor).into(),
        ]
    };
    let update = "ON CONFLICT (workspace, product, since) DO UPDATE SET currency = excluded.currency, \
                  price = excluded.price, list_price = excluded.list_price, \
                  cost_currency = excluded.cost_currency, cost = excluded.cost";
    insert_rows(tx, &PRICES, products.map(row).collect(), update).await?;
    Ok(())
}

/// Reads a page of a product's history, newest first.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    product: &str,
    before: i64,
    limit: u64,
) -> Result<Vec<Entry>> {
    let sql = "SELECT since, currency, price, list_price, cost_currency, cost FROM product_price \
               WHERE workspace = $1 AND product = $2 AND since < $3 ORDER BY since DESC LIMIT $4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), product.into(), before.into(), limit.into()];
    let rows = query(db, "a product's prices", sql, values).await?;
    let entry = |row| {
        let list = column(row, 3)?;
        Ok(Entry {
            since: from_micros(column(row, 0)?),
            price: money(column(row, 1)?, column(row, 2)?)?.map(|now| Price { now, list }),
            cost: money(column(row, 4)?, column(row, 5)?)?,
        })
    };
    rows.iter().map(entry).collect()
}

/// Reads what products were sold for since an instant, and the last price before it, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn asked(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    products: Vec<&str>,
    since: Timestamp,
) -> Result<HashMap<String, Vec<Asked>>> {
    let mut found: HashMap<String, Vec<Asked>> = HashMap::new();
    if products.is_empty() {
        return Ok(found);
    }
    let mut values = vec![workspace.as_str().into(), micros(since).into()];
    let wanted = products.into_iter().map(Value::from).collect();
    let condition = any_of(Backend::of(db), "p.product", Column::Text, wanted, &mut values);
    let sql = format!(
        "SELECT p.product, p.since, p.currency, p.price FROM product_price p WHERE p.workspace = $1 AND {condition} \
         AND p.since >= COALESCE((SELECT MAX(b.since) FROM product_price b WHERE b.workspace = p.workspace \
         AND b.product = p.product AND b.since <= $2), $2) ORDER BY p.product, p.since"
    );
    for row in &query(db, "prices of products", &sql, values).await? {
        let price = money(column(row, 2)?, column(row, 3)?)?;
        found.entry(column(row, 0)?).or_default().push((from_micros(column(row, 1)?), price));
    }
    Ok(found)
}
