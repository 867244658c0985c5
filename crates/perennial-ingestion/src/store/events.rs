//! The event log: every event as it was sent, whose it was then, and where its facts stand in the feed.

use perennial_feed::PARTITIONS;
use perennial_store::{
    Backend, Column, ConnectionTrait, Result, Table, Value, any_of, column, execute, insert_rows, query,
};
use perennial_types::{ProfileId, Workspace, micros};
use uuid::Uuid;

use crate::domain::event::Event;

/// Events as they were sent.
pub const EVENTS: Table = Table {
    name: "event",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("profile", Column::Uuid),
        ("at", Column::BigInt),
        ("received", Column::BigInt),
        ("partition", Column::BigInt),
        ("first_seq", Column::BigInt),
        ("records", Column::BigInt),
        ("call", Column::Text),
        ("name", Column::Text),
        ("message_id", Column::Text),
        ("historical", Column::Bool),
        ("body", Column::Text),
        ("taken", Column::BigInt),
    ],
};

/// One row of the log. `taken` orders events by when they were taken in, as `received` does not: a batch has one moment of
/// receipt, and the place in the feed changes when an event is told anew.
pub fn row(
    workspace: &Workspace,
    event: &Event,
    taken: i64,
    leaf: ProfileId,
    first_seq: u64,
    records: usize,
) -> Vec<Value> {
    vec![
        workspace.as_str().into(),
        event.id.into(),
        leaf.0.into(),
        micros(event.at).into(),
        micros(event.received).into(),
        i64::from(leaf.partition(PARTITIONS)).into(),
        i64::try_from(first_seq).unwrap_or(i64::MAX).into(),
        i64::try_from(records).unwrap_or(i64::MAX).into(),
        event.call.into(),
        event.name.as_str().into(),
        event.message_id.as_str().into(),
        event.historical.into(),
        event.body.as_str().into(),
        taken.into(),
    ]
}

/// Writes rows of the log.
///
/// # Errors
/// If the database refuses.
pub async fn insert(tx: &impl ConnectionTrait, rows: Vec<Vec<Value>>) -> Result<()> {
    insert_rows(tx, &EVENTS, rows, "").await?;
    Ok(())
}

/// An event with all that the log has of it.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Its row, as it is written.
    pub row: Vec<Value>,
    /// Where its facts stand.
    pub place: Place,
    /// The kind of call.
    pub call: String,
    /// It was history when it came.
    pub historical: bool,
    /// The event as it was sent.
    pub body: String,
}

impl Whole {
    /// The row of an event that is `leaf`'s now, and whose facts stand elsewhere.
    pub fn moved(mut self, leaf: ProfileId, partition: u16, first_seq: u64, records: usize) -> Vec<Value> {
        let seq = i64::try_from(first_seq).unwrap_or(i64::MAX);
        let many = i64::try_from(records).unwrap_or(i64::MAX);
        let changed: [(&str, Value); 4] = [
            ("profile", leaf.0.into()),
            ("partition", i64::from(partition).into()),
            ("first_seq", seq.into()),
            ("records", many.into()),
        ];
        for (name, value) in changed {
            if let Some(n) = EVENTS.columns.iter().position(|it| it.0 == name)
                && let Some(there) = self.row.get_mut(n)
            {
                *there = value;
            }
        }
        self.row
    }
}

