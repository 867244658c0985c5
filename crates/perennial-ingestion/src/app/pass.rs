//! One pass over the events of one workspace in one transaction: everything is loaded before, nothing is awaited here,
//! and what has to be written comes out as lists.

use perennial_api::ingestion::v1::ProfileUpdated;
use perennial_feed::{Merge, NewRecord, PARTITIONS};
use perennial_types::{Identifier, IdentifierKind, MergeId, ProfileId, Workspace, new_id};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::domain::event::Event;
use crate::domain::graph::{Apart, Graph, Node};
use crate::domain::identity;
use crate::domain::normalise::former;
use crate::domain::person::{Person, Reach};
use crate::domain::problem::Problem;
use crate::domain::settings::Settings;
use crate::store::counters::Count;
use crate::store::merges::Merged;
use crate::store::profiles::Profile;

/// The kind of a feed record that tells what others need to know of a profile besides facts.
pub const PROFILE: &str = "profile";

/// What became of one event in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// In the log.
    Accepted,
    /// Was in it before.
    Duplicate,
    /// Cannot be taken in.
    Rejected(Problem),
    /// It names somebody who was erased: nothing of it is kept.
    Forgotten,
    /// The next step belongs to another partition; steps done so far stand.
    Elsewhere(u16),
}

/// A profile in memory.
struct Held {
    profile: Profile,
    told: Option<Reach>,
    changed: bool,
}

/// What has to be written.
#[derive(Default)]
pub struct Effects {
    /// Feed records, in order.
    pub records: Vec<NewRecord>,
    /// Events taken: their place among those of the pass, their profile, their first record and how many they have.
    pub logged: Vec<(usize, ProfileId, usize, usize)>,
    /// Hashes of events taken.
    pub hashes: Vec<i64>,
    /// New identifiers.
    pub added: Vec<(Identifier, ProfileId)>,
    /// Identifiers that go to another profile.
    pub moved: BTreeMap<Identifier, ProfileId>,
    /// Merges.
    pub merges: Vec<Merged>,
    /// What is counted.
    pub counts: BTreeMap<Count, i64>,
}

/// The pass.
pub struct Pass<'a> {
    lane: &'a [u16],
    settings: Arc<Settings>,
    graph: Graph,
    held: HashMap<ProfileId, Held>,
    known: HashSet<i64>,
    erased: HashSet<ProfileId>,
    effects: Effects,
}

impl<'a> Pass<'a> {
    /// A pass of the lane with these partitions. `profiles` is everything that the identifiers of its events lead to,
    /// `known` which of its events came before.
    pub fn new(
        lane: &'a [u16],
        settings: Arc<Settings>,
        profiles: Vec<Profile>,
        known: HashSet<i64>,
    ) -> Self {
        let mut graph = Graph::default();
        let mut held = HashMap::with_capacity(profiles.len());
        for profile in profiles {
            if profile.merged_into.is_none() {
                let node = Node {
                    created: profile.created,
                    identifiers: profile.identifiers.clone(),
                    merges: profile.merges,
                    apart: profile.apart.clone(),
                };
                graph.insert(profile.id, node);
            }
            let told = Some(profile.person.reach(&profile.identifiers, &settings));
            held.insert(profile.id, Held { profile, told, changed: false });
        }
        Self { lane, settings, graph, held, known, erased: HashSet::new(), effects: Effects::default() }
    }

    /// The same, which takes in nothing about these profiles.
    pub fn without(mut self, erased: HashSet<ProfileId>) -> Self {
        self.erased = erased;
        self
    }

    /// Makes room for so many events.
    pub fn reserve(&mut self, events: usize) {
        self.known.reserve(events);
        self.effects.logged.reserve(events);
        self.effects.hashes.reserve(events);
        self.effects.records.reserve(events);
    }

