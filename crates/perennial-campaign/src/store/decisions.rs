//! The log of decisions: why somebody was or was not contacted.

use std::collections::BTreeSet;

use perennial_store::{
    Backend, Column, ConnectionTrait, Result, StoreError, Table, Value, any_of, execute, insert_rows, query,
};
use perennial_types::{ProfileId, Workspace};
use uuid::Uuid;

use super::get;
use crate::domain::effect::{Decision, Outcome, Reason};

/// A decision as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Its id.
    pub id: Uuid,
    /// The profile.
    pub profile: ProfileId,
    /// When, microseconds.
    pub at: i64,
    /// The campaign.
    pub campaign: String,
    /// The version.
    pub version: u64,
    /// Which run.
    pub occurrence: String,
    /// The step.
    pub step: String,
    /// What was decided.
    pub outcome: String,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Who would have been next; empty for nobody.
    pub runner_up: String,
    /// Its priority.
    pub priority: f64,
    /// The runner-up's.
    pub runner_up_priority: f64,
    /// What became of its command.
    pub delivery: String,
    /// Why it was refused.
    pub delivery_reason: String,
}

pub const TABLE: Table = Table {
    name: "decision",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("profile", Column::Uuid),
        ("at", Column::BigInt),
        ("ord", Column::BigInt),
        ("campaign", Column::Text),
        ("version", Column::BigInt),
        ("occurrence", Column::Text),
        ("step", Column::Text),
        ("outcome", Column::Text),
        ("reasons", Column::Text),
        ("runner_up", Column::Text),
        ("priority", Column::Double),
        ("runner_up_priority", Column::Double),
        ("delivery", Column::Text),
        ("delivery_reason", Column::Text),
    ],
};

/// Appends decisions.
pub async fn append(db: &impl ConnectionTrait, decisions: Vec<(Workspace, Decision)>) -> Result<()> {
    let rows = decisions.into_iter().map(|(workspace, it)| row(&workspace, it)).collect();
    insert_rows(db, &TABLE, rows, "ON CONFLICT (workspace, id) DO NOTHING").await.map(drop)
}

fn row(workspace: &Workspace, it: Decision) -> Vec<Value> {
    let (runner_up, runner_up_priority) = it.runner_up.unwrap_or_default();
    let delivery = if it.outcome == Outcome::Sent { "queued" } else { "" };
    // Reasons are two texts each: there is nothing in them that JSON cannot hold.
    let reasons = serde_json::to_string(&it.reasons).unwrap_or_default();
    let whole = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    vec![
        workspace.as_str().into(),
        it.id.into(),
        it.profile.0.into(),
        it.at.into(),
        whole(it.order).into(),
        it.campaign.into(),
        whole(it.version).into(),
        it.occurrence.into(),
        it.step.into(),
        it.outcome.as_str().into(),
        reasons.into(),
        runner_up.into(),
        it.priority.into(),
        runner_up_priority.into(),
        delivery.into(),
        "".into(),
    ]
}

const COLUMNS: &str =
    "SELECT id, profile, at, campaign, version, occurrence, step, outcome, reasons, runner_up, priority,
    runner_up_priority, delivery, delivery_reason FROM decision";

/// The latest decisions about a profile, oldest first; of all campaigns if `campaign` is empty.
pub async fn of_profile(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profile: ProfileId,
    campaign: &str,
    limit: u32,
) -> Result<Vec<Logged>> {
    let sql = format!(
        "{COLUMNS} WHERE workspace = $1 AND profile = $2 AND ($3 = '' OR campaign = $3) ORDER BY at DESC, ord DESC LIMIT {limit}"
    );
    let values = vec![workspace.as_str().into(), profile.0.into(), campaign.into()];
    let rows = query(db, "a profile's decisions", &sql, values).await?;
    rows.iter().rev().map(logged).collect()
}

