//! Profiles that became others: a coupon follows its customer.

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, Result, Table, any_of, column, execute,
    insert_rows, query,
};
use perennial_types::{ProfileId, Workspace};

pub const TABLE: Table = Table {
    name: "merged_profile",
    columns: &[("workspace", Column::Text), ("profile", Column::Uuid), ("into_profile", Column::Uuid)],
};

/// What these profiles have become; those that are still themselves are not in it.
pub async fn current(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profiles: &BTreeSet<ProfileId>,
) -> Result<BTreeMap<ProfileId, ProfileId>> {
    let mut values = vec![workspace.as_str().into()];
    let wanted = profiles.iter().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "profile", Column::Uuid, wanted, &mut values);
    let sql =
        format!("SELECT profile, into_profile FROM merged_profile WHERE workspace = $1 AND {condition}");
    let rows = query(db, "merged profiles", &sql, values).await?;
    rows.iter().map(|row| Ok((ProfileId(column(row, 0)?), ProfileId(column(row, 1)?)))).collect()
}

/// Keeps that profiles became others; those that had become one of them follow.
pub async fn save(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    merges: &BTreeMap<ProfileId, ProfileId>,
) -> Result<()> {
    if merges.is_empty() {
        return Ok(());
    }
    // Where a merge's survivor has itself become another one by now, its survivor counts.
    let survivors = current(tx, workspace, &merges.values().copied().collect()).await?;
    let rows = merges.iter().map(|(from, into)| {
        let into = survivors.get(into).unwrap_or(into);
        vec![workspace.as_str().into(), from.0.into(), into.0.into()]
    });
    let again = "ON CONFLICT (workspace, profile) DO UPDATE SET into_profile = excluded.into_profile";
    insert_rows(tx, &TABLE, rows.collect(), again).await?;
    let mut values = vec![workspace.as_str().into()];
    let gone = merges.keys().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(tx), "into_profile", Column::Uuid, gone, &mut values);
    let follow = format!(
        "UPDATE merged_profile SET into_profile = (SELECT next.into_profile FROM merged_profile next \
         WHERE next.workspace = merged_profile.workspace AND next.profile = merged_profile.into_profile) \
         WHERE workspace = $1 AND {condition}"
    );
    // Merges of one batch may form a chain: each pass shortens it.
    while execute(tx, "merged profiles", &follow, values.clone()).await? > 0 {}
    Ok(())
}

/// A profile that had become another one is itself again, and those that had become it are it again.
pub async fn undo(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    profile: ProfileId,
    leaves: &[ProfileId],
) -> Result<()> {
    let key = vec![workspace.as_str().into(), profile.0.into()];
    let sql = "DELETE FROM merged_profile WHERE workspace = $1 AND profile = $2";
    execute(tx, "merged profiles", sql, key).await?;
    let rows = leaves.iter().map(|it| vec![workspace.as_str().into(), it.0.into(), profile.0.into()]);
    let update = "ON CONFLICT (workspace, profile) DO UPDATE SET into_profile = excluded.into_profile";
    insert_rows(tx, &TABLE, rows.collect(), update).await?;
    Ok(())
}
