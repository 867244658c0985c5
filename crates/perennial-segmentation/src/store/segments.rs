//! Segment definitions and the rulebook that counts their revisions.

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, Result, Table, Value, column, execute, insert_rows, query,
    query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A segment as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its bare name.
    pub name: String,
    /// Its number in states.
    pub number: u32,
    /// What it is for.
    pub description: String,
    /// The rule's text.
    pub rule: String,
    /// Accepts names of events never seen.
    pub allow_unknown_events: bool,
    /// The version of the rule.
    pub version: u64,
    /// The workspace's revision since which that version is in force.
    pub revision: u64,
    /// Counts all changes.
    pub etag: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// How far the rules of a workspace are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    /// Changes with every edit of a rule.
    pub revision: u64,
    /// States before this revision have to be recomputed from facts.
    pub refold_floor: u64,
    /// Every state is complete for this revision.
    pub complete: u64,
    /// The number of the next segment.
    pub next_number: u32,
    /// The last profile that was recomputed, while recomputing.
    pub refold_after: Option<Uuid>,
}

const COLUMNS: &str =
    "name, number, description, rule, allow_unknown_events, version, revision, etag, created_at, updated_at";

fn unsigned(row: &QueryResult, index: usize) -> Result<u64> {
    Ok(column::<i64>(row, index)?.max(0).unsigned_abs())
}

