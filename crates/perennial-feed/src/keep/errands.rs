//! The SQL of errands: who is still to be visited.

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, StoreError, Table, Value, any_of, column, execute,
    insert_rows, query,
};
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use super::{Key, shelves, workspace};
use crate::PARTITIONS;

const ERRANDS: Table = Table {
    name: "errand",
    columns: &[
        ("workspace", Column::Text),
        ("name", Column::Text),
        ("lane", Column::BigInt),
        ("at", Column::BigInt),
        ("after", Column::Uuid),
    ],
};

/// A visit to every profile of a workspace on one shelf, and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) shelf: i64,
    pub(crate) workspace: Workspace,
    pub(crate) name: String,
    pub(crate) at: Timestamp,
    pub(crate) after: Option<Uuid>,
}

pub(crate) async fn start_errand(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    name: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let row = |shelf: i64| {
        let after = Value::Uuid(None);
        vec![workspace.as_str().into(), name.into(), shelf.into(), micros(at).into(), after]
    };
    let shelves = shelves(Backend::of(tx), 0..PARTITIONS);
    let again = "ON CONFLICT (workspace, name, lane) DO UPDATE SET at = excluded.at, after = NULL";
    insert_rows(tx, &ERRANDS, shelves.into_iter().map(row).collect(), again).await?;
    Ok(())
}

pub(crate) async fn errands(db: &impl ConnectionTrait, shelves: &[i64]) -> Result<Vec<Errand>, StoreError> {
    let mut values = Vec::new();
    let wanted = shelves.iter().map(|it| (*it).into()).collect();
    let condition = any_of(Backend::of(db), "lane", Column::BigInt, wanted, &mut values);
    let sql = format!(
        "SELECT workspace, name, at, after, lane FROM errand WHERE {condition} ORDER BY at, workspace, name, lane"
    );
    let rows = query(db, "errands", &sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok(Errand {
                workspace: workspace(row, 0)?,
                name: column(row, 1)?,
                at: from_micros(column(row, 2)?),
                after: column(row, 3)?,
                shelf: column(row, 4)?,
            })
        })
        .collect()
}

pub(crate) async fn next_visits(
    db: &impl ConnectionTrait,
    errand: &Errand,
    most: usize,
) -> Result<Vec<Key>, StoreError> {
    let sql = "SELECT profile FROM profile_state WHERE workspace = $1 AND profile > $2 AND lane = $3 \
               ORDER BY profile LIMIT $4";
    let after = errand.after.unwrap_or(Uuid::nil());
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = vec![errand.workspace.as_str().into(), after.into(), errand.shelf.into(), most.into()];
    let rows = query(db, "profiles to visit", sql, values).await?;
    rows.iter().map(|row| Ok((errand.workspace.clone(), ProfileId(column::<Uuid>(row, 0)?)))).collect()
}

/// Keeps how far an errand is, or ends it.
pub(crate) async fn advance_errand(
    tx: &DatabaseTransaction,
    errand: &Errand,
    last: Option<ProfileId>,
) -> Result<(), StoreError> {
    let key = vec![errand.workspace.as_str().into(), errand.name.as_str().into(), errand.shelf.into()];
    if let Some(last) = last {
        let sql = "UPDATE errand SET after = $4 WHERE workspace = $1 AND name = $2 AND lane = $3";
        execute(tx, "an errand", sql, key.into_iter().chain([last.0.into()]).collect()).await?;
    } else {
        let sql = "DELETE FROM errand WHERE workspace = $1 AND name = $2 AND lane = $3";
        execute(tx, "an errand", sql, key).await?;
    }
    Ok(())
}