    /// Takes in one event; `place` is its place among those of the pass.
    pub fn take(&mut self, place: usize, event: &Event) -> Taken {
        let hash = event.hash();
        if self.known.contains(&hash) {
            self.count(Count::Duplicate, 1);
            return Taken::Duplicate;
        }
        if event.profile.is_some_and(|it| self.erased.contains(&it)) {
            return Taken::Forgotten;
        }
        let profile = match self.whose(event) {
            Ok(Ok(profile)) => profile,
            Ok(Err(partition)) => return Taken::Elsewhere(partition),
            Err(problem) => return Taken::Rejected(problem),
        };
        let first = self.effects.records.len();
        let facts = match self.held.get_mut(&profile) {
            Some(held) => {
                let facts = held.profile.person.apply(event, &held.profile.draw_key, &self.settings);
                if event.about.active {
                    held.profile.last_seen = held.profile.last_seen.max(event.at);
                }
                // Nearly every event changes at least when the person was last seen: comparing costs more than writing.
                held.changed = true;
                facts
            }
            None => Vec::new(),
        };
        self.tell(profile, event.historical);
        for fact in &facts {
            self.effects.records.push(NewRecord {
                workspace: self.settings.workspace.clone(),
                profile,
                kind: perennial_rpc::facts::KIND,
                historical: event.historical,
                correction: false,
                payload: perennial_rpc::facts::encode(fact).encode_to_vec().into(),
            });
        }
        let records = self.effects.records.len() - first;
        self.effects.logged.push((place, profile, first, records));
        self.effects.hashes.push(hash);
        self.known.insert(hash);
        self.count(Count::Accepted, 1);
        Taken::Accepted
    }

    /// Whose an event is, making and merging profiles as far as this lane may; else the partition that has to go on.
    fn whose(&mut self, event: &Event) -> Result<Result<ProfileId, u16>, Problem> {
        let mut identifiers = event.identifiers.clone();
        let joined = self.joined(event);
        identifiers.extend(joined.clone());
        if let Some(named) = event.profile {
            return self.named(named);
        }
        let found = self.graph.find(&identifiers);
        if joined.is_some_and(|it| found.dropped.contains(&it)) {
            let reason = "it is another customer's id, and one customer has one user id";
            let remedy = "alias ids of visitors only, or correct the id in your shop";
            return Err(Problem::new("previousId", reason, remedy));
        }
        let Some((survivor, losers)) = found.profiles.split_first() else {
            return Ok(self.make(event, &found.kept));
        };
        for loser in losers {
            if !self.owns(*loser) {
                return Ok(Err(partition(*loser)));
            }
            self.merge(*loser, *survivor, event);
        }
        if !self.owns(*survivor) {
            return Ok(Err(partition(*survivor)));
        }
        self.attach(*survivor, &found.kept);
        Ok(Ok(*survivor))
    }

    /// The former id of an alias, as what it is known for, else as a visitor's. An alias of an id to itself says nothing.
    fn joined(&self, event: &Event) -> Option<Identifier> {
        let previous = event.previous.as_ref()?;
        let is_own = |it: &Identifier| it.kind == IdentifierKind::UserId && it.value == *previous;
        if event.identifiers.iter().any(is_own) {
            return None;
        }
        let candidates: Vec<Identifier> = former(previous).into_iter().flatten().collect();
        let known = candidates.iter().find(|it| self.graph.owner(it).is_some());
        known.or(candidates.last()).cloned()
    }

    fn named(&self, named: ProfileId) -> Result<Result<ProfileId, u16>, Problem> {
        let mut id = named;
        // A merge never points back, so this ends; the bound only guards against a damaged table.
        for _ in 0..=crate::domain::graph::MERGES {
            let Some(held) = self.held.get(&id) else { break };
            match held.profile.merged_into {
                Some(into) => id = into,
                None => return Ok(if self.owns(id) { Ok(id) } else { Err(partition(id)) }),
            }
        }
        let reason = format!("profile {named} is not known in this workspace");
        Err(Problem::new("profile", reason, "name a profile that exists"))
    }

    fn make(&mut self, event: &Event, kept: &[Identifier]) -> Result<ProfileId, u16> {
        let Some(first) = kept.first() else { return Err(self.lane.first().copied().unwrap_or_default()) };
        let draw_key = identity::draw_key(&self.settings.workspace, first);
        let id = identity::profile_id(&draw_key, event.received);
        if !self.owns(id) {
            return Err(partition(id));
        }
        let profile = Profile {
            id,
            created: event.received,
            last_seen: event.at,
            merged_into: None,
            merges: 0,
            draw_key,
            identifiers: BTreeSet::new(),
            person: Person::default(),
            apart: Apart::new(),
        };
        let node =
            Node { created: event.received, identifiers: BTreeSet::new(), merges: 0, apart: Apart::new() };
        self.graph.insert(id, node);
        self.held.insert(id, Held { profile, told: None, changed: true });
        self.count(Count::Profiles, 1);
        self.attach(id, kept);
        Ok(id)
    }

