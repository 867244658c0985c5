//! A workspace's catalogue as a whole: its version, and the changes of its products that count.

use perennial_store::{
    Column, ConnectionTrait, QueryResult, Result, StoreError, Table, column, execute, insert_rows, query,
    query_one,
};
use perennial_types::{Currency, Money, Timestamp, Workspace, from_micros, micros};

use crate::domain::catalogue::guard::{Kind, ProductChange};

/// How long changes are kept.
pub const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(90 * 24);

const CHANGES: Table = Table {
    name: "catalog_change",
    columns: &[
        ("workspace", Column::Text),
        ("position", Column::BigInt),
        ("at", Column::BigInt),
        ("kind", Column::Text),
        ("product", Column::Text),
        ("currency", Column::Text),
        ("price", Column::BigInt),
        ("old_price", Column::BigInt),
    ],
};

/// Where a catalogue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// When its first product became known.
    pub created: Timestamp,
    /// Rises with every change of any product.
    pub version: i64,
    /// How many products it holds.
    pub products: i64,
    /// Some of them have a cost, or had one.
    pub costed: bool,
    /// The position of its last change that counts.
    pub position: i64,
}

const COLUMNS: &str = "created, version, products, costed, position";

/// Where a catalogue stands; none if the workspace has none.
///
/// # Errors
/// If the database refuses.
pub async fn head(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Option<Head>> {
    let sql = format!("SELECT {COLUMNS} FROM catalogue WHERE workspace = $1");
    let row = query_one(db, "a catalogue", &sql, vec![workspace.as_str().into()]).await?;
    row.as_ref().map(head_of).transpose()
}

/// The same, beginning the catalogue if there is none, and keeping other writers of it out until the transaction ends.
///
/// # Errors
/// If the database refuses.
pub async fn lock(tx: &impl ConnectionTrait, workspace: &Workspace, now: Timestamp) -> Result<Head> {
    let sql = format!(
        "INSERT INTO catalogue (workspace, created, version, products, costed, position) \
         VALUES ($1, $2, 0, 0, FALSE, 0) ON CONFLICT (workspace) DO UPDATE SET version = catalogue.version \
         RETURNING {COLUMNS}"
    );
    let row = query_one(tx, "a catalogue", &sql, vec![workspace.as_str().into(), micros(now).into()]).await?;
    let corrupt = || StoreError::Corrupt { what: "catalogue", reason: "it is not there".to_owned() };
    head_of(&row.ok_or_else(corrupt)?)
}

/// Writes down where a catalogue stands.
///
/// # Errors
/// If the database refuses.
pub async fn advance(tx: &impl ConnectionTrait, workspace: &Workspace, head: Head) -> Result<()> {
    let sql = "UPDATE catalogue SET created = $2, version = $3, products = $4, costed = $5, position = $6 \
               WHERE workspace = $1";
    let values = vec![
        workspace.as_str().into(),
        micros(head.created).into(),
        head.version.into(),
        head.products.into(),
        head.costed.into(),
        head.position.into(),
    ];
    execute(tx, "a catalogue", sql, values).await?;
    Ok(())
}

fn head_of(row: &QueryResult) -> Result<Head> {
    Ok(Head {
        created: from_micros(column(row, 0)?),
        version: column(row, 1)?,
        products: column(row, 2)?,
        costed: column(row, 3)?,
        position: column(row, 4)?,
    })
}

/// Writes changes that count, numbered on from `position`; gives the last position.
///
/// # Errors
/// If the database refuses.
pub async fn add_changes(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    position: i64,
    changes: &[ProductChange],
) -> Result<i64> {
    let mut last = position;
    let row = |it: &ProductChange| {
        last += 1;
        vec![
            workspace.as_str().into(),
            last.into(),
            micros(it.at).into(),
            it.kind.as_str().into(),
            it.product.as_str().into(),
            it.price.map(|it| it.currency.code().to_owned()).into(),
            it.price.map(|it| it.minor).into(),
            it.old_price.into(),
        ]
    };
    let rows = changes.iter().map(row).collect();
    insert_rows(tx, &CHANGES, rows, "").await?;
    Ok(last)
}

/// Reads changes after a position, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn changes(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: i64,
    limit: u64,
) -> Result<Vec<(i64, ProductChange)>> {
    let sql = "SELECT position, at, kind, product, currency, price, old_price FROM catalog_change \
               WHERE workspace = $1 AND position > $2 ORDER BY position LIMIT $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        query(db, "changes of products", sql, vec![workspace.as_str().into(), after.into(), limit.into()]);
    rows.await?.iter().map(change_of).collect()
}

fn change_of(row: &QueryResult) -> Result<(i64, ProductChange)> {
    let word: String = column(row, 2)?;
    let kind = Kind::parse(&word).ok_or(StoreError::Corrupt { what: "change of a product", reason: word })?;
    let change = ProductChange {
        kind,
        product: column(row, 3)?,
        at: from_micros(column(row, 1)?),
        price: money(column(row, 4)?, column(row, 5)?)?,
        old_price: column(row, 6)?,
    };
    Ok((column(row, 0)?, change))
}

/// Forgets changes of before an instant.
///
/// # Errors
/// If the database refuses.
pub async fn forget_changes(tx: &impl ConnectionTrait, until: Timestamp) -> Result<()> {
    execute(
        tx,
        "old changes of products",
        "DELETE FROM catalog_change WHERE at < $1",
        vec![micros(until).into()],
    )
    .await?;
    Ok(())
}

/// An amount of two columns.
///
/// # Errors
/// If the currency is none.
pub fn money(currency: Option<String>, minor: Option<i64>) -> Result<Option<Money>> {
    let (Some(currency), Some(minor)) = (currency, minor) else { return Ok(None) };
    let currency = Currency::parse(&currency)
        .map_err(|error| StoreError::Corrupt { what: "currency", reason: error.to_string() })?;
    Ok(Some(Money { minor, currency }))
}
