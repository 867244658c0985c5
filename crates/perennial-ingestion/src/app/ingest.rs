//! Taking events in: understand each, hand them to the lanes of their people, and wait until all are committed.

use futures::future::join_all;
use perennial_store::Store;
use perennial_types::{Currency, Identifier, IdentifierKind, ProfileId, Timestamp, Workspace};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::App;
use super::pass::{Taken, partition};
use super::quality::listed;
use super::queue::Job;
use crate::domain::call::{CallKind, Label, Shared};
use crate::domain::commerce::known;
use crate::domain::event::{Event, Meaning};
use crate::domain::flat::Flat;
use crate::domain::identity;
use crate::domain::intake::Envelope;
use crate::domain::normalise::{Arrival, former, key, normalise};
use crate::domain::orders::named_currency;
use crate::domain::plan::Plan;
use crate::domain::problem::Problem;
use crate::domain::settings::Settings;
use crate::error::{Error, Result};
use crate::store::counters::Count;
use crate::store::rejected::Rejected;
use crate::store::{counters, plans, profiles, rejected};

/// How many times as long an event of a service may be as one over a write key.
const TRUSTED: usize = 8;

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the log.
    Accepted,
    /// Was in the log already.
    Duplicate,
    /// Not taken, and listed.
    Rejected(Problem),
}

/// One event on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// The kind of call, if the path names it.
    pub kind: Option<CallKind>,
    /// The event as it was sent.
    pub json: &'a str,
    /// It came before, was refused, and comes again: its time is told as of then.
    pub first_received: Option<Timestamp>,
}

/// Events of one workspace.
pub struct Batch<'a> {
    /// The workspace.
    pub workspace: Workspace,
    /// The events.
    pub sheets: Vec<Sheet<'a>>,
    /// What they share.
    pub envelope: &'a Envelope<'a>,
    /// They are history.
    pub historical: bool,
    /// They come from a service.
    pub trusted: bool,
}

impl App {
    /// Takes events in. When it answers, every event that is not rejected is in the log, and every one that is rejected
    /// is listed with its reason.
    ///
    /// # Errors
    /// [`Error::TooFast`] if the workspace sends more than it may; [`Error::Busy`] if too much waits; [`Error::Behind`] if a
    /// reader of the log is too far behind; [`Error::NotCommitted`] or the database's refusal if it is not certain that all is in the log: send the same again.
    pub async fn ingest(&self, batch: Batch<'_>) -> Result<Vec<Outcome>> {
        if !batch.historical && !batch.trusted {
            self.rate.count(&batch.workspace, batch.sheets.len()).await?;
        }
        self.queues.reserve(batch.sheets.len())?;
        self.take(batch).await
    }

    /// The same for who can wait: where too much waits or is left to a reader, it waits, too.
    ///
    /// # Errors
    /// As [`App::ingest`], but never [`Error::TooFast`], [`Error::Busy`] or [`Error::Behind`].
    pub async fn ingest_when_room(&self, batch: Batch<'_>) -> Result<Vec<Outcome>> {
        self.queues.reserve_when_room(batch.sheets.len()).await;
        self.take(batch).await
    }