/// Reads all events of some profiles as they were taken in; at most `limit`.
///
/// # Errors
/// If the database refuses.
pub async fn whole(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profiles: &[ProfileId],
    limit: u64,
) -> Result<Vec<Whole>> {
    let mut values = vec![workspace.as_str().into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let wanted = profiles.iter().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "profile", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "SELECT id, profile, at, received, partition, first_seq, records, call, name, message_id, historical, body, \
         taken FROM event WHERE workspace = $1 AND {condition} \
         ORDER BY CASE taken WHEN 0 THEN received ELSE taken END, received, first_seq, id LIMIT $2"
    );
    let rows = query(db, "the event log", &sql, values).await?;
    rows.iter()
        .map(|row| {
            let place = Place {
                event: column(row, 0)?,
                profile: ProfileId(column(row, 1)?),
                at: column(row, 2)?,
                received: column(row, 3)?,
                partition: u16::try_from(column::<i64>(row, 4)?).unwrap_or(u16::MAX),
                first_seq: column(row, 5)?,
                records: column(row, 6)?,
            };
            let (call, name, message): (String, String, String) =
                (column(row, 7)?, column(row, 8)?, column(row, 9)?);
            let (historical, body): (bool, String) = (column(row, 10)?, column(row, 11)?);
            let values = vec![
                workspace.as_str().into(),
                place.event.into(),
                place.profile.0.into(),
                place.at.into(),
                place.received.into(),
                column::<i64>(row, 4)?.into(),
                place.first_seq.into(),
                place.records.into(),
                call.as_str().into(),
                name.into(),
                message.into(),
                historical.into(),
                body.as_str().into(),
                column::<i64>(row, 12)?.into(),
            ];
            Ok(Whole { row: values, place, call, historical, body })
        })
        .collect()
}

/// Writes rows of events whose owner or place changed.
///
/// # Errors
/// If the database refuses.
pub async fn update(tx: &impl ConnectionTrait, rows: Vec<Vec<Value>>) -> Result<()> {
    let update = "ON CONFLICT (workspace, id) DO UPDATE SET profile = excluded.profile, \
                  partition = excluded.partition, first_seq = excluded.first_seq, records = excluded.records";
    insert_rows(tx, &EVENTS, rows, update).await?;
    Ok(())
}

/// Takes a profile's events out of the log.
///
/// # Errors
/// If the database refuses.
pub async fn remove(tx: &impl ConnectionTrait, workspace: &Workspace, profile: ProfileId) -> Result<u64> {
    let sql = "DELETE FROM event WHERE workspace = $1 AND profile = $2";
    execute(tx, "events", sql, vec![workspace.as_str().into(), profile.0.into()]).await
}

/// What orders events: event time, then receipt (both in microseconds), then the place in the feed, then the id.
pub type Key = (i64, i64, i64, Uuid);

/// Where the facts of one event stand in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Event time in microseconds.
    pub at: i64,
    /// When it was received, in microseconds.
    pub received: i64,
    /// The event.
    pub event: Uuid,
    /// The leaf profile it was of.
    pub profile: ProfileId,
    /// The partition its records stand in.
    pub partition: u16,
    /// The first of its records.
    pub first_seq: i64,
    /// How many there are.
    pub records: i64,
}

impl Place {
    /// Its key in event order.
    pub fn key(&self) -> Key {
        (self.at, self.received, self.first_seq, self.event)
    }
}

/// Finds the events of profiles in event order, after a place, at most `limit`.
///
/// # Errors
/// If the database refuses.
pub async fn places(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    profiles: &[ProfileId],
    after: Option<Key>,
    limit: u64,
) -> Result<Vec<Place>> {
    let (at, received, seq, id) = after.unwrap_or((i64::MIN, 0, 0, Uuid::nil()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values =
        vec![workspace.as_str().into(), at.into(), received.into(), seq.into(), id.into(), limit.into()];
    let wanted = profiles.iter().map(|it| it.0.into()).collect();
    let condition = any_of(Backend::of(db), "profile", Column::Uuid, wanted, &mut values);
    let sql = format!(
        "SELECT at, id, profile, first_seq, records, received, partition FROM event WHERE workspace = $1 AND {condition} \
         AND (at, received, first_seq, id) > ($2, $3, $4, $5) ORDER BY at, received, first_seq, id LIMIT $6"
    );
    let rows = query(db, "the event log", &sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok(Place {
                at: column(row, 0)?,
                event: column(row, 1)?,
                profile: ProfileId(column(row, 2)?),
                first_seq: column(row, 3)?,
                records: column(row, 4)?,
                received: column(row, 5)?,
                partition: u16::try_from(column::<i64>(row, 6)?).unwrap_or(u16::MAX),
            })
        })
        .collect()
}
