//! Mending events that were refused, and sending them in again.

use perennial_store::Store;
use perennial_types::{Timestamp, Workspace};
use serde_json::Value;
use uuid::Uuid;

use super::App;
use super::ingest::{Batch, Outcome, Sheet};
use crate::domain::intake::Envelope;
use crate::domain::normalise::Arrival;
use crate::domain::problem::{Problem, shortened};
use crate::error::{Error, Result};
use crate::store::rejected::{self, Cause, Chosen, Rejected};

/// How many mended events are shown.
const SAMPLES: usize = 5;

/// How events are mended.
#[derive(Clone, Debug)]
pub enum Patch {
    /// As they were sent.
    TakeBack,
    /// RFC 6902.
    Operations(json_patch::Patch),
    /// RFC 7386.
    Merge(Value),
}

impl Patch {
    /// Reads a JSON Patch.
    ///
    /// # Errors
    /// [`Error::Field`] if it is none.
    pub fn operations(text: &str) -> Result<Self> {
        let read = serde_json::from_str(text).map(Self::Operations);
        read.map_err(|error| {
            let problem = format!("is no JSON Patch ({error}): send a list of operations (RFC 6902)");
            Error::field("json_patch", problem)
        })
    }

    /// Reads a JSON Merge Patch.
    ///
    /// # Errors
    /// [`Error::Field`] if it is none.
    pub fn merge(text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(patch @ Value::Object(_)) => Ok(Self::Merge(patch)),
            _ => Err(Error::field("merge_patch", "is no JSON object: send what is to change (RFC 7386)")),
        }
    }

    /// An event as it is after this; none if it is as it was sent.
    fn apply(&self, it: &Rejected) -> std::result::Result<Option<String>, String> {
        if matches!(self, Self::TakeBack) {
            return Ok(None);
        }
        let now = it.fixed.as_ref().unwrap_or(&it.body);
        let mut event: Value =
            serde_json::from_str(now).map_err(|error| format!("it is not JSON: {error}"))?;
        match self {
            Self::TakeBack => {}
            Self::Operations(patch) => {
                json_patch::patch(&mut event, patch).map_err(|error| error.to_string())?;
            }
            Self::Merge(patch) => json_patch::merge(&mut event, patch),
        }
        Ok(Some(event.to_string()))
    }
}

/// An event after a patch.
#[derive(Clone, Debug)]
pub struct Mended {
    /// Its id.
    pub id: Uuid,
    /// As it would be sent in.
    pub body: String,
    /// What is still wrong.
    pub problem: Option<String>,
}

/// What became of a page of events by a patch.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    /// Would be taken.
    pub good: i64,
    /// Would still be refused.
    pub bad: i64,
    /// The patch does not fit.
    pub skipped: i64,
    /// A few of them.
    pub samples: Vec<Mended>,
}

/// What became of a page of events that were sent in again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// In the log.
    pub accepted: i64,
    /// Were there already.
    pub duplicate: i64,
    /// Refused again.
    pub rejected: i64,
    /// Not kept whole.
    pub blocked: i64,
}

/// Why an event cannot be sent in again, if so.
pub fn blocked(it: &Rejected) -> Option<&'static str> {
    match (it.taken, it.whole) {
        (true, _) => Some("it was taken, only the field was left out"),
        (false, false) => Some("it was not kept whole"),
        _ => None,
    }
}