fn signed(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

fn number(row: &QueryResult, index: usize) -> Result<u32> {
    Ok(u32::try_from(column::<i64>(row, index)?).unwrap_or(u32::MAX))
}

fn definition(row: &QueryResult) -> Result<Definition> {
    Ok(Definition {
        name: column(row, 0)?,
        number: number(row, 1)?,
        description: column(row, 2)?,
        rule: column(row, 3)?,
        allow_unknown_events: column(row, 4)?,
        version: unsigned(row, 5)?,
        revision: unsigned(row, 6)?,
        etag: unsigned(row, 7)?,
        created_at: from_micros(column(row, 8)?),
        updated_at: from_micros(column(row, 9)?),
    })
}

/// All segments of a workspace, by name.
pub async fn all(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Vec<Definition>> {
    let sql = format!("SELECT {COLUMNS} FROM segment WHERE workspace = $1 ORDER BY name");
    let rows = query(db, "segments", &sql, vec![workspace.as_str().into()]).await?;
    rows.iter().map(definition).collect()
}

/// One segment.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    name: &str,
) -> Result<Option<Definition>> {
    let sql = format!("SELECT {COLUMNS} FROM segment WHERE workspace = $1 AND name = $2");
    let row = query_one(db, "a segment", &sql, vec![workspace.as_str().into(), name.into()]).await?;
    row.as_ref().map(definition).transpose()
}

/// Segments after a name, by name.
pub async fn page(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: &str,
    limit: u64,
) -> Result<Vec<Definition>> {
    let sql =
        format!("SELECT {COLUMNS} FROM segment WHERE workspace = $1 AND name > $2 ORDER BY name LIMIT $3");
    let values = vec![workspace.as_str().into(), after.into(), signed(limit)];
    let rows = query(db, "segments", &sql, values).await?;
    rows.iter().map(definition).collect()
}

/// Writes a segment, new or changed.
pub async fn save(db: &impl ConnectionTrait, workspace: &Workspace, it: &Definition) -> Result<()> {
    let sql = format!(
        "INSERT INTO segment (workspace, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (workspace, name) DO UPDATE SET description = excluded.description, rule = excluded.rule,
         allow_unknown_events = excluded.allow_unknown_events, version = excluded.version,
         revision = excluded.revision, etag = excluded.etag, updated_at = excluded.updated_at"
    );
    let values = vec![
        workspace.as_str().into(),
        it.name.as_str().into(),
        i64::from(it.number).into(),
        it.description.as_str().into(),
        it.rule.as_str().into(),
        it.allow_unknown_events.into(),
        signed(it.version),
        signed(it.revision),
        signed(it.etag),
        micros(it.created_at).into(),
        micros(it.updated_at).into(),
    ];
    execute(db, "a segment", &sql, values).await?;
    let sql =
        "INSERT INTO segment_version (workspace, number, version, rule, since) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (workspace, number, version) DO NOTHING";
    let values = vec![
        workspace.as_str().into(),
        i64::from(it.number).into(),
        signed(it.version),
        it.rule.as_str().into(),
        micros(it.updated_at).into(),
    ];
    execute(db, "a segment's version", sql, values).await?;
    Ok(())
}

/// Deletes a segment and its members.
pub async fn delete(db: &impl ConnectionTrait, workspace: &Workspace, it: &Definition) -> Result<()> {
    let sql = "DELETE FROM segment WHERE workspace = $1 AND name = $2";
    execute(db, "a segment", sql, vec![workspace.as_str().into(), it.name.as_str().into()]).await?;
    for sql in [
        "DELETE FROM membership WHERE workspace = $1 AND number = $2",
        "DELETE FROM membership_change WHERE workspace = $1 AND number = $2",
        "DELETE FROM segment_version WHERE workspace = $1 AND number = $2",
    ] {
        execute(db, "a segment's members", sql, vec![workspace.as_str().into(), i64::from(it.number).into()])
            .await?;
    }
    Ok(())
}

fn rulebook_of(row: &QueryResult, from: usize) -> Result<Rulebook> {
    Ok(Rulebook {
        revision: unsigned(row, from)?,
        refold_floor: unsigned(row, from + 1)?,
        complete: unsigned(row, from + 2)?,
        next_number: number(row, from + 3)?,
        refold_after: column(row, from + 4)?,
    })
}

/// The rulebook of a workspace; on PostgreSQL locked until the transaction ends.
pub async fn lock_rulebook(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Rulebook> {
    let sql = "INSERT INTO rulebook (workspace, revision, refold_floor, complete, next_number) VALUES ($1, 1, 0, 1, 1)
               ON CONFLICT (workspace) DO NOTHING";
    execute(db, "the rulebook", sql, vec![workspace.as_str().into()]).await?;
    let lock = if Backend::of(db) == Backend::Postgres { " FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT revision, refold_floor, complete, next_number, refold_after FROM rulebook WHERE workspace = $1{lock}"
    );
    let row = query_one(db, "the rulebook", &sql, vec![workspace.as_str().into()]).await?;
    row.as_ref().map(|it| rulebook_of(it, 0)).transpose().map(Option::unwrap_or_default)
}

/// The rulebook of a workspace; the first one if nothing was ever defined in it.
pub async fn rulebook(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Rulebook> {
    let sql = "SELECT revision, refold_floor, complete, next_number, refold_after FROM rulebook WHERE workspace = $1";
    let row = query_one(db, "the rulebook", sql, vec![workspace.as_str().into()]).await?;
    let first = Rulebook { revision: 1, complete: 1, next_number: 1, ..Rulebook::default() };
    row.as_ref().map(|it| rulebook_of(it, 0)).transpose().map(|it| it.unwrap_or(first))
}

/// The rulebooks of all workspaces that have one.
pub async fn rulebooks(db: &impl ConnectionTrait) -> Result<Vec<(String, Rulebook)>> {
    let sql = "SELECT workspace, revision, refold_floor, complete, next_number, refold_after FROM rulebook ORDER BY workspace";
    let rows = query(db, "rulebooks", sql, vec![]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, rulebook_of(row, 1)?))).collect()
}

/// Writes a rulebook back.
pub async fn save_rulebook(db: &impl ConnectionTrait, workspace: &Workspace, it: &Rulebook) -> Result<()> {
    let sql = "UPDATE rulebook SET revision = $2, refold_floor = $3, complete = $4, next_number = $5, refold_after = $6
               WHERE workspace = $1";
    let values = vec![
        workspace.as_str().into(),
        signed(it.revision),
        signed(it.refold_floor),
        signed(it.complete),
        i64::from(it.next_number).into(),
        it.refold_after.into(),
    ];
    execute(db, "the rulebook", sql, values).await?;
    Ok(())
}

/// Names of events that were seen.
pub async fn event_names(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Vec<String>> {
    let sql = "SELECT name FROM event_name WHERE workspace = $1 ORDER BY name";
    let rows = query(db, "event names", sql, vec![workspace.as_str().into()]).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// Remembers names of events.
pub async fn save_event_names(db: &impl ConnectionTrait, names: Vec<(Workspace, String)>) -> Result<()> {
    const TABLE: Table =
        Table { name: "event_name", columns: &[("workspace", Column::Text), ("name", Column::Text)] };
    let rows =
        names.into_iter().map(|(workspace, name)| vec![workspace.as_str().into(), name.into()]).collect();
    insert_rows(db, &TABLE, rows, "ON CONFLICT (workspace, name) DO NOTHING").await?;
    Ok(())
}