    /// Takes events in for which there is room.
    async fn take(&self, batch: Batch<'_>) -> Result<Vec<Outcome>> {
        let many = batch.sheets.len();
        let _room = Room { app: self, events: many };
        let settings = self.settings(&batch).await?;
        let plan = self.plans.of(&batch.workspace).await?;
        let arrival = self.arrival(batch.historical, batch.trusted);
        let mut outcomes: Vec<Option<Outcome>> = vec![None; many];
        let mut good = Vec::with_capacity(many);
        let mut listed = Vec::new();
        let mut observed = Vec::new();
        for (n, sheet) in batch.sheets.iter().enumerate() {
            match self.understand(sheet, &batch.envelope.shared, arrival, &settings, plan.as_deref()) {
                Ok(mut event) => {
                    event.body = batch.envelope.logged(sheet.json);
                    listed.extend(event.warnings.iter().map(|it| warning(&settings, &event, it)));
                    observed.extend(
                        std::mem::take(&mut event.observed).into_iter().map(|it| (n, event.name.clone(), it)),
                    );
                    good.push((n, event));
                }
                Err(problem) => {
                    listed.extend(refusal(&settings, &batch, sheet, arrival, &problem));
                    outcomes[n] = Some(Outcome::Rejected(problem));
                }
            }
        }
        let settings = self.fixed(settings, &good).await?;
        self.costs.fill(&settings, &mut good).await?;
        for (n, taken) in self.commit(&settings, good).await? {
            outcomes[n] = Some(match taken {
                Taken::Accepted => Outcome::Accepted,
                Taken::Duplicate => Outcome::Duplicate,
                Taken::Rejected(problem) => {
                    listed.extend(refusal(&settings, &batch, &batch.sheets[n], arrival, &problem));
                    Outcome::Rejected(problem)
                }
                Taken::Forgotten => {
                    let remedy = "send nothing more about it";
                    Outcome::Rejected(Problem::new("profile", "its person was erased", remedy))
                }
                Taken::Elsewhere(_) => return Err(Error::NotCommitted),
            });
        }
        // A repetition is no further violation.
        observed.retain(|(n, ..)| outcomes[*n] == Some(Outcome::Accepted));
        let observed: Vec<_> = observed.into_iter().map(|(_, name, problem)| (name, problem)).collect();
        self.list(&batch.workspace, listed, &observed, arrival.received).await?;
        let outcomes: Vec<Outcome> =
            outcomes.into_iter().collect::<Option<_>>().ok_or(Error::NotCommitted)?;
        self.measure(&outcomes);
        Ok(outcomes)
    }

