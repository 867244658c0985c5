//! Profiles and what recognises them.

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, QueryResult, Result, StoreError, Table, Value,
    any_of, column, execute, insert_rows, query,
};
use perennial_types::{Identifier, IdentifierKind, ProfileId, Timestamp, Workspace, from_micros, micros};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

use crate::domain::graph::Apart;
use crate::domain::person::Person;

const PROFILES: Table = Table {
    name: "profile",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("created", Column::BigInt),
        ("last_seen", Column::BigInt),
        ("merged_into", Column::Uuid),
        ("merges", Column::BigInt),
        ("draw_key", Column::Text),
        ("identifiers", Column::Text),
        ("person", Column::Text),
        ("apart", Column::Text),
    ],
};

const IDENTIFIERS: Table = Table {
    name: "identifier",
    columns: &[("workspace", Column::Text), ("identifier", Column::Text), ("profile", Column::Uuid)],
};

const SELECT: &str =
    "SELECT id, created, last_seen, merged_into, merges, draw_key, identifiers, person, apart FROM profile";

/// A profile as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// When it was first seen.
    pub created: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// The profile it became.
    pub merged_into: Option<ProfileId>,
    /// How many profiles became it.
    pub merges: u32,
    /// The unit of its draws.
    pub draw_key: String,
    /// What recognises it.
    pub identifiers: BTreeSet<Identifier>,
    /// What is known of it.
    pub person: Person,
    /// Whom it must not become one with.
    pub apart: Apart,
}

/// Reads profiles, in the order of their ids. `locked` keeps them from other writers until the transaction ends.
///
/// # Errors
/// If the database refuses.
pub async fn load(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: Vec<ProfileId>,
    locked: bool,
) -> Result<Vec<Profile>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = vec![workspace.as_str().into()];
    let wanted = ids.into_iter().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "id", Column::Uuid, wanted, &mut values);
    // SQLite has one writer, and it is this one.
    let lock = if locked && Backend::of(db) == Backend::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("{SELECT} WHERE workspace = $1 AND {condition} ORDER BY id {lock}");
    query(db, "profiles", &sql, values).await?.iter().map(profile_of).collect()
}

/// Reads a page of profiles that were not merged into others, oldest first.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Profile>> {
    let sql =
        format!("{SELECT} WHERE workspace = $1 AND id > $2 AND merged_into IS NULL ORDER BY id LIMIT $3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), after.unwrap_or(Uuid::nil()).into(), limit.into()];
    query(db, "profiles", &sql, values).await?.iter().map(profile_of).collect()
}

/// The ids of all profiles that became `id`, directly or by way of others.
///
/// # Errors
/// If the database refuses.
pub async fn merged(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: Vec<ProfileId>,
) -> Result<Vec<(ProfileId, ProfileId)>> {
    let mut found: Vec<(ProfileId, ProfileId)> = Vec::new();
    let mut wanted = ids;
    // One round for each generation of merges; a profile takes part in at most 100.
    while !wanted.is_empty() {
        let mut values = vec![workspace.as_str().into()];
        let parents = wanted.iter().map(|it| it.0.into()).collect();
        let condition = any_of(Backend::of(db), "merged_into", Column::Uuid, parents, &mut values);
        let sql =
            format!("SELECT id, merged_into FROM profile WHERE workspace = $1 AND {condition} ORDER BY id");
        let rows = query(db, "merged profiles", &sql, values).await?;
        wanted.clear();
        for row in &rows {
            let pair = (ProfileId(column(row, 0)?), ProfileId(column(row, 1)?));
            wanted.push(pair.0);
            found.push(pair);
        }
    }
    Ok(found)
}

/// The profiles that identifiers belong to.
///
/// # Errors
/// If the database refuses.
pub async fn owners(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    identifiers: impl IntoIterator<Item = &Identifier>,
) -> Result<HashMap<Identifier, ProfileId>> {
    let wanted: BTreeSet<String> = identifiers.into_iter().map(key).collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let mut values = vec![workspace.as_str().into()];
    let wanted = wanted.into_iter().map(Value::from).collect();
    let condition = any_of(Backend::of(db), "identifier", Column::Text, wanted, &mut values);
    let sql = format!("SELECT identifier, profile FROM identifier WHERE workspace = $1 AND {condition}");
    let rows = query(db, "identifiers", &sql, values).await?;
    rows.iter().map(|row| Ok((parse(&column::<String>(row, 0)?)?, ProfileId(column(row, 1)?)))).collect()
}

/// Gives profiles new identifiers; answers how many were indeed new.
///
/// # Errors
/// If the database refuses.
pub async fn add_identifiers(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    mut added: Vec<(Identifier, ProfileId)>,
) -> Result<u64> {
    // In one order everywhere, so that two writers wait for each other but never in a circle.
    added.sort();
    insert_rows(db, &IDENTIFIERS, rows(workspace, &added), "ON CONFLICT (workspace, identifier) DO NOTHING")
        .await
}

