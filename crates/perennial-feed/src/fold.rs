//! What a service writes to be told of everything about a profile, once each and in order: a pure fold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use perennial_store::DatabaseTransaction;
use perennial_types::{ProfileId, Timestamp, Workspace};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Erasing, FoldFault, NewRecord, Personal, Progress, Record};

/// Keyed state for each profile, folded from one or more feeds. `apply`, `fire`, `merge` and `refolded` are pure: the
/// same inputs leave the same state and the same effects, on every machine and on every replay. The crate does the
/// rest: order, timers, merges, parking, and one transaction a batch that is fenced by the checkpoint.
#[async_trait]
pub trait Fold: Send + Sync + 'static {
    /// All this service knows of one profile. Kept as JSON: new fields need `#[serde(default)]`.
    type State: Serialize + DeserializeOwned + Default + Clone + PartialEq + Send + Sync + 'static;
    /// A row for the service's own tables.
    type Row: Send + 'static;
    /// The definitions in force: rules, campaigns, models.
    type Book: Send + Sync + 'static;

    /// Reads the definitions in force, once a batch and inside its transaction.
    ///
    /// # Errors
    /// If the database refuses.
    async fn book(&self, tx: &DatabaseTransaction) -> Result<Arc<Self::Book>, FoldFault>;

    /// Whether a record can matter to this fold at all; one that cannot costs neither a state nor a turn.
    fn concerns(&self, record: &Record) -> bool {
        let _ = record;
        true
    }

    /// Whether a record that concerns this fold matters under the definitions in force; one that does not would change
    /// nothing and leave nothing, and costs neither a state nor a turn. Whoever lets it depend on the book recomputes
    /// profiles when a new definition begins to care.
    fn matters(&self, book: &Self::Book, record: &Record) -> bool {
        let _ = (book, record);
        true
    }

    /// How long this fold waits for what others derive before it goes on without; then its turns say that they are stale,
    /// and what was missing comes out of order. Forever by default: such a fold sees everything in order.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Takes in one record.
    ///
    /// # Errors
    /// [`FoldFault::Poison`] if it cannot be applied: after three tries its profile is parked.
    fn apply(
        &self,
        book: &Self::Book,
        turn: &mut Turn<Self::Row>,
        state: &mut Self::State,
        record: &Record,
    ) -> Result<(), FoldFault>;

    /// A timer this state set has come due.
    ///
    /// # Errors
    /// As for [`Fold::apply`].
    fn fire(
        &self,
        book: &Self::Book,
        turn: &mut Turn<Self::Row>,
        state: &mut Self::State,
        timer: &str,
    ) -> Result<(), FoldFault>;

    /// Another profile was merged into this one; `from` is all that was known of it. Both profiles' timers are set, the
    /// earlier of two with one name.
    ///
    /// # Errors
    /// As for [`Fold::apply`].
    fn merge(
        &self,
        book: &Self::Book,
        turn: &mut Turn<Self::Row>,
        into: &mut Self::State,
        from: Self::State,
    ) -> Result<(), FoldFault>;

    /// This profile ends here: its state moves to the survivor. Leave behind what must be taken back, such as rows.
    ///
    /// # Errors
    /// As for [`Fold::apply`].
    fn depart(
        &self,
        book: &Self::Book,
        turn: &mut Turn<Self::Row>,
        state: &Self::State,
        into: ProfileId,
    ) -> Result<(), FoldFault> {
        let _ = (book, turn, state, into);
        Ok(())
    }

    /// The profile was recomputed from empty: `fresh` is what its facts give. Carry over from `old` what does not come
    /// from facts, and append the difference; what `apply` and `fire` left behind while recomputing is dropped.
    ///
    /// # Errors
    /// As for [`Fold::apply`].
    fn refolded(
        &self,
        book: &Self::Book,
        turn: &mut Turn<Self::Row>,
        old: &Self::State,
        fresh: &mut Self::State,
    ) -> Result<(), FoldFault> {
        let _ = (book, turn, old, fresh);
        Ok(())
    }

    /// Whether something of a state that moves to a survivor has to be kept as it was: what does not come from facts, and
    /// would be lost if the merge is undone.
    fn outlasts(&self, state: &Self::State) -> bool {
        let _ = state;
        false
    }

    /// A merge was undone, and the profile is about to be recomputed. `old` is what is known of the survivor; of a profile
    /// that comes back, what it left when it was merged away, if that [outlasts](Self::outlasts) the merge. Leave in it what
    /// is the profile's own; [`Fold::refolded`] follows. By default a profile that comes back has only its facts.
    ///
    /// # Errors
    /// As for [`Fold::apply`].
    fn parted(
        &self,
        book: &Self::Book,
        turn: &mut Turn<Self::Row>,
        old: &mut Self::State,
        parted: &Parted<Self::State>,
    ) -> Result<(), FoldFault> {
        let _ = (book, turn);
        if let Parted::Returned { .. } = parted {
            *old = Self::State::default();
        }
        Ok(())
    }

    /// Visits a profile on an errand (see [`crate::Reader::start_errand`]): a new model to score by, a new rule to test.
    ///
    /// # Errors
    /// As for [`Fold::apply`].
    fn visit(
        &self,
        book: &Self::Book,
        turn: &mut Turn<Self::Row>,
        state: &mut Self::State,
        errand: &str,
    ) -> Result<(), FoldFault> {
        let _ = (book, turn, state, errand);
        Ok(())
    }

    /// The service's own tables that hold rows about people. All of them: an export shows their rows, and an erasure takes
    /// them out.
    fn personal(&self) -> &'static [Personal];

    /// Takes out of the service's own tables what a person left there beyond [`Fold::personal`], which is done by then, and
    /// says so on the receipt. `state` is what was known of them, so that it can be found.
    ///
    /// # Errors
    /// If the database refuses.
    async fn erase(
        &self,
        tx: &DatabaseTransaction,
        erasing: &mut Erasing,
        state: &Self::State,
    ) -> Result<(), FoldFault> {
        let _ = (tx, erasing, state);
        Ok(())
    }

    /// After an erasure was committed, and before its receipt is sent: what has to be done elsewhere. It may be repeated.
    ///
    /// # Errors
    /// What stands against it, for the log; it is tried again later.
    async fn erased(&self, workspace: &Workspace, erasure: Uuid, profile: ProfileId) -> Result<(), String> {
        let _ = (workspace, erasure, profile);
        Ok(())
    }

    /// Writes the rows that the batch left behind, set-based.
    ///
    /// # Errors
    /// If the database refuses.
    async fn write(&self, tx: &DatabaseTransaction, rows: Vec<Self::Row>) -> Result<(), FoldFault>;
}

