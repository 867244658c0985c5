//! Products.

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, Result, Table, Value, any_of, column, insert_rows, query,
    query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

use super::catalogue::money;
use crate::domain::catalogue::costs::Costed;
use crate::domain::catalogue::guard::Held;
use crate::domain::catalogue::product::{Availability, Price, Product, Stock, Texts};

const PRODUCTS: Table = Table {
    name: "product",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Text),
        ("sku", Column::Text),
        ("group_id", Column::Text),
        ("variant", Column::Text),
        ("title", Column::Text),
        ("brand", Column::Text),
        ("category", Column::Text),
        ("url", Column::Text),
        ("image_url", Column::Text),
        ("currency", Column::Text),
        ("price", Column::BigInt),
        ("list_price", Column::BigInt),
        ("cost_currency", Column::Text),
        ("cost", Column::BigInt),
        ("availability", Column::Text),
        ("units", Column::BigInt),
        ("created", Column::BigInt),
        ("updated", Column::BigInt),
        ("held_currency", Column::Text),
        ("held_price", Column::BigInt),
        ("price_due", Column::BigInt),
        ("held_in_stock", Column::Bool),
        ("stock_due", Column::BigInt),
        ("due", Column::BigInt),
    ],
};

const SELECT: &str = "SELECT id, sku, group_id, variant, title, brand, category, url, image_url, currency, price, \
                      list_price, cost_currency, cost, availability, units, created, updated, held_currency, \
                      held_price, price_due, held_in_stock, stock_due FROM product";

/// Which products to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this group; empty: of any.
    pub group: String,
    /// Only of this category or one within it; empty: of any.
    pub category: String,
}

/// Writes products, new ones and changed ones alike.
///
/// # Errors
/// If the database refuses.
pub async fn save(tx: &impl ConnectionTrait, workspace: &Workspace, products: &[Product]) -> Result<()> {
    let updates = PRODUCTS.columns[2..].iter().map(|(name, _)| format!("{name} = excluded.{name}"));
    let conflict =
        format!("ON CONFLICT (workspace, id) DO UPDATE SET {}", updates.collect::<Vec<_>>().join(", "));
    insert_rows(tx, &PRODUCTS, products.iter().map(|it| row(workspace, it)).collect(), &conflict).await?;
    Ok(())
}

fn row(workspace: &Workspace, it: &Product) -> Vec<Value> {
    let Texts { sku, group, variant, title, brand, category, url, image_url } = &it.texts;
    let mut row: Vec<Value> = vec![workspace.as_str().into(), it.id.as_str().into()];
    row.extend([sku, group, variant, title, brand, category, url, image_url].map(|it| it.as_str().into()));
    let code = |it: perennial_types::Money| it.currency.code().to_owned();
    let at = |it: Option<Timestamp>| Value::from(it.map(micros));
    row.extend([
        it.price.map(|it| code(it.now)).into(),
        it.price.map(|it| it.now.minor).into(),
        it.price.and_then(|it| it.list).into(),
        it.cost.map(code).into(),
        it.cost.map(|it| it.minor).into(),
        it.stock.availability.as_str().into(),
        it.stock.units.into(),
        micros(it.created).into(),
        micros(it.updated).into(),
        it.held.price.map(code).into(),
        it.held.price.map(|it| it.minor).into(),
        at(it.held.price_due),
        it.held.in_stock.into(),
        at(it.held.stock_due),
        at(it.held.due()),
    ]);
    row
}

fn product_of(row: &QueryResult) -> Result<Product> {
    let at = |n: usize| -> Result<Option<Timestamp>> { Ok(column::<Option<i64>>(row, n)?.map(from_micros)) };
    let list = column(row, 11)?;
    Ok(Product {
        id: column(row, 0)?,
        texts: Texts {
            sku: column(row, 1)?,
            group: column(row, 2)?,
            variant: column(row, 3)?,
            title: column(row, 4)?,
            brand: column(row, 5)?,
            category: column(row, 6)?,
            url: column(row, 7)?,
            image_url: column(row, 8)?,
        },
        price: money(column(row, 9)?, column(row, 10)?)?.map(|now| Price { now, list }),
        cost: money(column(row, 12)?, column(row, 13)?)?,
        stock: Stock {
            availability: Availability::parse(&column::<String>(row, 14)?),
            units: column(row, 15)?,
        },
        created: from_micros(column(row, 16)?),
        updated: from_micros(column(row, 17)?),
        held: Held {
            price: money(column(row, 18)?, column(row, 19)?)?,
            price_due: at(20)?,
            in_stock: column(row, 21)?,
            stock_due: at(22)?,
        },
    })
}

