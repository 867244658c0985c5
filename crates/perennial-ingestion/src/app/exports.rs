//! Everything out again, page by page: each step reads what it answers, and holds nothing open until the next.

use perennial_rpc::facts::{FactFault, KIND, RETOLD, decode};
use perennial_store::StoreError;
use perennial_types::{ProfileId, Timestamp, Workspace, from_micros};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

use super::App;
use crate::domain::export::call;
use crate::domain::identity::id_from;
use crate::domain::settings::Settings;
use crate::domain::sold::{NAMES, Orders, Sold, Within};
use crate::error::Result;
use crate::store::exports::{self, Standing};
use crate::store::profiles::{self, Profile};
use crate::store::records;

/// Places in the log that are read at once.
const PLACES: u64 = 5_000;
/// Events with their bodies that are read at once.
const EVENTS: usize = 500;
/// People whose orders are read at once.
const PEOPLE: u64 = 200;
/// Events about orders that are read at once.
const ORDERS: u64 = 1_000;

/// An event that goes out.
pub struct Gone {
    /// Whose it is now.
    pub profile: ProfileId,
    /// Its message id.
    pub message_id: String,
    /// The kind of call.
    pub call: String,
    /// Its name.
    pub name: String,
    /// When it happened.
    pub at: Timestamp,
    /// When it was received.
    pub received: Timestamp,
    /// The call as JSON of the specification.
    pub json: String,
}

/// An export of the log: how far it is.
pub struct EventsExport {
    app: App,
    workspace: Workspace,
    within: Within,
    after: Uuid,
    before: Uuid,
    /// What is to be read next, in the order of receipt.
    places: VecDeque<Standing>,
    /// Events looked at so far.
    pub read: u64,
}

/// The orders of a person.
pub struct OrdersOf {
    /// The person.
    pub profile: Profile,
    /// Their orders.
    pub orders: Vec<Sold>,
}

/// An export of orders: how far it is.
pub struct OrdersExport {
    app: App,
    workspace: Workspace,
    within: Within,
    settings: Arc<Settings>,
    after: Option<Uuid>,
    before: Uuid,
    /// People looked at so far.
    pub read: u64,
}

impl App {
    /// Begins an export of the log as it is now.
    pub fn export_events(&self, workspace: Workspace, within: Within) -> EventsExport {
        // Nothing happens much later than it is received, so what came long before the beginning is no matter.
        let slack = jiff::SignedDuration::from_hours(1);
        let first = within.start.and_then(|it| it.checked_sub(slack).ok());
        EventsExport {
            app: self.clone(),
            workspace,
            within,
            after: first.map_or(Uuid::nil(), first_id),
            before: self.first_id_from_now(),
            places: VecDeque::new(),
            read: 0,
        }
    }

    /// Begins an export of the orders of all who are known now.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn export_orders(&self, workspace: Workspace, within: Within) -> Result<OrdersExport> {
        Ok(OrdersExport {
            settings: self.book.settings(&workspace).await?,
            app: self.clone(),
            workspace,
            within,
            after: None,
            before: self.first_id_from_now(),
            read: 0,
        })
    }

    /// All ids of what was received up to now are less.
    fn first_id_from_now(&self) -> Uuid {
        let next = self.clock.now().checked_add(jiff::SignedDuration::from_millis(1));
        first_id(next.unwrap_or(Timestamp::MAX))
    }
}

/// The least id of what is received at an instant or later.
fn first_id(at: Timestamp) -> Uuid {
    let id = id_from(at, &[]).as_u128();
    // 48 bits of milliseconds, then the version and what is drawn.
    Uuid::from_u128(id >> 80 << 80)
}