    fn attach(&mut self, id: ProfileId, identifiers: &[Identifier]) {
        let added = self.graph.attach(id, identifiers);
        if let (Some(held), false) = (self.held.get_mut(&id), added.is_empty()) {
            held.profile.identifiers.extend(added.iter().cloned());
            held.changed = true;
        }
        self.effects.added.extend(added.into_iter().map(|it| (it, id)));
    }

    fn merge(&mut self, from: ProfileId, into: ProfileId, event: &Event) {
        for identifier in self.graph.merge(from, into) {
            self.effects.moved.insert(identifier, into);
        }
        let Some(lost) = self.held.get_mut(&from) else { return };
        lost.profile.merged_into = Some(into);
        lost.changed = true;
        let lost = lost.profile.clone();
        let here = self.lane.contains(&partition(into));
        if let (Some(held), Some(node)) = (self.held.get_mut(&into), self.graph.node(into)) {
            held.profile.identifiers.clone_from(&node.identifiers);
            held.profile.merges = node.merges;
            held.profile.apart.clone_from(&node.apart);
            held.profile.created = node.created;
            held.profile.last_seen = held.profile.last_seen.max(lost.last_seen);
            held.profile.person.merge(lost.person, &held.profile.draw_key);
            held.changed = true;
        }
        let merge = Merge { id: MergeId(new_id(event.received)), from, into };
        self.effects.records.push(merge_record(
            &self.settings.workspace,
            Merge::AWAY,
            merge,
            event.historical,
        ));
        let told = here.then_some(self.effects.records.len());
        if here {
            self.effects.records.push(merge_record(
                &self.settings.workspace,
                Merge::INTO,
                merge,
                event.historical,
            ));
            self.tell(into, event.historical);
        }
        self.effects.merges.push(Merged {
            workspace: self.settings.workspace.clone(),
            id: merge.id,
            from,
            into,
            event: event.id,
            at: event.received,
            historical: event.historical,
            told,
        });
        self.count(Count::Merges, 1);
        self.count(Count::Profiles, -1);
    }

    /// Tells others of a profile if anything they need to know changed.
    fn tell(&mut self, id: ProfileId, historical: bool) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let reach = held.profile.person.reach(&held.profile.identifiers, &self.settings);
        if held.told.as_ref() != Some(&reach) {
            let workspace = &self.settings.workspace;
            self.effects.records.push(profile_record(
                workspace,
                id,
                &held.profile.draw_key,
                &reach,
                historical,
            ));
            held.told = Some(reach);
        }
    }

    fn owns(&self, id: ProfileId) -> bool {
        self.lane.contains(&partition(id))
    }

    fn count(&mut self, count: Count, by: i64) {
        *self.effects.counts.entry(count).or_default() += by;
    }

    /// What has to be written, and the profiles that changed.
    pub fn finish(self) -> (Effects, Vec<Profile>) {
        let mut changed: Vec<Profile> =
            self.held.into_values().filter(|it| it.changed).map(|it| it.profile).collect();
        changed.sort_by_key(|it| it.id);
        (self.effects, changed)
    }
}

/// The partition of a profile.
pub fn partition(id: ProfileId) -> u16 {
    id.partition(PARTITIONS)
}

/// One half of a merge.
pub fn merge_record(workspace: &Workspace, kind: &'static str, merge: Merge, historical: bool) -> NewRecord {
    let profile = if kind == Merge::AWAY { merge.from } else { merge.into };
    let workspace = workspace.clone();
    NewRecord { workspace, profile, kind, historical, correction: false, payload: merge.encode() }
}

/// What others need to know of a profile.
pub fn profile_record(
    workspace: &Workspace,
    profile: ProfileId,
    draw_key: &str,
    reach: &Reach,
    historical: bool,
) -> NewRecord {
    let message = ProfileUpdated {
        draw_key: draw_key.to_owned(),
        time_zone: reach.time_zone.clone(),
        locale: reach.locale.clone(),
        reachable: reach.reachable.iter().map(|it| it.as_str().to_owned()).collect(),
        identified: reach.identified,
    };
    NewRecord {
        workspace: workspace.clone(),
        profile,
        kind: PROFILE,
        historical,
        correction: false,
        payload: message.encode_to_vec().into(),
    }
}

#[cfg(test)]
mod tests;
