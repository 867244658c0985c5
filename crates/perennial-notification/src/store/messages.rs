//! The send ledger.

mod list;

use std::collections::{BTreeMap, BTreeSet};

use perennial_store::{
    Backend, Column, ConnectionTrait, DatabaseTransaction, QueryResult, Result, Table, Value, any_of, column,
    execute, insert_rows, query, query_one,
};
use perennial_types::{Channel, ProfileId, Purpose, Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use super::{corrupt, workspace as read_workspace};
use crate::domain::message::{Message, State};

pub use list::{Filter, Listed, list, summarize};

pub const TABLE: Table = Table {
    name: "message",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("decision", Column::Uuid),
        ("profile", Column::Uuid),
        ("campaign", Column::Text),
        ("step", Column::Text),
        ("occurrence", Column::Text),
        ("address_hash", Column::Text),
        ("channel", Column::Text),
        ("purpose", Column::Text),
        ("template", Column::Text),
        ("data", Column::Text),
        ("not_before", Column::BigInt),
        ("not_after", Column::BigInt),
        ("state", Column::Text),
        ("reason", Column::Text),
        ("attempts", Column::BigInt),
        ("next_at", Column::BigInt),
        ("claimed_at", Column::BigInt),
        ("handed_at", Column::BigInt),
        ("settled_at", Column::BigInt),
    ],
};

/// A message to take over.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The message.
    pub message: Message,
    /// The keyed hash of the address it goes to; absent if there is none.
    pub address_hash: Option<String>,
    /// Why it is refused at once; absent if it is claimed.
    pub refused: Option<&'static str>,
}

/// Adds messages that are not there yet, under both unique keys. What collides is left as it is.
pub async fn insert(tx: &DatabaseTransaction, claims: &[Claim], now: Timestamp) -> Result<u64> {
    let now = micros(now);
    let rows = claims.iter().map(|it| {
        let message = &it.message;
        let state = if it.refused.is_some() { State::Refused } else { State::Claimed };
        let nothing: Option<i64> = None;
        vec![
            message.workspace.as_str().into(),
            message.id.into(),
            message.decision.into(),
            message.profile.0.into(),
            message.campaign.as_str().into(),
            message.step.as_str().into(),
            message.occurrence.as_str().into(),
            it.address_hash.clone().into(),
            message.channel.as_str().into(),
            message.purpose.as_str().into(),
            message.template.as_str().into(),
            serde_json::Value::Object(message.data.clone()).to_string().into(),
            micros(message.not_before).into(),
            message.not_after.map(micros).into(),
            state.as_str().into(),
            it.refused.unwrap_or_default().into(),
            0_i64.into(),
            micros(message.not_before).into(),
            now.into(),
            nothing.into(),
            it.refused.map(|_| now).into(),
        ]
    });
    insert_rows(tx, &TABLE, rows.collect(), "ON CONFLICT DO NOTHING").await
}

/// Which of these messages are there, with state and reason.
pub async fn states(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, (State, String)>> {
    let mut values = vec![workspace.as_str().into()];
    let condition = any_of(Backend::of(db), "id", Column::Uuid, ids.map(Into::into).collect(), &mut values);
    let sql = format!("SELECT id, state, reason FROM message WHERE workspace = $1 AND {condition}");
    let rows = query(db, "messages", &sql, values).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, (state(row, 1)?, column(row, 2)?)))).collect()
}

fn state(row: &QueryResult, index: usize) -> Result<State> {
    let word: String = column(row, index)?;
    State::parse(&word).ok_or_else(|| corrupt("message state", &word))
}

/// A claimed message whose instant has come.
#[derive(Clone, Debug)]
pub struct Due {
    /// The message.
    pub message: Message,
    /// How often its hand-over was tried.
    pub attempts: i64,
}