/// A page of decisions, newest first, after the key of the page before.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    campaign: &str,
    outcome: &str,
    after: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Logged>> {
    let mut sql = format!("{COLUMNS} WHERE workspace = $1");
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    for (column, wanted) in [("campaign", campaign), ("outcome", outcome)] {
        if !wanted.is_empty() {
            values.push(wanted.into());
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    }
    if let Some((at, id)) = after {
        values.push(at.into());
        values.push(id.into());
        let (at, id) = (values.len() - 1, values.len());
        sql.push_str(&format!(" AND (at < ${at} OR (at = ${at} AND id < ${id}))"));
    }
    sql.push_str(&format!(" ORDER BY at DESC, id DESC LIMIT {limit}"));
    let rows = query(db, "decisions", &sql, values).await?;
    rows.iter().map(logged).collect()
}

/// How many messages a campaign sent: those it decided on that did not come back.
pub async fn sent(db: &impl ConnectionTrait, workspace: &Workspace, campaign: &str) -> Result<u64> {
    let sql = "SELECT COUNT(*) AS n FROM decision WHERE workspace = $1 AND campaign = $2 AND outcome = 'sent' \
               AND delivery NOT IN ('refused', 'expired', 'duplicate')";
    let rows = query(db, "messages sent", sql, vec![workspace.as_str().into(), campaign.into()]).await?;
    rows.first().map_or(Ok(0), |it| Ok(u64::try_from(get::<i64>(it, "n")?).unwrap_or_default()))
}

/// Notes what was answered to the commands of some decisions, unless their messages came back already.
pub async fn delivered(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: Vec<Uuid>,
    delivery: &str,
    reason: &str,
) -> Result<()> {
    note(db, workspace, ids, delivery, reason, " AND delivery = 'queued'").await
}

/// Notes that the messages of some decisions came to nothing.
pub async fn returned(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: Vec<Uuid>,
    delivery: &str,
    reason: &str,
) -> Result<()> {
    note(db, workspace, ids, delivery, reason, "").await
}

async fn note(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: Vec<Uuid>,
    delivery: &str,
    reason: &str,
    only: &str,
) -> Result<()> {
    let mut values: Vec<Value> = vec![workspace.as_str().into(), delivery.into(), reason.into()];
    let wanted = ids.into_iter().map(Into::into).collect();
    let any = any_of(Backend::of(db), "id", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "UPDATE decision SET delivery = $2, delivery_reason = $3 WHERE workspace = $1 AND {any}{only}"
    );
    execute(db, "what became of commands", &sql, values).await.map(drop)
}

/// Which of these decisions' messages were refused.
pub async fn refused(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: Vec<Uuid>,
) -> Result<BTreeSet<Uuid>> {
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    let wanted = ids.into_iter().map(Into::into).collect();
    let any = any_of(Backend::of(db), "id", Column::Uuid, wanted, &mut values);
    let sql = format!("SELECT id FROM decision WHERE workspace = $1 AND delivery = 'refused' AND {any}");
    query(db, "refused messages", &sql, values).await?.iter().map(|row| get(row, "id")).collect()
}

/// Gives the decisions about merged profiles to their survivors; for whom they were made stays known.
pub async fn merged(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    merges: &[(ProfileId, ProfileId)],
) -> Result<()> {
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    let (mut cases, mut from) = (String::new(), Vec::new());
    for (gone, into) in merges {
        values.push(gone.0.into());
        values.push(into.0.into());
        let (a, b) = (values.len() - 1, values.len());
        cases.push_str(&format!(" WHEN ${a} THEN ${b}"));
        from.push(format!("${a}"));
    }
    let sql = format!(
        "UPDATE decision SET profile = CASE profile{cases} END, made_for = COALESCE(made_for, profile) WHERE workspace = $1 AND profile IN ({})",
        from.join(", ")
    );
    execute(db, "decisions of merged profiles", &sql, values).await.map(drop)
}

/// Gives a profile that had become another one the decisions about it back, and those about the `leaves` that had become
/// it.
pub async fn give_back(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profile: ProfileId,
    leaves: &[ProfileId],
) -> Result<()> {
    let mut values: Vec<Value> = vec![workspace.as_str().into(), profile.0.into()];
    let wanted = leaves.iter().chain([&profile]).map(|it| it.0.into()).collect();
    let any = any_of(Backend::of(db), "made_for", Column::Uuid, wanted, &mut values);
    let sql = format!("UPDATE decision SET profile = $2 WHERE workspace = $1 AND {any}");
    execute(db, "decisions of a profile that came back", &sql, values).await.map(drop)
}

fn logged(row: &perennial_store::QueryResult) -> Result<Logged> {
    let reasons: String = get(row, "reasons")?;
    let reasons = serde_json::from_str(&reasons)
        .map_err(|error| StoreError::Corrupt { what: "reasons", reason: error.to_string() })?;
    Ok(Logged {
        id: get(row, "id")?,
        profile: ProfileId(get(row, "profile")?),
        at: get(row, "at")?,
        campaign: get(row, "campaign")?,
        version: u64::try_from(get::<i64>(row, "version")?).unwrap_or_default(),
        occurrence: get(row, "occurrence")?,
        step: get(row, "step")?,
        outcome: get(row, "outcome")?,
        reasons,
        runner_up: get(row, "runner_up")?,
        priority: get(row, "priority")?,
        runner_up_priority: get(row, "runner_up_priority")?,
        delivery: get(row, "delivery")?,
        delivery_reason: get(row, "delivery_reason")?,
    })
}
