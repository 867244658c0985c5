//! Erasures: whose, how far, and who has answered. They hold nothing of a person but the ids of the profiles that were
//! theirs, and their addresses until the suppression list has taken their hashes.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, QueryResult, Result, StoreError, Table, Value,
    any_of, column, execute, insert_rows, query, query_one,
};
use perennial_types::{Channel, ProfileId, Timestamp, Workspace, from_micros, micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const PROFILES: Table = Table {
    name: "erasure_profile",
    columns: &[
        ("workspace", Column::Text),
        ("erasure", Column::Uuid),
        ("profile", Column::Uuid),
        ("pending", Column::Bool),
    ],
};

/// One erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// The profile that was asked for, or what it had become.
    pub profile: ProfileId,
    /// When it began.
    pub created: Timestamp,
    /// When the last receipt came.
    pub done: Option<Timestamp>,
    /// How many profiles were the person's.
    pub profiles: i64,
}

/// What was done to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// The table.
    #[serde(rename = "t")]
    pub name: String,
    /// Rows that are gone.
    #[serde(rename = "e", default)]
    pub erased: i64,
    /// Rows that stay without anything that leads to the person.
    #[serde(rename = "u", default)]
    pub unlinked: i64,
    /// What stays, and why.
    #[serde(rename = "k", default)]
    pub kept: String,
}

/// One service's receipt for one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The service.
    pub service: String,
    /// The profile.
    pub profile: ProfileId,
    /// What was done.
    pub stores: Vec<Store>,
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what: "erasure", reason: error.to_string() }
}

/// Writes a new erasure of these profiles; all but `profile` are still to be taken out.
///
/// # Errors
/// If the database refuses.
pub async fn begin(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    (id, now): (Uuid, Timestamp),
    profile: ProfileId,
    others: &[ProfileId],
    addresses: &BTreeSet<(Channel, String)>,
) -> Result<()> {
    let words: Vec<(&str, &str)> =
        addresses.iter().map(|(channel, address)| (channel.as_str(), address.as_str())).collect();
    let addresses =
        if words.is_empty() { String::new() } else { serde_json::to_string(&words).map_err(corrupt)? };
    let sql = "INSERT INTO erasure (workspace, id, profile, created, addresses) VALUES ($1, $2, $3, $4, $5)";
    let values =
        vec![workspace.as_str().into(), id.into(), profile.0.into(), micros(now).into(), addresses.into()];
    execute(tx, "an erasure", sql, values).await?;
    let row = |it: &ProfileId, pending: bool| {
        vec![workspace.as_str().into(), id.into(), it.0.into(), pending.into()]
    };
    let rows = others.iter().map(|it| row(it, true)).chain([row(&profile, false)]).collect();
    insert_rows(tx, &PROFILES, rows, "").await?;
    Ok(())
}

/// A profile of an erasure is taken out.
///
/// # Errors
/// If the database refuses.
pub async fn taken_out(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    id: Uuid,
    profile: ProfileId,
) -> Result<()> {
    let sql =
        "UPDATE erasure_profile SET pending = FALSE WHERE workspace = $1 AND erasure = $2 AND profile = $3";
    let values = vec![workspace.as_str().into(), id.into(), profile.0.into()];
    execute(tx, "an erased profile", sql, values).await.map(drop)
}

/// Profiles of an erasure that are still to be taken out.
///
/// # Errors
/// If the database refuses.
pub async fn pending(db: &impl ConnectionTrait, workspace: &Workspace, id: Uuid) -> Result<Vec<ProfileId>> {
    let sql = "SELECT profile FROM erasure_profile WHERE workspace = $1 AND erasure = $2 AND pending ORDER BY profile";
    let rows = query(db, "profiles to erase", sql, vec![workspace.as_str().into(), id.into()]).await?;
    rows.iter().map(|row| Ok(ProfileId(column(row, 0)?))).collect()
}

/// Erasures that have profiles still to be taken out, everywhere.
///
/// # Errors
/// If the database refuses.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<(Workspace, Uuid)>> {
    let sql = "SELECT e.workspace, e.id FROM erasure e WHERE e.done IS NULL AND EXISTS (SELECT 1 FROM erasure_profile p \
               WHERE p.workspace = e.workspace AND p.erasure = e.id AND p.pending) ORDER BY e.created, e.id";
    let rows = query(db, "erasures under way", sql, vec![]).await?;
    rows.iter()
        .map(|row| {
            let workspace = Workspace::parse(&column::<String>(row, 0)?).map_err(corrupt)?;
            Ok((workspace, column(row, 1)?))
        })
        .collect()
}

