//! Messages as they are shown.

use perennial_store::{ConnectionTrait, QueryResult, Result, Value, column, query};
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros};
use uuid::Uuid;

use super::state;
use crate::domain::message::State;

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only to this profile.
    pub profile: Option<ProfileId>,
    /// Only of this campaign.
    pub campaign: Option<String>,
    /// Only in this state.
    pub state: Option<State>,
}

/// A message as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: Uuid,
    /// The decision it carries out.
    pub decision: Option<Uuid>,
    /// Whom it is for.
    pub profile: ProfileId,
    /// The campaign.
    pub campaign: String,
    /// The step.
    pub step: String,
    /// Which run.
    pub occurrence: String,
    /// How it goes.
    pub channel: String,
    /// Why it goes.
    pub purpose: String,
    /// The template.
    pub template: String,
    /// Where it stands.
    pub state: State,
    /// Why, or what it waits for.
    pub reason: String,
    /// Hand-overs tried.
    pub attempts: i64,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When it settled.
    pub settled_at: Option<Timestamp>,
    /// Not before.
    pub not_before: Timestamp,
    /// Not after.
    pub not_after: Option<Timestamp>,
}

fn read(row: &QueryResult) -> Result<Listed> {
    Ok(Listed {
        id: column(row, 0)?,
        decision: column(row, 1)?,
        profile: ProfileId(column(row, 2)?),
        campaign: column(row, 3)?,
        step: column(row, 4)?,
        occurrence: column(row, 5)?,
        channel: column(row, 6)?,
        purpose: column(row, 7)?,
        template: column(row, 8)?,
        state: state(row, 9)?,
        reason: column(row, 10)?,
        attempts: column(row, 11)?,
        claimed_at: from_micros(column(row, 12)?),
        settled_at: column::<Option<i64>>(row, 13)?.map(from_micros),
        not_before: from_micros(column(row, 14)?),
        not_after: column::<Option<i64>>(row, 15)?.map(from_micros),
    })
}

/// Messages before `before` (claim instant in microseconds, id), newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    filter: &Filter,
    before: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Listed>> {
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    let mut sql = "SELECT id, decision, profile, campaign, step, occurrence, channel, purpose, template, state, \
                   reason, attempts, claimed_at, settled_at, not_before, not_after FROM message WHERE workspace = $1"
        .to_owned();
    let mut narrow = |condition: &str, value: Value| {
        values.push(value);
        sql.push_str(&format!(" AND {condition} = ${}", values.len()));
    };
    if let Some(it) = filter.profile {
        narrow("profile", it.0.into());
    }
    if let Some(it) = &filter.campaign {
        narrow("campaign", it.as_str().into());
    }
    if let Some(it) = filter.state {
        narrow("state", it.as_str().into());
    }
    if let Some((at, id)) = before {
        values.extend([at.into(), id.into()]);
        sql.push_str(&format!(" AND (claimed_at, id) < (${}, ${})", values.len() - 1, values.len()));
    }
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    sql.push_str(&format!(" ORDER BY claimed_at DESC, id DESC LIMIT ${}", values.len()));
    query(db, "messages", &sql, values).await?.iter().map(read).collect()
}

/// How many messages of each campaign are in each state.
pub async fn summarize(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    campaign: Option<&str>,
) -> Result<Vec<(String, State, i64)>> {
    let mut values: Vec<Value> = vec![workspace.as_str().into()];
    let mut narrow = "";
    if let Some(campaign) = campaign {
        values.push(campaign.into());
        narrow = " AND campaign = $2";
    }
    let sql = format!(
        "SELECT campaign, state, COUNT(*) FROM message WHERE workspace = $1{narrow} \
         GROUP BY campaign, state ORDER BY campaign, state"
    );
    let rows = query(db, "messages by state", &sql, values).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, state(row, 1)?, column(row, 2)?))).collect()
}