/// Moves identifiers to other profiles.
///
/// # Errors
/// If the database refuses.
pub async fn move_identifiers(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    mut moved: Vec<(Identifier, ProfileId)>,
) -> Result<()> {
    moved.sort();
    let update = "ON CONFLICT (workspace, identifier) DO UPDATE SET profile = excluded.profile";
    insert_rows(db, &IDENTIFIERS, rows(workspace, &moved), update).await?;
    Ok(())
}

/// Takes identifiers away from a profile: nobody is known by them any more.
///
/// # Errors
/// If the database refuses.
pub async fn forget_identifiers(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    profile: ProfileId,
    identifiers: impl IntoIterator<Item = &Identifier>,
) -> Result<u64> {
    let mut values = vec![workspace.as_str().into(), profile.0.into()];
    let keys = identifiers.into_iter().map(|it| key(it).into()).collect();
    let condition = any_of(Backend::of(tx), "identifier", Column::Text, keys, &mut values);
    let sql = format!("DELETE FROM identifier WHERE workspace = $1 AND profile = $2 AND {condition}");
    execute(tx, "identifiers", &sql, values).await
}

/// Takes a profile out.
///
/// # Errors
/// If the database refuses.
pub async fn remove(tx: &DatabaseTransaction, workspace: &Workspace, profile: ProfileId) -> Result<u64> {
    let sql = "DELETE FROM profile WHERE workspace = $1 AND id = $2";
    execute(tx, "a profile", sql, vec![workspace.as_str().into(), profile.0.into()]).await
}

fn rows(workspace: &Workspace, pairs: &[(Identifier, ProfileId)]) -> Vec<Vec<Value>> {
    pairs
        .iter()
        .map(|(id, profile)| vec![workspace.as_str().into(), key(id).into(), profile.0.into()])
        .collect()
}

/// Writes profiles, new or changed.
///
/// # Errors
/// If the database refuses, or a profile cannot be written as JSON.
pub async fn save(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profiles: impl IntoIterator<Item = &Profile>,
) -> Result<()> {
    let corrupt =
        |error: serde_json::Error| StoreError::Corrupt { what: "profile", reason: error.to_string() };
    let mut rows = Vec::new();
    for it in profiles {
        let identifiers: Vec<String> = it.identifiers.iter().map(key).collect();
        rows.push(vec![
            workspace.as_str().into(),
            it.id.0.into(),
            micros(it.created).into(),
            micros(it.last_seen).into(),
            it.merged_into.map(|it| it.0).into(),
            i64::from(it.merges).into(),
            it.draw_key.as_str().into(),
            serde_json::to_string(&identifiers).map_err(corrupt)?.into(),
            serde_json::to_string(&it.person).map_err(corrupt)?.into(),
            serde_json::to_string(&it.apart).map_err(corrupt)?.into(),
        ]);
    }
    let update = "ON CONFLICT (workspace, id) DO UPDATE SET created = excluded.created, \
                  last_seen = excluded.last_seen, merged_into = excluded.merged_into, merges = excluded.merges, \
                  identifiers = excluded.identifiers, person = excluded.person, apart = excluded.apart";
    insert_rows(db, &PROFILES, rows, update).await?;
    Ok(())
}

fn key(identifier: &Identifier) -> String {
    format!("{}:{}", identifier.kind.as_str(), identifier.value)
}

fn parse(key: &str) -> Result<Identifier> {
    let parts = key.split_once(':').and_then(|(kind, value)| Some((IdentifierKind::parse(kind)?, value)));
    let (kind, value) = parts.ok_or_else(|| StoreError::Corrupt {
        what: "identifier",
        reason: "its kind is not known".to_owned(),
    })?;
    Ok(Identifier { kind, value: value.to_owned() })
}

/// Identifiers as a profile's row keeps them.
pub(super) fn identifiers(json: &str) -> Result<BTreeSet<Identifier>> {
    let corrupt =
        |error: serde_json::Error| StoreError::Corrupt { what: "profile", reason: error.to_string() };
    let keys: Vec<String> = serde_json::from_str(json).map_err(corrupt)?;
    keys.iter().map(|it| parse(it)).collect()
}

fn profile_of(row: &QueryResult) -> Result<Profile> {
    let corrupt =
        |error: serde_json::Error| StoreError::Corrupt { what: "profile", reason: error.to_string() };
    Ok(Profile {
        id: ProfileId(column(row, 0)?),
        created: from_micros(column(row, 1)?),
        last_seen: from_micros(column(row, 2)?),
        merged_into: column::<Option<Uuid>>(row, 3)?.map(ProfileId),
        merges: u32::try_from(column::<i64>(row, 4)?).unwrap_or_default(),
        draw_key: column(row, 5)?,
        identifiers: identifiers(&column::<String>(row, 6)?)?,
        person: serde_json::from_str(&column::<String>(row, 7)?).map_err(corrupt)?,
        apart: serde_json::from_str(&column::<String>(row, 8)?).map_err(corrupt)?,
    })
}