/// The latest erasure of each of some profiles; those that never were erased are not in it.
///
/// # Errors
/// If the database refuses.
pub async fn of_profiles(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profiles: impl IntoIterator<Item = ProfileId>,
) -> Result<BTreeMap<ProfileId, Uuid>> {
    let mut values = vec![workspace.as_str().into()];
    let wanted = profiles.into_iter().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "profile", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "SELECT profile, erasure FROM erasure_profile WHERE workspace = $1 AND {condition} ORDER BY erasure"
    );
    let rows = query(db, "erased profiles", &sql, values).await?;
    rows.iter().map(|row| Ok((ProfileId(column(row, 0)?), column(row, 1)?))).collect()
}

const SELECT: &str = "SELECT id, profile, created, done, (SELECT COUNT(*) FROM erasure_profile p \
                      WHERE p.workspace = erasure.workspace AND p.erasure = erasure.id) FROM erasure";

fn erasure_of(row: &QueryResult) -> Result<Erasure> {
    Ok(Erasure {
        id: column(row, 0)?,
        profile: ProfileId(column(row, 1)?),
        created: from_micros(column(row, 2)?),
        done: column::<Option<i64>>(row, 3)?.map(from_micros),
        profiles: column(row, 4)?,
    })
}

/// Reads an erasure.
///
/// # Errors
/// If the database refuses.
pub async fn find(db: &impl ConnectionTrait, workspace: &Workspace, id: Uuid) -> Result<Option<Erasure>> {
    let sql = format!("{SELECT} WHERE workspace = $1 AND id = $2");
    let row = query_one(db, "an erasure", &sql, vec![workspace.as_str().into(), id.into()]).await?;
    row.as_ref().map(erasure_of).transpose()
}

/// Reads a page of erasures, newest first.
///
/// # Errors
/// If the database refuses.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    before: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Erasure>> {
    let (created, id) = before.unwrap_or((i64::MAX, Uuid::max()));
    let sql = format!(
        "{SELECT} WHERE workspace = $1 AND (created, id) < ($2, $3) ORDER BY created DESC, id DESC LIMIT $4"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values: Vec<Value> = vec![workspace.as_str().into(), created.into(), id.into(), limit.into()];
    query(db, "erasures", &sql, values).await?.iter().map(erasure_of).collect()
}

/// Keeps a receipt, unless there is one.
///
/// # Errors
/// If the database refuses.
pub async fn receive(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    id: Uuid,
    receipt: &Receipt,
    now: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO erasure_receipt (workspace, erasure, service, profile, stores, at) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let values = vec![
        workspace.as_str().into(),
        id.into(),
        receipt.service.as_str().into(),
        receipt.profile.0.into(),
        serde_json::to_string(&receipt.stores).map_err(corrupt)?.into(),
        micros(now).into(),
    ];
    execute(tx, "a receipt", sql, values).await.map(drop)
}

/// All receipts of an erasure, in the order in which services were first heard of.
///
/// # Errors
/// If the database refuses.
pub async fn receipts(db: &impl ConnectionTrait, workspace: &Workspace, id: Uuid) -> Result<Vec<Receipt>> {
    let sql = "SELECT service, profile, stores FROM erasure_receipt WHERE workspace = $1 AND erasure = $2 \
               ORDER BY service, profile";
    let rows = query(db, "receipts", sql, vec![workspace.as_str().into(), id.into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(Receipt {
                service: column(row, 0)?,
                profile: ProfileId(column(row, 1)?),
                stores: serde_json::from_str(&column::<String>(row, 2)?).map_err(corrupt)?,
            })
        })
        .collect()
}

/// The addresses of a person being erased; none once they are gone.
///
/// # Errors
/// If the database refuses.
pub async fn addresses(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    id: Uuid,
) -> Result<Vec<(String, String)>> {
    let sql = "SELECT addresses FROM erasure WHERE workspace = $1 AND id = $2";
    let row = query_one(db, "addresses", sql, vec![workspace.as_str().into(), id.into()]).await?;
    let text: String = row.map(|row| column(&row, 0)).transpose()?.unwrap_or_default();
    if text.is_empty() { Ok(Vec::new()) } else { serde_json::from_str(&text).map_err(corrupt) }
}

/// Forgets the addresses.
///
/// # Errors
/// If the database refuses.
pub async fn forget_addresses(tx: &DatabaseTransaction, workspace: &Workspace, id: Uuid) -> Result<()> {
    let sql = "UPDATE erasure SET addresses = '' WHERE workspace = $1 AND id = $2 AND addresses <> ''";
    execute(tx, "addresses", sql, vec![workspace.as_str().into(), id.into()]).await.map(drop)
}

/// All receipts are in.
///
/// # Errors
/// If the database refuses.
pub async fn finish(tx: &DatabaseTransaction, workspace: &Workspace, id: Uuid, now: Timestamp) -> Result<()> {
    let sql = "UPDATE erasure SET done = $3 WHERE workspace = $1 AND id = $2 AND done IS NULL";
    let values = vec![workspace.as_str().into(), id.into(), micros(now).into()];
    execute(tx, "an erasure", sql, values).await.map(drop)
}
