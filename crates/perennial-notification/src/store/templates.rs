//! Templates and their definitions.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, Result, any_of, column, execute, query, query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

/// A template as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTemplate {
    /// Its bare name.
    pub name: String,
    /// The definition as it was applied.
    pub definition: String,
    /// From 1.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the definition last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "name, definition, version, created_at, updated_at";

fn read(row: &QueryResult) -> Result<StoredTemplate> {
    Ok(StoredTemplate {
        name: column(row, 0)?,
        definition: column(row, 1)?,
        version: column(row, 2)?,
        created_at: from_micros(column(row, 3)?),
        updated_at: from_micros(column(row, 4)?),
    })
}

/// The template of this name.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    name: &str,
) -> Result<Option<StoredTemplate>> {
    let sql = format!("SELECT {COLUMNS} FROM template WHERE workspace = $1 AND name = $2");
    let row = query_one(db, "a template", &sql, vec![workspace.as_str().into(), name.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// The versions of these templates, by name.
pub async fn versions(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, i64>> {
    let mut values = vec![workspace.as_str().into()];
    let wanted = names.iter().map(|it| (*it).into()).collect();
    let condition = any_of(Backend::of(db), "name", Column::Text, wanted, &mut values);
    let sql = format!("SELECT name, version FROM template WHERE workspace = $1 AND {condition}");
    let rows = query(db, "templates", &sql, values).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// Templates after this name, in order of name.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: &str,
    limit: u64,
) -> Result<Vec<StoredTemplate>> {
    let sql =
        format!("SELECT {COLUMNS} FROM template WHERE workspace = $1 AND name > $2 ORDER BY name LIMIT $3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        query(db, "templates", &sql, vec![workspace.as_str().into(), after.into(), limit.into()]).await?;
    rows.iter().map(read).collect()
}

/// Keeps a template under its name.
pub async fn save(db: &impl ConnectionTrait, workspace: &Workspace, it: &StoredTemplate) -> Result<()> {
    let sql = "INSERT INTO template (workspace, name, definition, version, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workspace, name) DO UPDATE SET \
               definition = excluded.definition, version = excluded.version, updated_at = excluded.updated_at";
    let values = vec![
        workspace.as_str().into(),
        it.name.as_str().into(),
        it.definition.as_str().into(),
        it.version.into(),
        micros(it.created_at).into(),
        micros(it.updated_at).into(),
    ];
    execute(db, "a template", sql, values).await.map(|_| ())
}