/// Reads products by their ids.
///
/// # Errors
/// If the database refuses.
pub async fn load(db: &impl ConnectionTrait, workspace: &Workspace, ids: Vec<&str>) -> Result<Vec<Product>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = vec![workspace.as_str().into()];
    let wanted = ids.into_iter().map(Value::from).collect();
    let condition = any_of(Backend::of(db), "id", Column::Text, wanted, &mut values);
    let sql = format!("{SELECT} WHERE workspace = $1 AND {condition}");
    query(db, "products", &sql, values).await?.iter().map(product_of).collect()
}

/// Reads a page of products by id.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    filter: &Filter,
    after: &str,
    limit: u64,
) -> Result<Vec<Product>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut sql = format!("{SELECT} WHERE workspace = $1 AND id > $2");
    let mut values: Vec<Value> = vec![workspace.as_str().into(), after.into()];
    if !filter.group.is_empty() {
        values.push(filter.group.as_str().into());
        sql.push_str(&format!(" AND group_id <> '' AND group_id = ${}", values.len()));
    }
    if !filter.category.is_empty() {
        let within = format!("{} > ", filter.category);
        let letters = i64::try_from(within.chars().count()).unwrap_or(i64::MAX);
        values.extend([filter.category.as_str().into(), letters.into(), within.into()]);
        let n = values.len();
        sql.push_str(&format!(
            " AND (category = ${} OR substr(category, 1, CAST(${} AS INTEGER)) = ${n})",
            n - 2,
            n - 1
        ));
    }
    values.push(limit.into());
    sql.push_str(&format!(" ORDER BY id LIMIT ${}", values.len()));
    query(db, "products", &sql, values).await?.iter().map(product_of).collect()
}

/// Reads a page of categories with the number of products in each, by name.
///
/// # Errors
/// If the database refuses.
pub async fn categories(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: &str,
    limit: u64,
) -> Result<Vec<(String, i64)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "SELECT category, COUNT(*) FROM product WHERE workspace = $1 AND category <> '' AND category > $2 \
               GROUP BY category ORDER BY category LIMIT $3";
    let rows =
        query(db, "categories", sql, vec![workspace.as_str().into(), after.into(), limit.into()]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// Reads the costs of products that any of `words` may mean: as id, SKU or group. One may come more than once.
///
/// # Errors
/// If the database refuses.
pub async fn costs(db: &impl ConnectionTrait, workspace: &Workspace, words: &[&str]) -> Result<Vec<Costed>> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for words in words.chunks(1_024) {
        // Few lengths make few statements, or SQLite's connections would each keep hundreds of them.
        let more = words.len().next_power_of_two() - words.len();
        let words: Vec<&str> = words.iter().chain(words.iter().cycle().take(more)).copied().collect();
        let mut values = vec![workspace.as_str().into()];
        // Three searches, each by its own index: with OR in between, SQLite reads the whole catalogue.
        let searches = ["id", "sku", "group_id"].map(|name| {
            let wanted = words.iter().map(|it| Value::from(*it)).collect();
            let condition = any_of(Backend::of(db), name, Column::Text, wanted, &mut values);
            format!(
                "SELECT id, sku, group_id, variant, cost_currency, cost FROM product \
                 WHERE workspace = $1 AND cost IS NOT NULL AND {name} <> '' AND {condition}"
            )
        });
        let sql = searches.join(" UNION ALL ");
        for row in &query(db, "costs of products", &sql, values).await? {
            if let Some(cost) = money(column(row, 4)?, column(row, 5)?)? {
                found.push(Costed {
                    id: column(row, 0)?,
                    sku: column(row, 1)?,
                    group: column(row, 2)?,
                    variant: column(row, 3)?,
                    cost,
                });
            }
        }
    }
    Ok(found)
}

/// Reads products with something due by `now`, the earliest first.
///
/// # Errors
/// If the database refuses.
pub async fn due(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Product>> {
    let sql =
        format!("{SELECT} WHERE workspace = $1 AND due IS NOT NULL AND due <= $2 ORDER BY due, id LIMIT $3");
    let values = vec![workspace.as_str().into(), micros(now).into(), limit.into()];
    query(tx, "products that are due", &sql, values).await?.iter().map(product_of).collect()
}

/// The workspace whose product is due first, of all, and when.
///
/// # Errors
/// If the database refuses.
pub async fn next_due(db: &impl ConnectionTrait) -> Result<Option<(String, Timestamp)>> {
    let sql = "SELECT workspace, due FROM product WHERE due IS NOT NULL ORDER BY due, workspace LIMIT 1";
    let row = query_one(db, "the next due product", sql, vec![]).await?;
    row.map(|row| Ok((column(&row, 0)?, from_micros(column(&row, 1)?)))).transpose()
}
