//! Workspaces that have orders: their currency, and when their next fit is due.

use perennial_store::{
    Column, ConnectionTrait, StoreError, Table, column, execute, insert_rows, query, query_one,
};
use perennial_types::{Currency, Timestamp, Workspace, from_micros, micros};

const WORKSPACES: Table = Table {
    name: "workspace",
    columns: &[("workspace", Column::Text), ("currency", Column::Text), ("next_fit", Column::BigInt)],
};

/// Notes workspaces that have orders; those that are known stay as they are.
pub async fn write_currencies(
    db: &impl ConnectionTrait,
    currencies: impl IntoIterator<Item = (Workspace, Currency)>,
) -> Result<(), StoreError> {
    let row = |(workspace, currency): (Workspace, Currency)| {
        vec![workspace.as_str().into(), currency.code().into(), i64::MIN.into()]
    };
    let rows = currencies.into_iter().map(row).collect();
    insert_rows(db, &WORKSPACES, rows, "ON CONFLICT (workspace) DO NOTHING").await?;
    Ok(())
}

/// The workspace's currency; none without an order.
pub async fn currency(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
) -> Result<Option<Currency>, StoreError> {
    let sql = "SELECT currency FROM workspace WHERE workspace = $1";
    let row = query_one(db, "the workspace's currency", sql, vec![workspace.as_str().into()]).await?;
    row.map(|row| {
        let code: String = column(&row, 0)?;
        Currency::parse(&code)
            .map_err(|error| StoreError::Corrupt { what: "currency", reason: error.to_string() })
    })
    .transpose()
}

/// Workspaces whose next fit is due, by name.
pub async fn due(db: &impl ConnectionTrait, at: Timestamp) -> Result<Vec<Workspace>, StoreError> {
    let sql = "SELECT workspace FROM workspace WHERE next_fit <= $1 ORDER BY workspace";
    let rows = query(db, "fits that are due", sql, vec![micros(at).into()]).await?;
    rows.iter()
        .map(|row| {
            let name: String = column(row, 0)?;
            Workspace::parse(&name)
                .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })
        })
        .collect()
}

/// Workspaces whose next fit is not due yet, by name, each with when it will be.
pub async fn waiting(
    db: &impl ConnectionTrait,
    at: Timestamp,
) -> Result<Vec<(Workspace, Timestamp)>, StoreError> {
    let sql = "SELECT workspace, next_fit FROM workspace WHERE next_fit > $1 ORDER BY workspace";
    let rows = query(db, "fits that are not due", sql, vec![micros(at).into()]).await?;
    rows.iter()
        .map(|row| {
            let name: String = column(row, 0)?;
            let workspace = Workspace::parse(&name)
                .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
            Ok((workspace, from_micros(column(row, 1)?)))
        })
        .collect()
}

/// Claims a fit before it is due. False if another process claimed it.
pub async fn advance(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    due: Timestamp,
    next: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE workspace SET next_fit = $1 WHERE workspace = $2 AND next_fit = $3";
    let values = vec![micros(next).into(), workspace.as_str().into(), micros(due).into()];
    Ok(execute(db, "claiming a fit", sql, values).await? == 1)
}

/// Claims a due fit by setting the next one. False if another process claimed it.
pub async fn postpone(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    due: Timestamp,
    next: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE workspace SET next_fit = $1 WHERE workspace = $2 AND next_fit <= $3";
    let values = vec![micros(next).into(), workspace.as_str().into(), micros(due).into()];
    Ok(execute(db, "claiming a fit", sql, values).await? == 1)
}
