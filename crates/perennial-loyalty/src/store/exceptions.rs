//! Redemptions that broke a rule.

use std::collections::BTreeMap;

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, QueryResult, Result, Table, Value, any_of, column,
    insert_rows, query,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

const TABLE: Table = Table {
    name: "redemption_exception",
    columns: &[
        ("workspace", Column::Text),
        ("code", Column::Text),
        ("order_id", Column::Text),
        ("offer", Column::Text),
        ("reason", Column::Text),
        ("cost", Column::BigInt),
        ("apart", Column::Bool),
        ("order_at", Column::BigInt),
        ("undone", Column::Bool),
    ],
};

/// An exception as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredException {
    /// The coupon's code.
    pub code: String,
    /// The order.
    pub order: String,
    /// The offer's bare name.
    pub offer: String,
    /// Which rule it broke.
    pub reason: String,
    /// What it cost, minor units.
    pub cost: i64,
    /// Booked apart from the coupon.
    pub apart: bool,
    /// When the order was placed.
    pub at: Timestamp,
    /// The order was refunded or cancelled since.
    pub undone: bool,
}

const COLUMNS: &str = "code, order_id, offer, reason, cost, apart, order_at, undone";

fn read(row: &QueryResult) -> Result<StoredException> {
    Ok(StoredException {
        code: column(row, 0)?,
        order: column(row, 1)?,
        offer: column(row, 2)?,
        reason: column(row, 3)?,
        cost: column(row, 4)?,
        apart: column(row, 5)?,
        at: from_micros(column(row, 6)?),
        undone: column(row, 7)?,
    })
}

/// The exceptions of these orders, by code and order.
pub async fn of_orders(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    orders: impl Iterator<Item = &str>,
) -> Result<BTreeMap<(String, String), StoredException>> {
    let mut values = vec![workspace.as_str().into()];
    let condition =
        any_of(Backend::of(db), "order_id", Column::Text, orders.map(Into::into).collect(), &mut values);
    let sql = format!("SELECT {COLUMNS} FROM redemption_exception WHERE workspace = $1 AND {condition}");
    let rows = query(db, "exceptions", &sql, values).await?;
    rows.iter().map(|row| read(row).map(|it| ((it.code.clone(), it.order.clone()), it))).collect()
}

/// Keeps exceptions.
pub async fn save<'a>(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    exceptions: impl Iterator<Item = &'a StoredException>,
) -> Result<()> {
    let rows = exceptions.map(|it| -> Vec<Value> {
        vec![
            workspace.as_str().into(),
            it.code.as_str().into(),
            it.order.as_str().into(),
            it.offer.as_str().into(),
            it.reason.as_str().into(),
            it.cost.into(),
            it.apart.into(),
            micros(it.at).into(),
            it.undone.into(),
        ]
    });
    let update = "ON CONFLICT (workspace, code, order_id) DO UPDATE SET reason = excluded.reason, \
                  cost = excluded.cost, apart = excluded.apart, undone = excluded.undone";
    insert_rows(tx, &TABLE, rows.collect(), update).await.map(|_| ())
}

/// Exceptions before `before` (instant of the order in microseconds, code, order), newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    before: Option<(i64, String, String)>,
    limit: u64,
) -> Result<Vec<StoredException>> {
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    let mut sql = format!("SELECT {COLUMNS} FROM redemption_exception WHERE workspace = $1");
    if let Some((at, code, order)) = before {
        values.extend([at.into(), code.into(), order.into()]);
        sql.push_str(" AND (order_at, code, order_id) < ($2, $3, $4)");
    }
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    sql.push_str(&format!(" ORDER BY order_at DESC, code DESC, order_id DESC LIMIT ${}", values.len()));
    query(db, "exceptions", &sql, values).await?.iter().map(read).collect()
}

/// How many there are of each offer.
pub async fn count(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<BTreeMap<String, i64>> {
    let sql =
        "SELECT offer, COUNT(*) FROM redemption_exception WHERE workspace = $1 AND NOT undone GROUP BY offer";
    let rows = query(db, "exceptions", sql, vec![workspace.as_str().into()]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}