impl App {
    /// Why events were refused, the most frequent cause first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn causes(&self, workspace: &Workspace, limit: u64) -> Result<Vec<Cause>> {
        Ok(rejected::causes(self.store.read(), workspace, limit).await?)
    }

    /// A page of those that wait, oldest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn waiting(
        &self,
        workspace: &Workspace,
        chosen: &Chosen,
        after: Option<(i64, Uuid)>,
        limit: u64,
    ) -> Result<Vec<Rejected>> {
        Ok(rejected::waiting(self.store.read(), workspace, chosen, after, limit).await?)
    }

    /// Mends events; with `only_check` it only says what would become of them.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn fix(
        &self,
        workspace: &Workspace,
        events: Vec<Rejected>,
        patch: &Patch,
        only_check: bool,
    ) -> Result<Fixed> {
        let (settings, _) = self.book.with_currency(workspace).await?;
        let plan = self.plans.of(workspace).await?;
        let mut told = Fixed::default();
        let mut changed = Vec::new();
        for mut it in events {
            let problem = match patch.apply(&it) {
                _ if blocked(&it).is_some() => {
                    told.skipped += 1;
                    blocked(&it).map(str::to_owned)
                }
                Err(problem) => {
                    told.skipped += 1;
                    Some(problem)
                }
                Ok(fixed) => {
                    it.fixed = fixed;
                    let arrival = self.arrival(it.historical, it.trusted);
                    let sheet = sheet(&it);
                    let envelope = Envelope::default();
                    let understood =
                        self.understand(&sheet, &envelope.shared, arrival, &settings, plan.as_deref());
                    changed.push(it.clone());
                    match understood {
                        Ok(_) => told.good += 1,
                        Err(_) => told.bad += 1,
                    }
                    understood.err().map(|it| it.to_string())
                }
            };
            if told.samples.len() < SAMPLES {
                let body = shortened(it.fixed.as_ref().unwrap_or(&it.body), 4_096);
                told.samples.push(Mended { id: it.id, body, problem });
            }
        }
        if !only_check {
            let tx = self.store.write().await?;
            rejected::update(&tx, workspace, changed).await?;
            Store::commit(tx).await?;
        }
        Ok(told)
    }

    /// Sends events in again, as they would have come at first. Each counts once, however often this is done: what was
    /// taken is written down only after, and by then is known as a repetition.
    ///
    /// # Errors
    /// As [`App::ingest`].
    pub async fn replay(&self, workspace: &Workspace, events: Vec<Rejected>) -> Result<Replayed> {
        let mut told = Replayed::default();
        let (whole, cut): (Vec<_>, Vec<_>) = events.into_iter().partition(|it| blocked(it).is_none());
        told.blocked = i64::try_from(cut.len()).unwrap_or(i64::MAX);
        let mut changed = Vec::with_capacity(whole.len());
        let envelope = Envelope::default();
        for (historical, trusted) in [(false, false), (false, true), (true, false), (true, true)] {
            let some: Vec<Rejected> = whole
                .iter()
                .filter(|it| (it.historical, it.trusted) == (historical, trusted))
                .cloned()
                .collect();
            let named: Vec<Rejected> = some.into_iter().map(with_message_id).collect();
            let batch = Batch {
                workspace: workspace.clone(),
                sheets: named.iter().map(sheet).collect(),
                envelope: &envelope,
                historical,
                trusted,
            };
            let outcomes = self.ingest_when_room(batch).await?;
            for (mut it, outcome) in named.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Accepted => told.accepted += 1,
                    Outcome::Duplicate => told.duplicate += 1,
                    Outcome::Rejected(_) => told.rejected += 1,
                }
                match outcome {
                    Outcome::Rejected(problem) => {
                        it.cause = problem.cause(&it.name);
                        it.problem = problem;
                    }
                    _ => it.replayed = Some(self.clock.now()),
                }
                changed.push(it);
            }
        }
        let tx = self.store.write().await?;
        rejected::update(&tx, workspace, changed).await?;
        Store::commit(tx).await?;
        Ok(told)
    }

    pub(super) fn arrival(&self, historical: bool, trusted: bool) -> Arrival {
        Arrival { received: self.clock.now(), historical, max_age: self.max_age, trusted }
    }
}

fn sheet(it: &Rejected) -> Sheet<'_> {
    let json = it.fixed.as_ref().unwrap_or(&it.body);
    Sheet { kind: None, json, first_received: Some(it.received) }
}

/// An event without an id of its own gets one that is the same each time it is sent in again.
fn with_message_id(mut it: Rejected) -> Rejected {
    let json = it.fixed.as_ref().unwrap_or(&it.body);
    let Ok(Value::Object(mut event)) = serde_json::from_str(json) else { return it };
    let named = event
        .get("messageId")
        .is_some_and(|it| it.as_str().is_none_or(|it| !it.trim().is_empty()) && !it.is_null());
    if !named {
        event.insert("messageId".to_owned(), format!("rejected-{}", it.id).into());
        it.fixed = Some(Value::Object(event).to_string());
    }
    it
}

/// A refused event as it is listed.
pub fn listed(
    id: Uuid,
    received: Timestamp,
    (message_id, name): (String, String),
    problem: &Problem,
    body: &str,
) -> Rejected {
    /// Most characters of a body that are kept; more than any event may have with what its batch says of it.
    const KEPT: usize = 64 * 1024;
    let body = body.replace('\0', "");
    Rejected {
        id,
        received,
        message_id,
        cause: problem.cause(&name),
        name,
        problem: problem.clone(),
        taken: false,
        whole: body.len() <= KEPT,
        body: shortened(&body, KEPT),
        historical: false,
        trusted: false,
        fixed: None,
        replayed: None,
    }
}
