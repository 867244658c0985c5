//! The latest score of every customer: what summaries and edges are made of.

use std::collections::BTreeMap;

use perennial_store::{
    Column, ConnectionTrait, StoreError, Table, column, delete_rows, insert_rows, query, query_one,
};
use perennial_types::{ProfileId, Timestamp, Workspace, micros};
use uuid::Uuid;

pub const SCORES: Table = Table {
    name: "customer_score",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("orders", Column::BigInt),
        ("purchase_days", Column::BigInt),
        ("revenue_minor", Column::BigInt),
        ("profit_minor", Column::BigInt),
        ("known_minor", Column::BigInt),
        ("last_order", Column::BigInt),
        ("clv_minor", Column::BigInt),
        ("recency", Column::BigInt),
        ("frequency", Column::BigInt),
        ("monetary", Column::BigInt),
        ("scored_at", Column::BigInt),
    ],
};

const KEY: Table =
    Table { name: "customer_score", columns: &[("workspace", Column::Text), ("profile", Column::Uuid)] };

const CHUNK: i64 = 50_000;

/// A customer's latest score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRow {
    /// Orders.
    pub orders: i64,
    /// Days with an order.
    pub purchase_days: i64,
    /// Revenue after refunds.
    pub revenue: i64,
    /// Profit after refunds.
    pub profit: i64,
    /// Revenue whose cost is known.
    pub known: i64,
    /// The latest order.
    pub last_order: Timestamp,
    /// 12-month CLV; none without a model.
    pub clv: Option<i64>,
    /// RFM scores; 0 while there are no edges.
    pub rfm: [u8; 3],
    /// When it was scored.
    pub at: Timestamp,
}

/// Writes scores, and takes back those of customers who are none any more.
pub async fn write_scores(
    db: &impl ConnectionTrait,
    scores: BTreeMap<(Workspace, ProfileId), Option<ScoreRow>>,
) -> Result<(), StoreError> {
    let (mut written, mut gone) = (Vec::new(), Vec::new());
    for ((workspace, profile), it) in scores {
        let Some(it) = it else {
            gone.push(vec![workspace.as_str().into(), profile.0.into()]);
            continue;
        };
        let [recency, frequency, monetary] = it.rfm.map(|it| i64::from(it).into());
        written.push(vec![
            workspace.as_str().into(),
            profile.0.into(),
            it.orders.into(),
            it.purchase_days.into(),
            it.revenue.into(),
            it.profit.into(),
            it.known.into(),
            micros(it.last_order).into(),
            it.clv.into(),
            recency,
            frequency,
            monetary,
            micros(it.at).into(),
        ]);
    }
    delete_rows(db, &KEY, gone).await?;
    let update = "ON CONFLICT (workspace, profile) DO UPDATE SET orders = excluded.orders, \
                  purchase_days = excluded.purchase_days, revenue_minor = excluded.revenue_minor, \
                  profit_minor = excluded.profit_minor, known_minor = excluded.known_minor, \
                  last_order = excluded.last_order, clv_minor = excluded.clv_minor, \
                  recency = excluded.recency, frequency = excluded.frequency, monetary = excluded.monetary, \
                  scored_at = excluded.scored_at";
    insert_rows(db, &SCORES, written, update).await?;
    Ok(())
}

/// Sums over all customers of a workspace, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Customers with an order.
    pub customers: i64,
    /// Customers with two or more orders.
    pub repeaters: i64,
    /// Customers who bought on two or more days.
    pub repeat_days: i64,
    /// Orders.
    pub orders: i64,
    /// Revenue.
    pub revenue: i64,
    /// Profit.
    pub profit: i64,
    /// Revenue whose cost is known.
    pub known: i64,
}

/// Sums over all customers.
pub async fn totals(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Reach, StoreError> {
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN orders > 1 THEN 1 ELSE 0 END), 0) AS BIGINT), \
               CAST(COALESCE(SUM(CASE WHEN purchase_days > 1 THEN 1 ELSE 0 END), 0) AS BIGINT), \
               CAST(COALESCE(SUM(orders), 0) AS BIGINT), CAST(COALESCE(SUM(revenue_minor), 0) AS BIGINT), \
               CAST(COALESCE(SUM(profit_minor), 0) AS BIGINT), CAST(COALESCE(SUM(known_minor), 0) AS BIGINT) \
               FROM customer_score WHERE workspace = $1";
    let row = query_one(db, "the totals of all scores", sql, vec![workspace.as_str().into()]).await?;
    let Some(row) = row else { return Ok(Reach::default()) };
    Ok(Reach {
        customers: column(&row, 0)?,
        repeaters: column(&row, 1)?,
        repeat_days: column(&row, 2)?,
        orders: column(&row, 3)?,
        revenue: column(&row, 4)?,
        profit: column(&row, 5)?,
        known: column(&row, 6)?,
    })
}

/// Customers by recency and monetary score.
pub async fn rfm_table(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
) -> Result<Vec<(i64, i64, i64)>, StoreError> {
    let sql = "SELECT recency, monetary, COUNT(*) FROM customer_score \
               WHERE workspace = $1 AND recency > 0 GROUP BY recency, monetary ORDER BY recency, monetary";
    let rows = query(db, "the RFM table", sql, vec![workspace.as_str().into()]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))).collect()
}

/// Every customer's CLV.
pub async fn clv_values(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT profile, clv_minor FROM customer_score \
               WHERE workspace = $1 AND profile > $2 AND clv_minor IS NOT NULL ORDER BY profile LIMIT $3";
    let (mut values, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let bound = vec![workspace.as_str().into(), after.into(), CHUNK.into()];
        let rows = query(db, "CLV of all customers", sql, bound).await?;
        for row in &rows {
            after = column(row, 0)?;
            values.push(column(row, 1)?);
        }
        if (rows.len() as i64) < CHUNK {
            return Ok(values);
        }
    }
}

/// Customers with an order, in the order of their ids, after one of them.
pub async fn profiles_after(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: ProfileId,
    most: i64,
) -> Result<Vec<ProfileId>, StoreError> {
    let sql = "SELECT profile FROM customer_score WHERE workspace = $1 AND profile > $2 AND orders > 0 \
               ORDER BY profile LIMIT $3";
    let values = vec![workspace.as_str().into(), after.0.into(), most.into()];
    let rows = query(db, "customers", sql, values).await?;
    rows.iter().map(|row| Ok(ProfileId(column(row, 0)?))).collect()
}

/// Every customer's last order (microseconds), orders and mean net order value (minor units).
pub async fn rfm_values(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
) -> Result<[Vec<i64>; 3], StoreError> {
    let sql = "SELECT profile, last_order, orders, revenue_minor FROM customer_score \
               WHERE workspace = $1 AND profile > $2 AND orders > 0 ORDER BY profile LIMIT $3";
    let mut values: [Vec<i64>; 3] = Default::default();
    let mut after = Uuid::nil();
    loop {
        let bound = vec![workspace.as_str().into(), after.into(), CHUNK.into()];
        let rows = query(db, "RFM of all customers", sql, bound).await?;
        for row in &rows {
            after = column(row, 0)?;
            let (orders, revenue): (i64, i64) = (column(row, 2)?, column(row, 3)?);
            values[0].push(column(row, 1)?);
            values[1].push(orders);
            values[2].push(revenue.div_euclid(orders.max(1)));
        }
        if (rows.len() as i64) < CHUNK {
            return Ok(values);
        }
    }
}
