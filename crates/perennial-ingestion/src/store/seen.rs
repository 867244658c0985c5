//! What came already: two tables of hashes, of which one takes new ones while the other only remembers. Every week they
//! swap and the older one is emptied, so a repetition is known for 7 to 14 days, at the price of a small index.

use perennial_store::{
    Backend, Column, ConnectionTrait, Result, Table, Value, any_of, column, execute, insert_rows, query,
    query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use std::collections::HashSet;
use uuid::Uuid;

/// How long the tables keep their places.
pub const TURN: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

const COLUMNS: &[(&str, Column)] = &[("workspace", Column::Text), ("hash", Column::Uuid)];
const A: Table = Table { name: "seen_a", columns: COLUMNS };
const B: Table = Table { name: "seen_b", columns: COLUMNS };

/// Which table takes new hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// `seen_a`.
    A,
    /// `seen_b`.
    B,
}

/// Says whose turn it is, and keeps it so until the transaction ends.
///
/// # Errors
/// If the database refuses.
pub async fn turn(tx: &impl ConnectionTrait) -> Result<Turn> {
    let lock = if Backend::of(tx) == Backend::Postgres { " FOR SHARE" } else { "" };
    let row =
        query_one(tx, "whose turn it is", &format!("SELECT current FROM seen_turn{lock}"), vec![]).await?;
    Ok(match row.map(|it| column::<i64>(&it, 0)).transpose()? {
        Some(1) => Turn::B,
        _ => Turn::A,
    })
}

/// Makes the row that says whose turn it is, once. Call it in a transaction before any other.
///
/// # Errors
/// If the database refuses.
pub async fn open(tx: &impl ConnectionTrait, now: Timestamp) -> Result<()> {
    if Backend::of(tx) == Backend::Postgres {
        execute(tx, "taking turns to open", "SELECT pg_advisory_xact_lock(7036874417768)", vec![]).await?;
    }
    let sql = "INSERT INTO seen_turn (current, since) SELECT 0, CAST($1 AS BIGINT) \
               WHERE NOT EXISTS (SELECT 1 FROM seen_turn)";
    execute(tx, "the first turn", sql, vec![micros(now).into()]).await?;
    Ok(())
}

/// Which of `hashes` came already.
///
/// # Errors
/// If the database refuses.
pub async fn known(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    hashes: Vec<Uuid>,
) -> Result<HashSet<Uuid>> {
    let mut found = HashSet::new();
    if hashes.is_empty() {
        return Ok(found);
    }
    let mut values = vec![workspace.as_str().into()];
    let wanted = hashes.into_iter().map(Value::from).collect();
    let condition = any_of(Backend::of(tx), "hash", Column::Uuid, wanted, &mut values);
    let select =
        |table: &Table| format!("SELECT hash FROM {} WHERE workspace = $1 AND {condition}", table.name);
    let sql = format!("{} UNION ALL {}", select(&A), select(&B));
    for row in &query(tx, "what came already", &sql, values).await? {
        found.insert(column(row, 0)?);
    }
    Ok(found)
}

/// Remembers hashes; answers how many were new. Fewer than given means that another writer had one in the meantime.
///
/// # Errors
/// If the database refuses.
pub async fn remember(
    tx: &impl ConnectionTrait,
    turn: Turn,
    workspace: &Workspace,
    mut hashes: Vec<Uuid>,
) -> Result<u64> {
    // In one order everywhere, so that two writers wait for each other but never in a circle.
    hashes.sort();
    let rows = hashes.into_iter().map(|it| vec![workspace.as_str().into(), it.into()]).collect();
    let table = if turn == Turn::A { A } else { B };
    insert_rows(tx, &table, rows, "ON CONFLICT (workspace, hash) DO NOTHING").await
}

/// When the tables swap next.
///
/// # Errors
/// If the database refuses.
pub async fn next_swap(db: &impl ConnectionTrait) -> Result<Option<Timestamp>> {
    let row = query_one(db, "the last swap", "SELECT since FROM seen_turn", vec![]).await?;
    let since = row.map(|it| column::<i64>(&it, 0)).transpose()?;
    Ok(since.and_then(|it| from_micros(it).checked_add(TURN).ok()))
}

/// Swaps the tables if it is time, and empties the one that takes over.
///
/// # Errors
/// If the database refuses.
pub async fn swap(tx: &impl ConnectionTrait, now: Timestamp) -> Result<bool> {
    let (lock, empty) = match Backend::of(tx) {
        Backend::Postgres => (" FOR UPDATE", "TRUNCATE"),
        Backend::Sqlite => ("", "DELETE FROM"),
    };
    let sql = format!("SELECT current, since FROM seen_turn{lock}");
    let Some(row) = query_one(tx, "whose turn it is", &sql, vec![]).await? else { return Ok(false) };
    let (current, since): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
    if from_micros(since).checked_add(TURN).is_ok_and(|due| due > now) {
        return Ok(false);
    }
    let next = if current == 0 { B.name } else { A.name };
    execute(tx, "emptying the older hashes", &format!("{empty} {next}"), vec![]).await?;
    let sql = "UPDATE seen_turn SET current = $1, since = $2";
    execute(tx, "swapping", sql, vec![(1 - current).into(), micros(now).into()]).await?;
    Ok(true)
}
