//! Membership: who is in which segment, and every change of it.

use perennial_store::{
    Column, ConnectionTrait, QueryResult, Result, Table, Value, column, delete_rows, execute, insert_rows,
    query, query_one,
};
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros, micros};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::{cause_columns, cause_of};
use crate::domain::Cause;

/// A profile entered or left a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberChange {
    /// The workspace.
    pub workspace: Workspace,
    /// The segment's number.
    pub number: u32,
    /// The profile.
    pub profile: ProfileId,
    /// When.
    pub at: Timestamp,
    /// Entered (true) or left.
    pub entered: bool,
    /// Why.
    pub cause: Cause,
    /// Found in a backfill, an import or a correction.
    pub historical: bool,
}

/// Where a profile stands with a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// It is a member.
    pub member: bool,
    /// Since when it is, or is not.
    pub since: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Found in a backfill, an import or a correction.
    pub historical: bool,
}

pub const MEMBERSHIP: Table = Table {
    name: "membership",
    columns: &[
        ("workspace", Column::Text),
        ("number", Column::BigInt),
        ("profile", Column::Uuid),
        ("since", Column::BigInt),
        ("cause", Column::Text),
        ("detail", Column::Text),
        ("historical", Column::Bool),
    ],
};

const MEMBERSHIP_KEY: Table = Table {
    name: "membership",
    columns: &[("workspace", Column::Text), ("number", Column::BigInt), ("profile", Column::Uuid)],
};

/// Profiles that became others.
pub const MERGED: Table = Table {
    name: "merged",
    columns: &[("workspace", Column::Text), ("profile", Column::Uuid), ("into_profile", Column::Uuid)],
};

pub const CHANGES: Table = Table {
    name: "membership_change",
    columns: &[
        ("workspace", Column::Text),
        ("profile", Column::Uuid),
        ("number", Column::BigInt),
        ("at", Column::BigInt),
        ("entered", Column::Bool),
        ("cause", Column::Text),
        ("detail", Column::Text),
        ("historical", Column::Bool),
    ],
};

/// Writes changes, in the order in which they happened.
pub async fn save(db: &impl ConnectionTrait, changes: Vec<MemberChange>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut history: BTreeMap<(Workspace, ProfileId, u32, Timestamp), &MemberChange> = BTreeMap::new();
    let mut last: BTreeMap<(Workspace, u32, ProfileId), &MemberChange> = BTreeMap::new();
    for it in &changes {
        history.insert((it.workspace.clone(), it.profile, it.number, it.at), it);
        last.insert((it.workspace.clone(), it.number, it.profile), it);
    }
    let rows = history.values().map(|it| {
        let (cause, detail) = cause_columns(&it.cause);
        vec![
            it.workspace.as_str().into(),
            it.profile.0.into(),
            i64::from(it.number).into(),
            micros(it.at).into(),
            it.entered.into(),
            cause.into(),
            detail.into(),
            it.historical.into(),
        ]
    });
    let again = "ON CONFLICT (workspace, profile, number, at) DO UPDATE SET entered = excluded.entered,
                 cause = excluded.cause, detail = excluded.detail, historical = excluded.historical";
    insert_rows(db, &CHANGES, rows.collect(), again).await?;

    let key = |it: &MemberChange| -> Vec<Value> {
        vec![it.workspace.as_str().into(), i64::from(it.number).into(), it.profile.0.into()]
    };
    let (entered, left): (Vec<&MemberChange>, Vec<&MemberChange>) =
        last.into_values().partition(|it| it.entered);
    let rows = entered.into_iter().map(|it| {
        let (cause, detail) = cause_columns(&it.cause);
        let rest = [micros(it.at).into(), cause.into(), detail.into(), it.historical.into()];
        key(it).into_iter().chain(rest).collect()
    });
    let again = "ON CONFLICT (workspace, number, profile) DO UPDATE SET since = excluded.since,
                 cause = excluded.cause, detail = excluded.detail, historical = excluded.historical";
    insert_rows(db, &MEMBERSHIP, rows.collect(), again).await?;
    delete_rows(db, &MEMBERSHIP_KEY, left.into_iter().map(key).collect()).await?;
    Ok(())
}

