//! What was known of customers at their first orders: what effects are learnt from.

use std::collections::{BTreeMap, HashMap};

use perennial_store::{Column, ConnectionTrait, StoreError, Table, column, delete_rows, insert_rows, query};
use perennial_types::{ProfileId, Workspace};
use uuid::Uuid;

use crate::domain::ledger::Ledger;
use crate::domain::portrait::Traits;

pub const FIRST: Table = Table {
    name: "first_order",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("channel", Column::Text),
        ("category", Column::Text),
        ("country", Column::Text),
        ("coupon", Column::BigInt),
        ("units", Column::BigInt),
        ("value_minor", Column::BigInt),
    ],
};

const KEY: Table =
    Table { name: "first_order", columns: &[("workspace", Column::Text), ("profile", Column::Uuid)] };

/// Rows read at once, so that memory does not grow with the table.
const CHUNK: i64 = 50_000;

/// Writes what was known at first orders, and takes back what is known no more.
pub async fn write_traits(
    db: &impl ConnectionTrait,
    traits: BTreeMap<(Workspace, ProfileId), Option<Traits>>,
) -> Result<(), StoreError> {
    let (mut written, mut gone) = (Vec::new(), Vec::new());
    for ((workspace, profile), it) in traits {
        let mut row = vec![workspace.as_str().into(), profile.0.into()];
        let Some(it) = it else {
            gone.push(row);
            continue;
        };
        row.extend([it.channel.into(), it.category.into(), it.country.into()]);
        row.extend([i64::from(it.coupon).into(), it.units.into(), it.value.into()]);
        written.push(row);
    }
    delete_rows(db, &KEY, gone).await?;
    let update = "ON CONFLICT (workspace, profile) DO UPDATE SET channel = excluded.channel, \
                  category = excluded.category, country = excluded.country, coupon = excluded.coupon, \
                  units = excluded.units, value_minor = excluded.value_minor";
    insert_rows(db, &FIRST, written, update).await?;
    Ok(())
}

/// Notes in a ledger what was known of its customers, whose ids are given in its order.
pub async fn mark(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profiles: &[Uuid],
    ledger: &mut Ledger,
) -> Result<(), StoreError> {
    let positions: HashMap<Uuid, usize> = profiles.iter().enumerate().map(|(i, it)| (*it, i)).collect();
    let sql = "SELECT profile, channel, category, country, coupon, units, value_minor FROM first_order \
               WHERE workspace = $1 AND profile > $2 ORDER BY profile LIMIT $3";
    let mut after = Uuid::nil();
    loop {
        let bound = vec![workspace.as_str().into(), after.into(), CHUNK.into()];
        let rows = query(db, "first orders", sql, bound).await?;
        for row in &rows {
            after = column(row, 0)?;
            let Some(position) = positions.get(&after) else { continue };
            let traits = Traits {
                channel: column(row, 1)?,
                category: column(row, 2)?,
                country: column(row, 3)?,
                coupon: column::<i64>(row, 4)? != 0,
                units: column(row, 5)?,
                value: column(row, 6)?,
            };
            ledger.mark(*position, &traits);
        }
        if (rows.len() as i64) < CHUNK {
            return Ok(());
        }
    }
}