/// Which side of an undone merge a profile is.
#[derive(Clone, Debug)]
pub enum Parted<State> {
    /// It had become another profile, and comes back.
    Returned {
        /// Those that had become this one, and come back as part of it.
        leaves: Vec<ProfileId>,
    },
    /// The other came back from it.
    Survivor {
        /// When the other had become this one.
        merged: Timestamp,
        /// What the other had left then, if that outlasted the merge.
        left: Box<State>,
    },
}

/// A message to another service, delivered after the commit until it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its id: the idempotency key at the receiver.
    pub id: Uuid,
    /// The workspace.
    pub workspace: Workspace,
    /// Whom it is for, such as `notification`.
    pub target: &'static str,
    /// Not before this instant.
    pub not_before: Timestamp,
    /// The message, encoded.
    pub payload: Vec<u8>,
    /// Whom it is about: an erasure takes it back.
    pub profile: Option<ProfileId>,
}

/// One step of a fold: what it can see, and what it leaves behind.
#[derive(Debug)]
pub struct Turn<Row> {
    pub(crate) workspace: Workspace,
    pub(crate) profile: ProfileId,
    pub(crate) source: Arc<str>,
    pub(crate) at: Timestamp,
    pub(crate) origin: Progress,
    pub(crate) historical: bool,
    pub(crate) correction: bool,
    pub(crate) stale: bool,
    pub(crate) timers: Timers,
    pub(crate) records: Vec<(Progress, NewRecord)>,
    pub(crate) rows: Vec<Row>,
    pub(crate) commands: Vec<Command>,
}