/// Takes profiles that ended out of every segment.
pub async fn forget(db: &impl ConnectionTrait, profiles: &[(Workspace, ProfileId, Vec<u32>)]) -> Result<()> {
    let keys = profiles.iter().flat_map(|(workspace, profile, numbers)| {
        numbers
            .iter()
            .map(move |number| vec![workspace.as_str().into(), i64::from(*number).into(), profile.0.into()])
    });
    delete_rows(db, &MEMBERSHIP_KEY, keys.collect()).await?;
    Ok(())
}

fn standing(row: &QueryResult) -> Result<Standing> {
    Ok(Standing {
        member: column(row, 0)?,
        since: from_micros(column(row, 1)?),
        cause: cause_of(&column::<String>(row, 2)?, column(row, 3)?),
        historical: column(row, 4)?,
    })
}

/// Where a profile stood with a segment at an instant; nothing if it never was in it until then.
pub async fn standing_at(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    number: u32,
    profile: ProfileId,
    at: Timestamp,
) -> Result<Option<Standing>> {
    let sql = "SELECT entered, at, cause, detail, historical FROM membership_change
               WHERE workspace = $1 AND profile = $2 AND number = $3 AND at <= $4 ORDER BY at DESC LIMIT 1";
    let values =
        vec![workspace.as_str().into(), profile.0.into(), i64::from(number).into(), micros(at).into()];
    query_one(db, "a membership", sql, values).await?.as_ref().map(standing).transpose()
}

/// Members after a profile, by id: profile, since when, why.
pub async fn page(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    number: u32,
    after: Uuid,
    limit: u64,
) -> Result<Vec<(ProfileId, Timestamp, Cause)>> {
    let sql = "SELECT profile, since, cause, detail FROM membership
               WHERE workspace = $1 AND number = $2 AND profile > $3 ORDER BY profile LIMIT $4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), i64::from(number).into(), after.into(), limit.into()];
    let rows = query(db, "members", sql, values).await?;
    rows.iter()
        .map(|row| {
            let cause = cause_of(&column::<String>(row, 2)?, column(row, 3)?);
            Ok((ProfileId(column(row, 0)?), from_micros(column(row, 1)?), cause))
        })
        .collect()
}

/// How many members each segment has, by number.
pub async fn counts(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<BTreeMap<u32, i64>> {
    let sql = "SELECT number, COUNT(*) FROM membership WHERE workspace = $1 GROUP BY number";
    let rows = query(db, "members by segment", sql, vec![workspace.as_str().into()]).await?;
    rows.iter()
        .map(|row| Ok((u32::try_from(column::<i64>(row, 0)?).unwrap_or(u32::MAX), column(row, 1)?)))
        .collect()
}

/// Remembers that one profile became another.
pub async fn save_merged(
    db: &impl ConnectionTrait,
    merges: &[(Workspace, ProfileId, ProfileId)],
) -> Result<()> {
    for (workspace, from, into) in merges {
        let sql = "INSERT INTO merged (workspace, profile, into_profile) VALUES ($1, $2, $3)
                   ON CONFLICT (workspace, profile) DO UPDATE SET into_profile = excluded.into_profile";
        let values = vec![workspace.as_str().into(), from.0.into(), into.0.into()];
        execute(db, "a merge", sql, values).await?;
    }
    Ok(())
}

/// Forgets that profiles became others: they are themselves again.
pub async fn undo_merged(db: &impl ConnectionTrait, profiles: &[(Workspace, ProfileId)]) -> Result<()> {
    const KEY: Table =
        Table { name: "merged", columns: &[("workspace", Column::Text), ("profile", Column::Uuid)] };
    let keys = profiles.iter().map(|(workspace, it)| vec![workspace.as_str().into(), it.0.into()]);
    delete_rows(db, &KEY, keys.collect()).await.map(drop)
}

/// The profile that this one has become.
pub async fn survivor(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profile: ProfileId,
) -> Result<ProfileId> {
    let mut profile = profile;
    // Limit: a hundred merges a profile.
    for _ in 0..100 {
        let sql = "SELECT into_profile FROM merged WHERE workspace = $1 AND profile = $2";
        let row = query_one(db, "a merge", sql, vec![workspace.as_str().into(), profile.0.into()]).await?;
        match row {
            Some(row) => profile = ProfileId(column(&row, 0)?),
            None => break,
        }
    }
    Ok(profile)
}