    fn measure(&self, outcomes: &[Outcome]) {
        let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|it| wanted(it)).count() as u64;
        self.metrics.request(
            count(|it| *it == Outcome::Accepted),
            count(|it| *it == Outcome::Duplicate),
            count(|it| matches!(it, Outcome::Rejected(_))),
        );
    }

    /// What an event means, if it means anything.
    pub(super) fn understand(
        &self,
        sheet: &Sheet<'_>,
        shared: &Shared<'_>,
        arrival: Arrival,
        settings: &Settings,
        plan: Option<&Plan>,
    ) -> std::result::Result<Event, Problem> {
        // Services and imports tell orders of many lines, and are no strangers.
        let most = self.limits.event_bytes * if arrival.trusted { TRUSTED } else { 1 };
        if sheet.json.len() > most && sheet.first_received.is_none() {
            let reason = format!("it has {} bytes, more than {most}", sheet.json.len());
            return Err(Problem::new("event", reason, "send less in one event"));
        }
        let received = sheet.first_received.unwrap_or(arrival.received);
        let mut event = normalise(sheet.kind, sheet.json, shared, Arrival { received, ..arrival }, settings)?;
        if sheet.first_received.is_some() {
            event.receive_again(arrival.received, arrival.historical, arrival.max_age);
        }
        // What our own services report is agreed among us.
        if let (Some(plan), None) = (plan, event.profile) {
            let verdict = plan.judge(&event.name, event.call == CallKind::Track.as_str(), sheet.json);
            if let Some(problem) = verdict.refused {
                return Err(problem);
            }
            event.observed = verdict.observed;
        }
        Ok(event)
    }

    /// The settings that events are understood by. A workspace without a currency takes the first that is named.
    async fn settings(&self, batch: &Batch<'_>) -> Result<Arc<Settings>> {
        let (settings, fixed) = self.book.with_currency(&batch.workspace).await?;
        if fixed {
            return Ok(settings);
        }
        for sheet in batch.sheets.iter().filter(|it| it.json.contains("\"currency\"")) {
            #[derive(serde::Deserialize)]
            struct Properties<'a> {
                #[serde(borrow)]
                properties: Option<&'a serde_json::value::RawValue>,
            }
            let raw = serde_json::from_str::<Properties<'_>>(sheet.json).ok().and_then(|it| it.properties);
            let named = raw.and_then(|it| Flat::parse(it.get()).ok()).and_then(|it| named_currency(&it));
            if let Some(currency) = named {
                return self.book.adopt(&batch.workspace, currency).await;
            }
        }
        Ok(settings)
    }

    /// Amounts without a currency are in the workspace's; from the first on it stays that.
    async fn fixed(&self, settings: Arc<Settings>, good: &[(usize, Event)]) -> Result<Arc<Settings>> {
        let (_, fixed) = self.book.with_currency(&settings.workspace).await?;
        let is_amount = |meaning: &Meaning| {
            matches!(meaning, Meaning::Order(..) | Meaning::CartAdded(..) | Meaning::CartShown(..))
        };
        if fixed || !good.iter().any(|(_, it)| is_amount(&it.meaning)) {
            return Ok(settings);
        }
        let currency: Currency = settings.currency;
        let now = self.book.adopt(&settings.workspace, currency).await?;
        // Somebody else may have decided on another one at this very moment; then these were understood wrongly.
        if now.currency == currency { Ok(now) } else { Err(Error::NotCommitted) }
    }

    /// Hands events to their lanes and waits for all of them.
    async fn commit(
        &self,
        settings: &Arc<Settings>,
        good: Vec<(usize, Event)>,
    ) -> Result<Vec<(usize, Taken)>> {
        let mut waiting = Vec::new();
        for (partition, events) in self.routed(&settings.workspace, good).await? {
            let (reply, answer) = oneshot::channel();
            let job = Job {
                settings: settings.clone(),
                events: Arc::new(events),
                done: 0,
                outcomes: Vec::new(),
                hops: 0,
                reply,
            };
            self.queues.push(partition, job);
            waiting.push(answer);
        }
        let mut taken = Vec::new();
        for answer in join_all(waiting).await {
            taken.extend(answer.map_err(|_| Error::NotCommitted)?);
        }
        Ok(taken)
    }

    /// Events by the partition that starts with them. Those that may be of the same people stay together, in order.
    async fn routed(
        &self,
        workspace: &Workspace,
        good: Vec<(usize, Event)>,
    ) -> Result<Vec<(u16, Vec<(usize, Event)>)>> {
        if good.is_empty() {
            return Ok(Vec::new());
        }
        if self.queues.lanes() == 1 {
            return Ok(vec![(0, good)]);
        }
        let (hinted, unknown) = self.hints.find(workspace, good.iter().flat_map(|(_, it)| &it.identifiers));
        let mut owners = profiles::owners(self.store.read(), workspace, unknown).await?;
        self.hints.keep(workspace, &owners);
        owners.extend(hinted.into_iter().map(|(identifier, profile)| (identifier.clone(), profile)));
        let groups = groups(&good);
        let mut routed: BTreeMap<usize, (u16, Vec<(usize, Event)>)> = BTreeMap::new();
        for (place, event) in good {
            let group = groups[&place];
            let start = || start(workspace, &event, &owners);
            let (_, events) = routed.entry(group).or_insert_with(|| (start(), Vec::new()));
            events.push((place, event));
        }
        Ok(routed.into_values().collect())
    }

    /// Lists what was refused or left out, and counts it and what was observed.
    async fn list(
        &self,
        workspace: &Workspace,
        listed: Vec<Rejected>,
        observed: &[(String, Problem)],
        at: Timestamp,
    ) -> Result<()> {
        if listed.is_empty() && observed.is_empty() {
            return Ok(());
        }
        let (left_out, refused): (Vec<_>, Vec<_>) = listed.into_iter().partition(|it| it.taken);
        let tx = self.store.write().await?;
        rejected::insert(&tx, workspace, left_out).await?;
        let new = rejected::insert(&tx, workspace, refused).await?;
        let new = i64::try_from(new).unwrap_or(i64::MAX);
        // A lane of its own, so that no committer waits for it.
        counters::add(&tx, -1, &BTreeMap::from([((workspace.clone(), Count::Rejected), new)])).await?;
        plans::count(&tx, workspace, observed, at).await?;
        Ok(Store::commit(tx).await?)
    }
}

