//! Offers and their definitions.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, QueryResult, Result, any_of, column, execute, query, query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

use super::corrupt;
use crate::domain::offer::Offer;

/// An offer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOffer {
    /// What the definition says.
    pub offer: Offer,
    /// The definition as it was applied.
    pub definition: String,
    /// It gives coupons.
    pub live: bool,
    /// From 1.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When definition or state last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "parsed, definition, state, version, created_at, updated_at";

fn read(row: &QueryResult) -> Result<StoredOffer> {
    let parsed: String = column(row, 0)?;
    Ok(StoredOffer {
        offer: serde_json::from_str(&parsed).map_err(|it| corrupt("offer", it))?,
        definition: column(row, 1)?,
        live: column::<String>(row, 2)? == "live",
        version: column(row, 3)?,
        created_at: from_micros(column(row, 4)?),
        updated_at: from_micros(column(row, 5)?),
    })
}

/// The offer of this name.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    name: &str,
) -> Result<Option<StoredOffer>> {
    let sql = format!("SELECT {COLUMNS} FROM offer WHERE workspace = $1 AND name = $2");
    let row = query_one(db, "an offer", &sql, vec![workspace.as_str().into(), name.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// The offers of these names.
pub async fn find_all(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, StoredOffer>> {
    let mut values = vec![workspace.as_str().into()];
    let wanted = names.iter().map(|it| (*it).into()).collect();
    let condition = any_of(Backend::of(db), "name", Column::Text, wanted, &mut values);
    let sql = format!("SELECT {COLUMNS} FROM offer WHERE workspace = $1 AND {condition}");
    let rows = query(db, "offers", &sql, values).await?;
    rows.iter().map(|row| read(row).map(|it| (it.offer.name.clone(), it))).collect()
}

/// Offers after this name, in order of name.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: &str,
    limit: u64,
) -> Result<Vec<StoredOffer>> {
    let sql =
        format!("SELECT {COLUMNS} FROM offer WHERE workspace = $1 AND name > $2 ORDER BY name LIMIT $3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query(db, "offers", &sql, vec![workspace.as_str().into(), after.into(), limit.into()]).await?;
    rows.iter().map(read).collect()
}

/// Keeps an offer under its name.
pub async fn save(db: &impl ConnectionTrait, workspace: &Workspace, it: &StoredOffer) -> Result<()> {
    let sql = "INSERT INTO offer (workspace, name, definition, parsed, state, version, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
               ON CONFLICT (workspace, name) DO UPDATE SET definition = excluded.definition, \
               parsed = excluded.parsed, state = excluded.state, version = excluded.version, \
               updated_at = excluded.updated_at";
    let parsed = serde_json::to_string(&it.offer).map_err(|it| corrupt("offer", it))?;
    let values = vec![
        workspace.as_str().into(),
        it.offer.name.as_str().into(),
        it.definition.as_str().into(),
        parsed.into(),
        if it.live { "live" } else { "stopped" }.into(),
        it.version.into(),
        micros(it.created_at).into(),
        micros(it.updated_at).into(),
    ];
    execute(db, "an offer", sql, values).await.map(|_| ())
}