impl EventsExport {
    /// The next events, possibly none that happened in time; nothing at the end.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn next(&mut self) -> Result<Option<Vec<Gone>>> {
        if self.places.is_empty() && !self.look().await? {
            return Ok(None);
        }
        let places: Vec<Standing> = self.places.drain(..EVENTS.min(self.places.len())).collect();
        self.read += places.len() as u64;
        let wanted = |it: &&Standing| self.within.holds(from_micros(it.at));
        let places: Vec<Standing> = places.iter().filter(wanted).copied().collect();
        let ids: Vec<Uuid> = places.iter().map(|it| it.id).collect();
        if ids.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let db = self.app.store.read();
        let mut found = exports::logged(db, &self.workspace, &ids).await?;
        let leaves = found.values().map(|it| it.profile);
        let people = exports::survivors(db, &self.workspace, leaves).await?;
        let gone = |place: &Standing| {
            // Whoever was erased in between is gone with all of theirs.
            let it = found.remove(&place.id)?;
            let (profile, identifiers) = people.get(&it.profile)?;
            let at = from_micros(place.at);
            let message_id = if it.message_id.is_empty() { place.id.to_string() } else { it.message_id };
            Some(Gone {
                profile: *profile,
                json: call(&it.body, &it.call, &message_id, at, identifiers.first()),
                message_id,
                call: it.call,
                name: it.name,
                at,
                received: from_micros(place.received),
            })
        };
        Ok(Some(places.iter().filter_map(gone).collect()))
    }

    /// Looks where the next events stand; whether there are any.
    async fn look(&mut self) -> Result<bool> {
        let db = self.app.store.read();
        let mut found = exports::standings(db, &self.workspace, self.after, self.before, PLACES).await?;
        let Some(last) = found.last().copied() else { return Ok(false) };
        // Within a millisecond ids are drawn by chance, so its events are put in order together, unless they are too many.
        if found.len() as u64 == PLACES {
            let begin = first_id_of(last.id);
            let whole = found.partition_point(|it| it.id < begin);
            if whole > 0 {
                found.truncate(whole);
            }
        }
        self.after = found.last().map_or(last.id, |it| it.id);
        found.sort_by_key(|it| (it.received, it.taken, it.first_seq, it.id));
        self.places = found.into();
        Ok(true)
    }
}

fn corrupt(error: FactFault) -> StoreError {
    StoreError::Corrupt { what: "a fact", reason: error.to_string() }
}

/// The least id of the millisecond of an id.
fn first_id_of(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() >> 80 << 80)
}

impl OrdersExport {
    /// The orders of the next people; nothing at the end.
    ///
    /// # Errors
    /// If the database refuses, or a fact cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<OrdersOf>>> {
        let db = self.app.store.read();
        let mut people = profiles::list(db, &self.workspace, self.after, PEOPLE).await?;
        people.retain(|it| it.id.0 < self.before);
        let Some(last) = people.last() else { return Ok(None) };
        self.after = Some(last.id.0);
        self.read += people.len() as u64;
        let roots = people.iter().map(|it| it.id).collect();
        let mut owner: HashMap<ProfileId, ProfileId> = people.iter().map(|it| (it.id, it.id)).collect();
        // Parents come before their children.
        for (leaf, parent) in profiles::merged(db, &self.workspace, roots).await? {
            if let Some(root) = owner.get(&parent).copied() {
                owner.insert(leaf, root);
            }
        }
        let family: Vec<ProfileId> = owner.keys().copied().collect();
        let mut known: HashMap<ProfileId, Orders> = HashMap::new();
        let mut after = None;
        loop {
            let found = exports::named(db, &self.workspace, &family, &NAMES, after, ORDERS).await?;
            after = found.last().map(|it| it.place.key());
            let places: Vec<_> = found.iter().map(|it| it.place).collect();
            let mut facts = records::read(db, &places).await?;
            for it in &found {
                let Some(root) = owner.get(&it.place.profile) else { continue };
                let orders = known.entry(*root).or_default();
                let event = it.place.event.to_string();
                let message = if it.message_id.is_empty() { &event } else { &it.message_id };
                for seq in it.place.first_seq..it.place.first_seq + it.place.records {
                    let Some(record) = facts.remove(&(it.place.partition, seq)) else { continue };
                    if !record.is_blank() && (record.kind == KIND || record.kind == RETOLD) {
                        orders.take(decode(&record.payload).map_err(corrupt)?, message, &it.body);
                    }
                }
            }
            if (found.len() as u64) < ORDERS {
                break;
            }
        }
        let with_orders = |profile: Profile| {
            let orders = known.remove(&profile.id)?.within(self.within);
            (!orders.is_empty()).then_some(OrdersOf { profile, orders })
        };
        Ok(Some(people.into_iter().filter_map(with_orders).collect()))
    }

    /// The currency of the workspace: of what went back of orders that are not known.
    pub fn currency(&self) -> perennial_types::Currency {
        self.settings.currency
    }
}