/// The room a request takes among what waits; given back however the request ends.
struct Room<'a> {
    app: &'a App,
    events: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.app.queues.release(self.events);
    }
}

/// The partition an event starts at: that of the profile its strongest known identifier belongs to, or of the profile
/// it will make.
fn start(workspace: &Workspace, event: &Event, owners: &HashMap<Identifier, ProfileId>) -> u16 {
    if let Some(profile) = event.profile {
        return partition(profile);
    }
    if let Some(owner) = event.identifiers.iter().find_map(|it| owners.get(it)) {
        return partition(*owner);
    }
    let made = event
        .identifiers
        .first()
        .map(|first| partition(identity::profile_id(&identity::draw_key(workspace, first), event.received)));
    made.unwrap_or_default()
}

/// Which events share an identifier, directly or by way of others: for each place the first place of its group.
fn groups(events: &[(usize, Event)]) -> HashMap<usize, usize> {
    let mut parents: HashMap<usize, usize> = events.iter().map(|(place, _)| (*place, *place)).collect();
    let mut seen: HashMap<Identifier, usize> = HashMap::new();
    fn root(parents: &HashMap<usize, usize>, mut place: usize) -> usize {
        while parents[&place] != place {
            place = parents[&place];
        }
        place
    }
    for (place, event) in events {
        let joined = event.previous.as_deref().map(former).into_iter().flatten().flatten();
        // A profile's own name is no identifier, but holds its events together like one; none looks like this.
        let named =
            event.profile.map(|it| Identifier { kind: IdentifierKind::UserId, value: format!("\0{it}") });
        for identifier in event.identifiers.iter().cloned().chain(joined).chain(named) {
            let there = *seen.entry(identifier).or_insert(*place);
            let (a, b) = (root(&parents, there), root(&parents, *place));
            parents.insert(a.max(b), a.min(b));
        }
    }
    events.iter().map(|(place, _)| (*place, root(&parents, *place))).collect()
}

/// A refused event as it is listed; not if it was listed before and came again.
fn refusal(
    settings: &Settings,
    batch: &Batch<'_>,
    sheet: &Sheet<'_>,
    arrival: Arrival,
    problem: &Problem,
) -> Option<Rejected> {
    if sheet.first_received.is_some() {
        return None;
    }
    let label = Label::of(sheet.kind, sheet.json);
    let message_id = label.message_id.unwrap_or_default();
    let id = Uuid::from_bytes(key(settings, &message_id, arrival.received));
    let name = known(&label.name).map_or(label.name.clone(), |(name, _)| name.to_owned());
    let body = batch.envelope.kept(sheet.json, sheet.kind);
    Some(Rejected {
        historical: batch.historical,
        trusted: batch.trusted,
        ..listed(id, arrival.received, (message_id, name), problem, &body)
    })
}

/// The same person's same fault is listed once, however many events repeat it.
fn warning(settings: &Settings, event: &Event, problem: &Problem) -> Rejected {
    let who = event.identifiers.last().map(|it| it.value.as_str()).unwrap_or_default();
    let same = format!("warning {who} {} {}", problem.field, problem.reason);
    let id = Uuid::from_bytes(key(settings, &same, event.received));
    let said = (event.message_id.clone(), event.name.clone());
    Rejected { taken: true, ..listed(id, event.received, said, problem, &event.body) }
}