/// Claimed messages whose instant has come, of workspaces that are not paused, earliest first.
pub async fn due(db: &impl ConnectionTrait, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
    let sql = "SELECT workspace, id, decision, profile, campaign, step, occurrence, channel, purpose, template, data, \
               not_before, not_after, attempts FROM message WHERE state = 'claimed' AND next_at <= $1 AND NOT EXISTS \
               (SELECT 1 FROM sending_pause p WHERE p.workspace = message.workspace AND p.paused) \
               ORDER BY next_at, id LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query(db, "messages to send", sql, vec![micros(now).into(), limit.into()]).await?;
    rows.iter()
        .map(|row| {
            let (channel, purpose, data): (String, String, String) =
                (column(row, 7)?, column(row, 8)?, column(row, 10)?);
            let message = Message {
                workspace: read_workspace(row, 0)?,
                id: column(row, 1)?,
                decision: column(row, 2)?,
                profile: ProfileId(column(row, 3)?),
                campaign: column(row, 4)?,
                step: column(row, 5)?,
                occurrence: column(row, 6)?,
                channel: Channel::parse(&channel).ok_or_else(|| corrupt("channel", &channel))?,
                purpose: Purpose::parse(&purpose).ok_or_else(|| corrupt("purpose", &purpose))?,
                template: column(row, 9)?,
                data: serde_json::from_str(&data).map_err(|it| corrupt("message data", it))?,
                not_before: from_micros(column(row, 11)?),
                not_after: column::<Option<i64>>(row, 12)?.map(from_micros),
            };
            Ok(Due { message, attempts: column(row, 13)? })
        })
        .collect()
}

/// When the next claimed message of a workspace that is not paused is due.
pub async fn next_due(db: &impl ConnectionTrait) -> Result<Option<Timestamp>> {
    let sql = "SELECT next_at FROM message WHERE state = 'claimed' AND NOT EXISTS (SELECT 1 FROM sending_pause p \
               WHERE p.workspace = message.workspace AND p.paused) ORDER BY next_at LIMIT 1";
    let row = query_one(db, "the next message", sql, vec![]).await?;
    row.map(|row| column(&row, 0).map(from_micros)).transpose()
}

/// Marks messages as being handed over, if they are still claimed; answers which were. Another worker's are left out.
pub async fn hand(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<BTreeSet<Uuid>> {
    let mut values = vec![workspace.as_str().into(), micros(now).into()];
    let wanted = ids.iter().map(|it| (*it).into()).collect();
    let condition = any_of(Backend::of(tx), "id", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "UPDATE message SET state = 'handing', attempts = attempts + 1, handed_at = $2, reason = '' \
         WHERE workspace = $1 AND state = 'claimed' AND {condition} RETURNING id"
    );
    let rows = query(tx, "messages to hand over", &sql, values).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The tenant.
    pub workspace: Workspace,
    /// The message.
    pub id: Uuid,
    /// Its new state.
    pub state: State,
    /// Why, or what it waits for.
    pub reason: String,
    /// When it is tried again, if it is claimed.
    pub next_at: Timestamp,
    /// Where it stood: `claimed`, or `handing` if this is what came of its hand-over.
    pub from: State,
}

/// Settles messages that still stand where they stood; answers which did. What another worker settled, or is handing
/// over, stays as it is.
pub async fn settle(
    tx: &DatabaseTransaction,
    settled: &[Settled],
    now: Timestamp,
) -> Result<BTreeSet<(Workspace, Uuid)>> {
    let mut done = BTreeSet::new();
    for chunk in settled.chunks(1_000) {
        let mut values: Vec<Value> = vec![micros(now).into()];
        let mut tuples = Vec::with_capacity(chunk.len());
        for it in chunk {
            let n = values.len();
            tuples.push(format!("(${}, ${}, ${}, ${}, ${}, ${})", n + 1, n + 2, n + 3, n + 4, n + 5, n + 6));
            values.extend([
                it.workspace.as_str().into(),
                it.id.into(),
                it.state.as_str().into(),
                it.reason.as_str().into(),
                micros(it.next_at).into(),
                it.from.as_str().into(),
            ]);
        }
        let sql = format!(
            "UPDATE message SET state = u.column3, next_at = u.column5, \
             reason = CASE WHEN message.occurrence LIKE 'erased %' THEN '' ELSE u.column4 END, \
             attempts = attempts + CASE WHEN u.column3 = 'claimed' AND message.state = 'claimed' THEN 1 ELSE 0 END, \
             settled_at = CASE WHEN u.column3 = 'claimed' THEN NULL ELSE $1 END FROM (VALUES {}) AS u \
             WHERE message.workspace = u.column1 AND message.id = u.column2 AND message.state = u.column6 \
             RETURNING workspace, id",
            tuples.join(", ")
        );
        for row in query(tx, "messages", &sql, values).await? {
            done.insert((read_workspace(&row, 0)?, column(&row, 1)?));
        }
    }
    Ok(done)
}

/// Messages of a worker that is gone: handed over at or before `before` and never settled. Answers how many.
pub async fn recover(tx: &DatabaseTransaction, to: State, before: Timestamp, now: Timestamp) -> Result<u64> {
    let reason = if to == State::Unknown { "STOPPED_DURING_HANDOVER" } else { "" };
    let sql = "UPDATE message SET state = $1, reason = $2, next_at = $3, \
               settled_at = CASE WHEN $1 = 'claimed' THEN NULL ELSE $3 END \
               WHERE state = 'handing' AND handed_at <= $4";
    let values = vec![to.as_str().into(), reason.into(), micros(now).into(), micros(before).into()];
    execute(tx, "messages of a worker that is gone", sql, values).await
}

/// When the oldest message still being handed over was handed.
pub async fn oldest_handing(db: &impl ConnectionTrait) -> Result<Option<Timestamp>> {
    let sql = "SELECT handed_at FROM message WHERE state = 'handing' ORDER BY handed_at LIMIT 1";
    let row = query_one(db, "the oldest hand-over", sql, vec![]).await?;
    row.map(|row| column(&row, 0).map(from_micros)).transpose()
}

/// What a reaction needs to know of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The decision it carried out.
    pub decision: Option<Uuid>,
    /// Whom it went to.
    pub profile: ProfileId,
    /// The campaign.
    pub campaign: String,
    /// The step.
    pub step: String,
    /// When the next hop took it.
    pub accepted_at: Option<Timestamp>,
}

