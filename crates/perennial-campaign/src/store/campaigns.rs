//! Definitions and their versions.

use std::collections::BTreeMap;

use perennial_store::{ConnectionTrait, Result, StoreError, execute, query, query_one};
use perennial_types::{Timestamp, Workspace, from_micros, micros};

use super::{get, workspace};
use crate::domain::Lifecycle;
use crate::domain::offer::Terms;

/// A campaign as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its bare name.
    pub name: String,
    /// Whether it runs.
    pub lifecycle: Lifecycle,
    /// The version in force.
    pub version: u64,
    /// The definition in force.
    pub definition: String,
    /// What the offers it asks about give.
    pub offers: BTreeMap<String, Terms>,
    /// When it was created.
    pub created: Timestamp,
    /// When definition or state last changed.
    pub updated: Timestamp,
}

/// One version of one campaign, for the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The workspace.
    pub workspace: Workspace,
    /// The campaign.
    pub name: String,
    /// Whether the campaign runs.
    pub lifecycle: Lifecycle,
    /// The version in force.
    pub current: u64,
    /// This version.
    pub version: u64,
    /// Its definition.
    pub definition: String,
    /// What the offers it asks about give.
    pub offers: BTreeMap<String, Terms>,
}

const COLUMNS: &str =
    "SELECT c.name, c.state, c.version, c.created, c.updated, v.definition, v.offers FROM campaign c
    JOIN campaign_version v ON v.workspace = c.workspace AND v.name = c.name AND v.version = c.version";

/// One campaign.
pub async fn find(db: &impl ConnectionTrait, workspace: &Workspace, name: &str) -> Result<Option<Stored>> {
    let sql = format!("{COLUMNS} WHERE c.workspace = $1 AND c.name = $2");
    let values = vec![workspace.as_str().into(), name.into()];
    query_one(db, "a campaign", &sql, values).await?.as_ref().map(stored).transpose()
}

/// Campaigns after a name, by name.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: &str,
    limit: u64,
) -> Result<Vec<Stored>> {
    let sql = format!("{COLUMNS} WHERE c.workspace = $1 AND c.name > $2 ORDER BY c.name LIMIT {limit}");
    let rows = query(db, "campaigns", &sql, vec![workspace.as_str().into(), after.into()]).await?;
    rows.iter().map(stored).collect()
}

/// Writes a campaign; a version that is there already stays as it is.
pub async fn save(db: &impl ConnectionTrait, workspace: &Workspace, campaign: &Stored) -> Result<()> {
    let version = i64::try_from(campaign.version).unwrap_or(i64::MAX);
    let sql = "INSERT INTO campaign (workspace, name, state, version, created, updated) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (workspace, name) DO UPDATE SET state = excluded.state, version = excluded.version, updated = excluded.updated";
    let values = vec![
        workspace.as_str().into(),
        campaign.name.as_str().into(),
        campaign.lifecycle.as_str().into(),
        version.into(),
        micros(campaign.created).into(),
        micros(campaign.updated).into(),
    ];
    execute(db, "saving a campaign", sql, values).await?;
    let sql = "INSERT INTO campaign_version (workspace, name, version, definition, created, offers)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (workspace, name, version) DO NOTHING";
    let values = vec![
        workspace.as_str().into(),
        campaign.name.as_str().into(),
        version.into(),
        campaign.definition.as_str().into(),
        micros(campaign.updated).into(),
        // Names and numbers: there is nothing in them that JSON cannot hold.
        serde_json::to_string(&campaign.offers).unwrap_or_default().into(),
    ];
    execute(db, "saving a campaign's version", sql, values).await.map(drop)
}

/// Begins a change: whoever changes a campaign at the same time waits, and every reader's book becomes stale.
pub async fn begin_change(db: &impl ConnectionTrait) -> Result<()> {
    let sql = "UPDATE campaign_revision SET revision = revision + 1";
    execute(db, "the revision", sql, vec![]).await.map(drop)
}

/// Changes with every change of any campaign.
pub async fn revision(db: &impl ConnectionTrait) -> Result<i64> {
    let row = query_one(db, "the revision", "SELECT revision FROM campaign_revision", vec![]).await?;
    row.as_ref().map_or(Ok(0), |it| get(it, "revision"))
}

/// All versions of all campaigns.
pub async fn versions(db: &impl ConnectionTrait) -> Result<Vec<Version>> {
    let sql =
        "SELECT c.workspace, c.name, c.state, c.version AS current, v.version, v.definition, v.offers FROM campaign c
        JOIN campaign_version v ON v.workspace = c.workspace AND v.name = c.name";
    let rows = query(db, "all campaigns", sql, vec![]).await?;
    let read = |row: &perennial_store::QueryResult| {
        Ok(Version {
            workspace: workspace(row)?,
            name: get(row, "name")?,
            lifecycle: lifecycle(row)?,
            current: number(row, "current")?,
            version: number(row, "version")?,
            definition: get(row, "definition")?,
            offers: offers(row)?,
        })
    };
    rows.iter().map(read).collect()
}

fn stored(row: &perennial_store::QueryResult) -> Result<Stored> {
    Ok(Stored {
        name: get(row, "name")?,
        lifecycle: lifecycle(row)?,
        version: number(row, "version")?,
        definition: get(row, "definition")?,
        offers: offers(row)?,
        created: from_micros(get(row, "created")?),
        updated: from_micros(get(row, "updated")?),
    })
}

fn offers(row: &perennial_store::QueryResult) -> Result<BTreeMap<String, Terms>> {
    let text: String = get(row, "offers")?;
    serde_json::from_str(&text)
        .map_err(|error| StoreError::Corrupt { what: "offers of a campaign", reason: error.to_string() })
}

fn number(row: &perennial_store::QueryResult, column: &'static str) -> Result<u64> {
    Ok(u64::try_from(get::<i64>(row, column)?).unwrap_or_default())
}

fn lifecycle(row: &perennial_store::QueryResult) -> Result<Lifecycle> {
    let word: String = get(row, "state")?;
    let unknown = || StoreError::Corrupt { what: "campaign state", reason: format!("{word:?} is not known") };
    Lifecycle::parse(&word).ok_or_else(unknown)
}
