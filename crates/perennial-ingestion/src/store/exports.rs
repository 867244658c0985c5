//! The log page by page, for exports: keyset over keys there are, and no statement reads more than a page.

use perennial_store::{Backend, Column, ConnectionTrait, Result, any_of, column, query};
use perennial_types::{Identifier, ProfileId, Workspace};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

use super::events::{Key, Place};
use super::profiles;

/// Where an event stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The event. Ids ascend by the millisecond of receipt.
    pub id: Uuid,
    /// Event time in microseconds.
    pub at: i64,
    /// When it was received, in microseconds.
    pub received: i64,
    /// Its number among all as they were taken in; 0 for those of before there were such numbers.
    pub taken: i64,
    /// The first of its records in the feed.
    pub first_seq: i64,
}

/// Finds the events after one and before another, in the order of their ids, at most `limit`.
///
/// # Errors
/// If the database refuses.
pub async fn standings(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    after: Uuid,
    before: Uuid,
    limit: u64,
) -> Result<Vec<Standing>> {
    let sql = "SELECT id, at, received, taken, first_seq FROM event WHERE workspace = $1 AND id > $2 AND id < $3 \
               ORDER BY id LIMIT $4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), after.into(), before.into(), limit.into()];
    let rows = query(db, "the event log", sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                id: column(row, 0)?,
                at: column(row, 1)?,
                received: column(row, 2)?,
                taken: column(row, 3)?,
                first_seq: column(row, 4)?,
            })
        })
        .collect()
}

/// An event as the log keeps it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The leaf profile it was of.
    pub profile: ProfileId,
    /// The kind of call.
    pub call: String,
    /// Its name.
    pub name: String,
    /// Its message id; empty in rows of before every event had one.
    pub message_id: String,
    /// The event as it was sent.
    pub body: String,
}

/// Reads events by their ids.
///
/// # Errors
/// If the database refuses.
pub async fn logged(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Logged>> {
    let mut values = vec![workspace.as_str().into()];
    let wanted = ids.iter().map(|it| (*it).into()).collect();
    let condition = any_of(Backend::of(db), "id", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "SELECT id, profile, call, name, message_id, body FROM event WHERE workspace = $1 AND {condition}"
    );
    let rows = query(db, "the event log", &sql, values).await?;
    rows.iter()
        .map(|row| {
            let logged = Logged {
                profile: ProfileId(column(row, 1)?),
                call: column(row, 2)?,
                name: column(row, 3)?,
                message_id: column(row, 4)?,
                body: column(row, 5)?,
            };
            Ok((column(row, 0)?, logged))
        })
        .collect()
}

/// An event about an order.
#[derive(Clone, Debug)]
pub struct OrderEvent {
    /// Where its facts stand.
    pub place: Place,
    /// Its message id; empty in rows of before every event had one.
    pub message_id: String,
    /// The event as it was sent.
    pub body: String,
}

/// Finds the events of profiles that have one of `names`, in event order, after a place, at most `limit`.
///
/// # Errors
/// If the database refuses.
pub async fn named(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profiles: &[ProfileId],
    names: &[&str],
    after: Option<Key>,
    limit: u64,
) -> Result<Vec<OrderEvent>> {
    let (at, received, seq, id) = after.unwrap_or((i64::MIN, 0, 0, Uuid::nil()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values =
        vec![workspace.as_str().into(), at.into(), received.into(), seq.into(), id.into(), limit.into()];
    let wanted = profiles.iter().map(|it| it.0.into()).collect();
    let of = any_of(Backend::of(db), "profile", Column::Uuid, wanted, &mut values);
    let names = names.iter().map(|it| (*it).into()).collect();
    let called = any_of(Backend::of(db), "name", Column::Text, names, &mut values);
    let sql = format!(
        "SELECT at, id, profile, first_seq, records, received, partition, message_id, body FROM event \
         WHERE workspace = $1 AND {of} AND {called} AND (at, received, first_seq, id) > ($2, $3, $4, $5) \
         ORDER BY at, received, first_seq, id LIMIT $6"
    );
    let rows = query(db, "the event log", &sql, values).await?;
    rows.iter()
        .map(|row| {
            let place = Place {
                at: column(row, 0)?,
                event: column(row, 1)?,
                profile: ProfileId(column(row, 2)?),
                first_seq: column(row, 3)?,
                records: column(row, 4)?,
                received: column(row, 5)?,
                partition: u16::try_from(column::<i64>(row, 6)?).unwrap_or(u16::MAX),
            };
            Ok(OrderEvent { place, message_id: column(row, 7)?, body: column(row, 8)? })
        })
        .collect()
}

/// A person: the profile that stands for it now, and what recognises it.
pub type Survivor = (ProfileId, BTreeSet<Identifier>);

/// Who profiles are now. One that is not known any more is left out.
///
/// # Errors
/// If the database refuses.
pub async fn survivors(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    asked: impl IntoIterator<Item = ProfileId>,
) -> Result<HashMap<ProfileId, Survivor>> {
    let asked: BTreeSet<ProfileId> = asked.into_iter().collect();
    let mut known: HashMap<ProfileId, (Option<ProfileId>, BTreeSet<Identifier>)> = HashMap::new();
    let mut wanted = asked.clone();
    // One round for each generation of merges, which never point back; a profile takes part in at most 100.
    while !wanted.is_empty() {
        let mut values = vec![workspace.as_str().into()];
        let ids = wanted.iter().map(|it| it.0.into()).collect();
        let condition = any_of(Backend::of(db), "id", Column::Uuid, ids, &mut values);
        let sql =
            format!("SELECT id, merged_into, identifiers FROM profile WHERE workspace = $1 AND {condition}");
        let rows = query(db, "who profiles are now", &sql, values).await?;
        wanted.clear();
        for row in &rows {
            let into = column::<Option<Uuid>>(row, 1)?.map(ProfileId);
            let identifiers = profiles::identifiers(&column::<String>(row, 2)?)?;
            known.insert(ProfileId(column(row, 0)?), (into, identifiers));
            wanted.extend(into);
        }
        wanted.retain(|it| !known.contains_key(it));
    }
    let now = |asked: ProfileId| {
        let mut at = (asked, known.get(&asked)?);
        while let Some(into) = at.1.0 {
            at = (into, known.get(&into)?);
        }
        Some((asked, (at.0, at.1.1.clone())))
    };
    Ok(asked.into_iter().filter_map(now).collect())
}
