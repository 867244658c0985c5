//! The SQL of the outbox: what is still to be sent.

use perennial_store::{
    Column, ConnectionTrait, DatabaseTransaction, StoreError, Table, column, delete_rows, insert_rows, query,
};
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use super::workspace;
use crate::fold::Command;

const OUTBOX: Table = Table {
    name: "outbox",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("target", Column::Text),
        ("not_before", Column::BigInt),
        ("payload", Column::Bytes),
        ("profile", Column::Uuid),
    ],
};

/// Leaves commands in the outbox; one that is there already stays as it is.
pub(crate) async fn save_commands(
    tx: &DatabaseTransaction,
    commands: Vec<Command>,
) -> Result<(), StoreError> {
    let rows = commands.into_iter().map(|it| {
        vec![
            it.workspace.as_str().into(),
            it.id.into(),
            it.target.into(),
            micros(it.not_before).into(),
            it.payload.into(),
            it.profile.map(|it| it.0).into(),
        ]
    });
    insert_rows(tx, &OUTBOX, rows.collect(), "ON CONFLICT (workspace, id) DO NOTHING").await?;
    Ok(())
}

pub(crate) async fn commands(
    db: &impl ConnectionTrait,
    target: &'static str,
    through: Timestamp,
    most: usize,
) -> Result<Vec<Command>, StoreError> {
    let sql = "SELECT workspace, id, not_before, payload, profile FROM outbox WHERE target = $1 AND not_before <= $2 \
               ORDER BY not_before, id LIMIT $3";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = query(db, "commands", sql, vec![target.into(), micros(through).into(), most.into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(Command {
                workspace: workspace(row, 0)?,
                id: column(row, 1)?,
                target,
                not_before: from_micros(column(row, 2)?),
                payload: column(row, 3)?,
                profile: column::<Option<Uuid>>(row, 4)?.map(ProfileId),
            })
        })
        .collect()
}

pub(crate) async fn next_command(
    db: &impl ConnectionTrait,
    target: &'static str,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT not_before FROM outbox WHERE target = $1 ORDER BY not_before LIMIT 1";
    let rows = query(db, "the next command", sql, vec![target.into()]).await?;
    rows.first().map(|row| Ok(from_micros(column(row, 0)?))).transpose()
}

pub(crate) async fn remove_commands(
    tx: &DatabaseTransaction,
    done: &[(Workspace, Uuid)],
) -> Result<(), StoreError> {
    let table = Table { name: "outbox", columns: &OUTBOX.columns[..2] };
    let keys = done.iter().map(|(workspace, id)| vec![workspace.as_str().into(), (*id).into()]);
    delete_rows(tx, &table, keys.collect()).await?;
    Ok(())
}
