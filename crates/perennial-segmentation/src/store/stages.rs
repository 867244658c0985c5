//! Lifecycle stages: the present one of each profile, and every move.

use perennial_store::{
    Column, ConnectionTrait, Result, Table, column, delete_rows, insert_rows, query, query_one,
};
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros, micros};
use std::collections::BTreeMap;

use super::{cause_columns, cause_of};
use crate::domain::Cause;

/// A profile moved to a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageMove {
    /// The workspace.
    pub workspace: Workspace,
    /// The profile.
    pub profile: ProfileId,
    /// When.
    pub at: Timestamp,
    /// The stage.
    pub stage: String,
    /// Why.
    pub cause: Cause,
    /// Found in a backfill, an import or a correction.
    pub historical: bool,
}

pub const STAGE: Table = Table {
    name: "stage",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("stage", Column::Text),
        ("since", Column::BigInt),
    ],
};

const STAGE_KEY: Table =
    Table { name: "stage", columns: &[("workspace", Column::Text), ("profile", Column::Uuid)] };

pub const CHANGES: Table = Table {
    name: "stage_change",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("at", Column::BigInt),
        ("stage", Column::Text),
        ("cause", Column::Text),
        ("detail", Column::Text),
        ("historical", Column::Bool),
    ],
};

/// Writes moves, in the order in which they happened.
pub async fn save(db: &impl ConnectionTrait, moves: Vec<StageMove>) -> Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    let mut history: BTreeMap<(Workspace, ProfileId, Timestamp), &StageMove> = BTreeMap::new();
    let mut last: BTreeMap<(Workspace, ProfileId), &StageMove> = BTreeMap::new();
    for it in &moves {
        history.insert((it.workspace.clone(), it.profile, it.at), it);
        last.insert((it.workspace.clone(), it.profile), it);
    }
    let rows = history.values().map(|it| {
        let (cause, detail) = cause_columns(&it.cause);
        vec![
            it.workspace.as_str().into(),
            it.profile.0.into(),
            micros(it.at).into(),
            it.stage.as_str().into(),
            cause.into(),
            detail.into(),
            it.historical.into(),
        ]
    });
    let again =
        "ON CONFLICT (workspace, profile, at) DO UPDATE SET stage = excluded.stage, cause = excluded.cause,
                 detail = excluded.detail, historical = excluded.historical";
    insert_rows(db, &CHANGES, rows.collect(), again).await?;
    let rows = last.values().map(|it| {
        vec![
            it.workspace.as_str().into(),
            it.profile.0.into(),
            it.stage.as_str().into(),
            micros(it.at).into(),
        ]
    });
    let again =
        "ON CONFLICT (workspace, profile) DO UPDATE SET stage = excluded.stage, since = excluded.since";
    insert_rows(db, &STAGE, rows.collect(), again).await?;
    Ok(())
}

/// Takes profiles that ended out of their stages; their history stays.
pub async fn forget(db: &impl ConnectionTrait, profiles: &[(Workspace, ProfileId)]) -> Result<()> {
    let keys = profiles.iter().map(|(workspace, profile)| vec![workspace.as_str().into(), profile.0.into()]);
    delete_rows(db, &STAGE_KEY, keys.collect()).await?;
    Ok(())
}

/// Whether anything is known of a profile.
pub async fn exists(db: &impl ConnectionTrait, workspace: &Workspace, profile: ProfileId) -> Result<bool> {
    let sql = "SELECT 1 FROM stage WHERE workspace = $1 AND profile = $2";
    Ok(query_one(db, "a stage", sql, vec![workspace.as_str().into(), profile.0.into()]).await?.is_some())
}

/// The latest moves of a profile, the last one first.
pub async fn history(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profile: ProfileId,
    most: i64,
) -> Result<Vec<StageMove>> {
    let sql = "SELECT at, stage, cause, detail, historical FROM stage_change
               WHERE workspace = $1 AND profile = $2 ORDER BY at DESC LIMIT $3";
    let values = vec![workspace.as_str().into(), profile.0.into(), most.into()];
    let rows = query(db, "stage history", sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok(StageMove {
                workspace: workspace.clone(),
                profile,
                at: from_micros(column(row, 0)?),
                stage: column(row, 1)?,
                cause: cause_of(&column::<String>(row, 2)?, column(row, 3)?),
                historical: column(row, 4)?,
            })
        })
        .collect()
}

/// How many profiles each stage has.
pub async fn counts(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<BTreeMap<String, i64>> {
    let sql = "SELECT stage, COUNT(*) FROM stage WHERE workspace = $1 GROUP BY stage";
    let rows = query(db, "profiles by stage", sql, vec![workspace.as_str().into()]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}