/// The messages reactions are about; what is not ours is not in it.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: &BTreeSet<Uuid>,
) -> Result<BTreeMap<Uuid, Sent>> {
    let mut values = vec![workspace.as_str().into()];
    let ids = ids.iter().map(|it| (*it).into()).collect();
    let condition = any_of(Backend::of(db), "id", Column::Uuid, ids, &mut values);
    let sql = format!(
        "SELECT id, decision, profile, campaign, step, state, settled_at FROM message \
         WHERE workspace = $1 AND {condition}"
    );
    let rows = query(db, "messages reacted to", &sql, values).await?;
    let sent = rows
        .iter()
        .map(|row| {
            let accepted = state(row, 5)? == State::Accepted;
            let sent = Sent {
                decision: column(row, 1)?,
                profile: ProfileId(column(row, 2)?),
                campaign: column(row, 3)?,
                step: column(row, 4)?,
                accepted_at: column::<Option<i64>>(row, 6)?.filter(|_| accepted).map(from_micros),
            };
            Ok((column(row, 0)?, sent))
        })
        .collect::<Result<BTreeMap<Uuid, Sent>>>()?;
    // What somebody who was erased does with an old message is nobody's business.
    Ok(sent.into_iter().filter(|(_, it)| !it.profile.is_erased()).collect())
}

/// Notes first opens, or first clicks; answers those that were the first, in the order of their ids.
pub async fn react(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    ids: BTreeSet<Uuid>,
    click: bool,
    now: Timestamp,
) -> Result<BTreeSet<Uuid>> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let at = if click { "clicked_at" } else { "opened_at" };
    let mut values = vec![workspace.as_str().into(), micros(now).into()];
    let ids = ids.into_iter().map(Into::into).collect();
    let condition = any_of(Backend::of(tx), "id", Column::Uuid, ids, &mut values);
    let sql = format!(
        "UPDATE message SET {at} = $2 WHERE workspace = $1 AND {at} IS NULL AND {condition} RETURNING id"
    );
    let rows = query(tx, "first reactions", &sql, values).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}
