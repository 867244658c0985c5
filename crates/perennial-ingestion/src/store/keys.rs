//! Keys, as hashes. Write keys and API keys stand in tables of their own, alike but for the scopes.

use perennial_store::{ConnectionTrait, QueryResult, Result, StoreError, column, execute, query, query_one};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use crate::domain::access::{KeyKind, Scope};

/// A key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// Its id.
    pub id: Uuid,
    /// Its first characters.
    pub prefix: String,
    /// What it is for.
    pub display_name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to within ten minutes.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// A key that is good, found by its hash.
pub struct GoodKey {
    /// Its kind.
    pub kind: KeyKind,
    /// Its workspace.
    pub workspace: Workspace,
    /// Its id.
    pub id: Uuid,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was last used, to within ten minutes.
    pub last_used: Option<Timestamp>,
}

/// The table of a kind, and the expression of its scopes.
fn table(kind: KeyKind) -> (&'static str, &'static str) {
    match kind {
        KeyKind::Write => ("write_key", "'ingest'"),
        KeyKind::Api => ("api_key", "scopes"),
    }
}

fn select(kind: KeyKind) -> String {
    let (table, scopes) = table(kind);
    format!("SELECT id, prefix, display_name, {scopes}, created, last_used, revoked FROM {table}")
}

/// Writes a new key.
///
/// # Errors
/// If the database refuses.
pub async fn insert(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    kind: KeyKind,
    key: &KeptKey,
    hash: [u8; 32],
) -> Result<()> {
    let mut values = vec![
        workspace.as_str().into(),
        key.id.into(),
        hash.to_vec().into(),
        key.prefix.as_str().into(),
        key.display_name.as_str().into(),
        micros(key.created).into(),
    ];
    let sql = match kind {
        KeyKind::Write => {
            "INSERT INTO write_key (workspace, id, hash, prefix, display_name, created) \
             VALUES ($1, $2, $3, $4, $5, $6)"
        }
        KeyKind::Api => {
            values.push(Scope::stored(&key.scopes).into());
            "INSERT INTO api_key (workspace, id, hash, prefix, display_name, created, scopes) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        }
    };
    execute(tx, "a new key", sql, values).await?;
    Ok(())
}

/// Reads a page of keys, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    kind: KeyKind,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<KeptKey>> {
    let sql = format!("{} WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3", select(kind));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), after.unwrap_or(Uuid::nil()).into(), limit.into()];
    query(db, "keys", &sql, values).await?.iter().map(key_of).collect()
}

/// Reads one key.
///
/// # Errors
/// If the database refuses.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    kind: KeyKind,
    id: Uuid,
) -> Result<Option<KeptKey>> {
    let sql = format!("{} WHERE workspace = $1 AND id = $2", select(kind));
    let row = query_one(db, "a key", &sql, vec![workspace.as_str().into(), id.into()]).await?;
    row.as_ref().map(key_of).transpose()
}

/// A good key, of either kind, by its hash.
///
/// # Errors
/// If the database refuses.
pub async fn good(db: &impl ConnectionTrait, hash: [u8; 32]) -> Result<Option<GoodKey>> {
    let sql = "SELECT workspace, id, last_used, 'ingest', FALSE FROM write_key WHERE hash = $1 AND revoked IS NULL \
               UNION ALL \
               SELECT workspace, id, last_used, scopes, TRUE FROM api_key WHERE hash = $1 AND revoked IS NULL";
    let Some(row) = query_one(db, "a key", sql, vec![hash.to_vec().into()]).await? else {
        return Ok(None);
    };
    let workspace = Workspace::parse(&column::<String>(&row, 0)?)
        .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
    Ok(Some(GoodKey {
        kind: if column(&row, 4)? { KeyKind::Api } else { KeyKind::Write },
        workspace,
        id: column(&row, 1)?,
        scopes: Scope::list(&column::<String>(&row, 3)?),
        last_used: column::<Option<i64>>(&row, 2)?.map(from_micros),
    }))
}

/// Notes that a key was used.
///
/// # Errors
/// If the database refuses.
pub async fn used(tx: &impl ConnectionTrait, key: &GoodKey, at: Timestamp) -> Result<()> {
    let sql = format!("UPDATE {} SET last_used = $3 WHERE workspace = $1 AND id = $2", table(key.kind).0);
    let values = vec![key.workspace.as_str().into(), key.id.into(), micros(at).into()];
    execute(tx, "the use of a key", &sql, values).await?;
    Ok(())
}

/// Ends a key; one that ended already keeps its time.
///
/// # Errors
/// If the database refuses.
pub async fn revoke(
    tx: &impl ConnectionTrait,
    workspace: &Workspace,
    kind: KeyKind,
    id: Uuid,
    at: Timestamp,
) -> Result<()> {
    let table = table(kind).0;
    let sql = format!("UPDATE {table} SET revoked = $3 WHERE workspace = $1 AND id = $2 AND revoked IS NULL");
    execute(tx, "revoking a key", &sql, vec![workspace.as_str().into(), id.into(), micros(at).into()])
        .await?;
    Ok(())
}

fn key_of(row: &QueryResult) -> Result<KeptKey> {
    Ok(KeptKey {
        id: column(row, 0)?,
        prefix: column(row, 1)?,
        display_name: column(row, 2)?,
        scopes: Scope::list(&column::<String>(row, 3)?),
        created: from_micros(column(row, 4)?),
        last_used: column::<Option<i64>>(row, 5)?.map(from_micros),
        revoked: column::<Option<i64>>(row, 6)?.map(from_micros),
    })
}