impl<Row> Turn<Row> {
    /// A turn by itself, for testing folds.
    #[must_use]
    pub fn new(workspace: Workspace, profile: ProfileId, at: Timestamp) -> Self {
        Self {
            workspace,
            profile,
            source: "ingestion".into(),
            at,
            origin: Progress { seq: 0, instant: at },
            historical: false,
            correction: false,
            stale: false,
            timers: Timers::default(),
            records: Vec::new(),
            rows: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> ProfileId {
        self.profile
    }

    /// The feed the record came from; the fold's own name for a timer.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The instant of this step: when the record was received or derived, or when the timer was due.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What this step reflects.
    #[must_use]
    pub fn origin(&self) -> Progress {
        self.origin
    }

    /// Change state, but start and send nothing.
    #[must_use]
    pub fn historical(&self) -> bool {
        self.historical
    }

    /// Some source has not come as far as this step, and the fold's patience is at its end.
    #[must_use]
    pub fn stale(&self) -> bool {
        self.stale
    }

    /// Says whether what this turn leaves behind is history; for visits, where the errand decides.
    pub fn set_historical(&mut self, historical: bool) {
        self.historical = historical;
    }

    /// Appends a record about this profile to the service's own feed.
    pub fn append(&mut self, kind: &'static str, payload: &impl prost::Message) {
        let record = NewRecord {
            workspace: self.workspace.clone(),
            profile: self.profile,
            kind,
            historical: self.historical,
            correction: self.correction,
            payload: payload.encode_to_vec().into(),
        };
        self.records.push((self.origin, record));
    }

    /// Leaves a row for [`Fold::write`].
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Leaves a command for the service's outbox.
    pub fn command(
        &mut self,
        target: &'static str,
        id: Uuid,
        not_before: Timestamp,
        payload: &impl prost::Message,
    ) {
        let (workspace, profile) = (self.workspace.clone(), Some(self.profile));
        let payload = payload.encode_to_vec();
        self.commands.push(Command { id, workspace, target, not_before, payload, profile });
    }

    /// Sets or moves the timer `key` of this profile. One that is due already fires right after this step.
    pub fn set_timer(&mut self, key: impl Into<String>, due: Timestamp) {
        let historical = self.historical && due <= self.origin.instant;
        self.timers.0.insert(key.into(), Timer { due, set: self.origin, historical });
    }

    /// Takes back the timer `key`, if it is set.
    pub fn cancel_timer(&mut self, key: &str) {
        self.timers.0.remove(key);
    }

    /// When the timer `key` is due, if it is set.
    #[must_use]
    pub fn timer(&self, key: &str) -> Option<Timestamp> {
        self.timers.0.get(key).map(|it| it.due)
    }

    /// The names of all timers that are set.
    pub fn timer_keys(&self) -> impl Iterator<Item = &str> {
        self.timers.0.keys().map(String::as_str)
    }

    /// What was appended so far, by kind: for testing folds.
    #[must_use]
    pub fn appended(&self) -> Vec<(&'static str, &[u8])> {
        self.records.iter().map(|(_, it)| (it.kind, it.payload.as_ref())).collect()
    }

    /// The commands left so far: for testing folds.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The rows left so far: for testing folds.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Takes the earliest timer that is due at or before `at` and moves the turn to its instant: for testing folds.
    pub fn advance(&mut self, at: Timestamp) -> Option<String> {
        let (key, timer) = self.timers.next().map(|(key, timer)| (key.to_owned(), timer))?;
        if timer.instant() > at {
            return None;
        }
        self.timers.0.remove(&key);
        self.at = timer.due;
        self.origin.instant = self.origin.instant.max(timer.due);
        self.historical = timer.historical;
        Some(key)
    }
}

/// A profile's timers by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timers(pub(crate) BTreeMap<String, Timer>);

/// One timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timer {
    pub(crate) due: Timestamp,
    /// Where the world stood when it was set.
    pub(crate) set: Progress,
    pub(crate) historical: bool,
}

impl Timer {
    /// When it fires: when it is due, or right after the step that set it if that was later.
    pub(crate) fn instant(&self) -> Timestamp {
        self.due.max(self.set.instant)
    }

    /// Whether it fires before a record with this origin. One due at an ingestion record's very instant goes first; after
    /// a derived record of its instant it comes second, so that it sees everything that instant brought, as does one
    /// that was set by that ingestion record itself.
    pub(crate) fn precedes(&self, origin: Progress, is_source: bool) -> bool {
        self.instant() < origin.instant
            || (is_source && self.instant() == origin.instant && self.set.seq < origin.seq)
    }
}

impl Timers {
    /// The next to fire: by instant, then by name.
    pub(crate) fn next(&self) -> Option<(&str, Timer)> {
        self.0.iter().min_by_key(|(key, it)| (it.instant(), *key)).map(|(key, it)| (key.as_str(), *it))
    }

    /// The instant of the next to fire.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.0.values().map(Timer::instant).min()
    }

    /// Changes where the timers count as set: positions of one partition mean nothing in another.
    pub(crate) fn rebase(&mut self, set: impl Fn(Progress) -> Progress) {
        for timer in self.0.values_mut() {
            timer.set = set(timer.set);
        }
    }

    /// Adds another profile's timers, as if set by the merge; of two with one name the earlier stays.
    pub(crate) fn unite(&mut self, mut other: Self, merge: Progress) {
        other.rebase(|_| merge);
        for (key, timer) in other.0 {
            let kept = self.0.entry(key).or_insert(timer);
            if timer.due < kept.due {
                *kept = timer;
            }
        }
    }
}

/// A timer as it is kept: due, where it was set, historical.
#[derive(Serialize, Deserialize)]
struct StoredTimer(i64, u64, i64, u8);

impl Serialize for Timer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = perennial_types::micros;
        StoredTimer(micros(self.due), self.set.seq, micros(self.set.instant), self.historical.into())
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Timer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StoredTimer(due, seq, instant, historical) = StoredTimer::deserialize(deserializer)?;
        let set = Progress { seq, instant: perennial_types::from_micros(instant) };
        Ok(Self { due: perennial_types::from_micros(due), set, historical: historical != 0 })
    }
}
