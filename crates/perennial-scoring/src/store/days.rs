//! Purchase days: what a fit at any cutoff reads.

use std::collections::BTreeMap;

use perennial_store::{
    Column, ConnectionTrait, StoreError, Table, Value, column, delete_rows, insert_rows, query,
};
use perennial_types::{ProfileId, Workspace};
use uuid::Uuid;

use crate::domain::customer::PurchaseDay;
use crate::domain::ledger::Ledger;

pub const DAYS: Table = Table {
    name: "purchase_day",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("day", Column::BigInt),
        ("orders", Column::BigInt),
        ("revenue_minor", Column::BigInt),
        ("profit_minor", Column::BigInt),
    ],
};

const KEY: Table = Table {
    name: "purchase_day",
    columns: &[("workspace", Column::Text), ("profile", Column::Uuid), ("day", Column::BigInt)],
};

/// Rows read at once, so that memory does not grow with the table.
const CHUNK: i64 = 50_000;

/// A customer's day.
pub type DayKey = (Workspace, ProfileId, i32);

/// Writes and takes back purchase days.
pub async fn write_days(
    db: &impl ConnectionTrait,
    days: BTreeMap<DayKey, Option<PurchaseDay>>,
) -> Result<(), StoreError> {
    let (mut written, mut gone) = (Vec::new(), Vec::new());
    for ((workspace, profile, day), it) in days {
        let mut row: Vec<Value> = vec![workspace.as_str().into(), profile.0.into(), i64::from(day).into()];
        match it {
            Some(it) => {
                row.extend([i64::from(it.orders).into(), it.revenue.into(), it.profit.into()]);
                written.push(row);
            }
            None => gone.push(row),
        }
    }
    delete_rows(db, &KEY, gone).await?;
    let update = "ON CONFLICT (workspace, profile, day) DO UPDATE SET orders = excluded.orders, \
                  revenue_minor = excluded.revenue_minor, profit_minor = excluded.profit_minor";
    insert_rows(db, &DAYS, written, update).await?;
    Ok(())
}

/// All purchase days until the end of a day, customer by customer, with what was known at their first orders.
pub async fn ledger(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    until: i32,
) -> Result<Ledger, StoreError> {
    let sql = "SELECT profile, day, orders, revenue_minor, profit_minor FROM purchase_day \
               WHERE workspace = $1 AND (profile > $2 OR (profile = $2 AND day > $3)) AND day <= $4 \
               ORDER BY profile, day LIMIT $5";
    let mut ledger = Ledger::default();
    let (mut profile, mut day) = (Uuid::nil(), i64::MIN);
    let mut is_first = true;
    let mut profiles: Vec<Uuid> = Vec::new();
    loop {
        let values = vec![
            workspace.as_str().into(),
            profile.into(),
            day.into(),
            i64::from(until).into(),
            CHUNK.into(),
        ];
        let rows = query(db, "purchase days", sql, values).await?;
        for row in &rows {
            let owner: Uuid = column(row, 0)?;
            let is_next = is_first || owner != profile;
            is_first = false;
            profile = owner;
            day = column(row, 1)?;
            let it = PurchaseDay {
                day: i32::try_from(day).unwrap_or(i32::MAX),
                orders: u32::try_from(column::<i64>(row, 2)?).unwrap_or(u32::MAX),
                revenue: column(row, 3)?,
                profit: column(row, 4)?,
            };
            ledger.push(it, is_next);
            if is_next {
                profiles.push(owner);
            }
        }
        if (rows.len() as i64) < CHUNK {
            super::traits::mark(db, workspace, &profiles, &mut ledger).await?;
            return Ok(ledger);
        }
    }
}
