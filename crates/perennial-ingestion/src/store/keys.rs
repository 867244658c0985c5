//! Write keys, as hashes.

use perennial_store::{ConnectionTrait, QueryResult, Result, StoreError, column, execute, query, query_one};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

/// A write key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteKey {
    /// Its id.
    pub id: Uuid,
    /// Its first characters.
    pub prefix: String,
    /// What it is for.
    pub display_name: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to within ten minutes.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

const SELECT: &str = "SELECT id, prefix, display_name, created, last_used, revoked FROM write_key";

/// Writes a new key.
///
/// # Errors
/// If the database refuses.
pub async fn insert(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    key: &WriteKey,
    hash: [u8; 32],
) -> Result<()> {
    let sql = "INSERT INTO write_key (workspace, id, hash, prefix, display_name, created) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values = vec![
        workspace.as_str().into(),
        key.id.into(),
        hash.to_vec().into(),
        key.prefix.as_str().into(),
        key.display_name.as_str().into(),
        micros(key.created).into(),
    ];
    execute(tx, "a new write key", sql, values).await?;
    Ok(())
}

/// Reads a page of keys, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<WriteKey>> {
    let sql = format!("{SELECT} WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), after.unwrap_or(Uuid::nil()).into(), limit.into()];
    query(db, "write keys", &sql, values).await?.iter().map(key_of).collect()
}

/// Reads one key.
///
/// # Errors
/// If the database refuses.
pub async fn find(db: &impl ConnectionTrait, workspace: &Workspace, id: Uuid) -> Result<Option<WriteKey>> {
    let sql = format!("{SELECT} WHERE workspace = $1 AND id = $2");
    let row = query_one(db, "a write key", &sql, vec![workspace.as_str().into(), id.into()]).await?;
    row.as_ref().map(key_of).transpose()
}

/// The workspace of a good key, its id, and when it was last used.
///
/// # Errors
/// If the database refuses.
pub async fn good(
    db: &impl ConnectionTrait,
    hash: [u8; 32],
) -> Result<Option<(Workspace, Uuid, Option<Timestamp>)>> {
    let sql = "SELECT workspace, id, last_used FROM write_key WHERE hash = $1 AND revoked IS NULL";
    let Some(row) = query_one(db, "a write key", sql, vec![hash.to_vec().into()]).await? else {
        return Ok(None);
    };
    let workspace = Workspace::parse(&column::<String>(&row, 0)?)
        .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
    Ok(Some((workspace, column(&row, 1)?, column::<Option<i64>>(&row, 2)?.map(from_micros))))
}

/// Notes that a key was used.
///
/// # Errors
/// If the database refuses.
pub async fn used(tx: &impl ConnectionTrait, workspace: &Workspace, id: Uuid, at: Timestamp) -> Result<()> {
    let sql = "UPDATE write_key SET last_used = $3 WHERE workspace = $1 AND id = $2";
    execute(tx, "the use of a write key", sql, vec![workspace.as_str().into(), id.into(), micros(at).into()])
        .await?;
    Ok(())
}

/// Ends a key; one that ended already keeps its time.
///
/// # Errors
/// If the database refuses.
pub async fn revoke(tx: &impl ConnectionTrait, workspace: &Workspace, id: Uuid, at: Timestamp) -> Result<()> {
    let sql = "UPDATE write_key SET revoked = $3 WHERE workspace = $1 AND id = $2 AND revoked IS NULL";
    execute(tx, "revoking a write key", sql, vec![workspace.as_str().into(), id.into(), micros(at).into()])
        .await?;
    Ok(())
}

fn key_of(row: &QueryResult) -> Result<WriteKey> {
    Ok(WriteKey {
        id: column(row, 0)?,
        prefix: column(row, 1)?,
        display_name: column(row, 2)?,
        created: from_micros(column(row, 3)?),
        last_used: column::<Option<i64>>(row, 4)?.map(from_micros),
        revoked: column::<Option<i64>>(row, 5)?.map(from_micros),
    })
}
