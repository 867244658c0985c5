//! Undoes a merge: who of a family comes back as one person, who stays as the other, and what each of them then is.
//!
//! What stood in the log before the merge is of the profile it was written for. What came later was written for the
//! survivor, and is given to the side that its strongest identifier belongs to; what nothing decides stays with the
//! survivor. Traits, consents and carts depend on what was known of the person when an event came, so both sides live
//! their events again.

use jiff::Timestamp;
use perennial_types::{Fact, FactKind, Identifier, ProfileId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

use super::event::Event;
use super::normalise::former;
use super::person::Person;
use super::settings::Settings;

/// Which of two people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who comes back.
    Back,
    /// Who stays.
    Stays,
}

/// One profile of the family.
#[derive(Clone, Debug)]
pub struct Member {
    /// What recognised it when it became another one; what recognises the survivor now.
    pub identifiers: BTreeSet<Identifier>,
    /// The unit of its draws.
    pub draw_key: String,
    /// What it became.
    pub merged_into: Option<ProfileId>,
}

/// A merge within the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The profile that ended.
    pub from: ProfileId,
    /// The survivor.
    pub into: ProfileId,
    /// The event that showed them to be one.
    pub event: Uuid,
    /// When that was received.
    pub at: Timestamp,
}

/// An event of the family as the log has it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its id.
    pub id: Uuid,
    /// Whom it was written for.
    pub leaf: ProfileId,
    /// When it was received.
    pub received: Timestamp,
    /// What it says; none if it cannot be read any more.
    pub event: Option<Event>,
    /// What was told of it.
    pub facts: Vec<Fact>,
}

/// Everybody who is one person now, and all that is known of them.
#[derive(Clone, Debug)]
pub struct Family {
    /// The merge to undo: its `into` may have become another profile since.
    pub merge: Joined,
    /// Who they all are now.
    pub root: ProfileId,
    /// The profiles, that one included.
    pub members: BTreeMap<ProfileId, Member>,
    /// The merges in force besides the one to undo, oldest first.
    pub merges: Vec<Joined>,
    /// The events, as they were taken in.
    pub events: Vec<Logged>,
}

/// Who and what is on which side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The side of each profile.
    pub members: BTreeMap<ProfileId, Side>,
    /// The side of each event, by its place.
    pub events: Vec<Side>,
    /// Identifiers of who comes back.
    pub identifiers: BTreeSet<Identifier>,
}

/// An event's facts as they are told now.
pub type Retold = (usize, Vec<Fact>);

impl Family {
    /// Who a side is after the parting.
    pub fn head(&self, side: Side) -> ProfileId {
        match side {
            Side::Back => self.merge.from,
            Side::Stays => self.root,
        }
    }

    /// Whether `profile` came to be `ancestor`, or is it.
    fn became(&self, mut profile: ProfileId, ancestor: ProfileId) -> bool {
        // A merge never points back, so this ends; the bound only guards against a damaged table.
        for _ in 0..=self.members.len() {
            if profile == ancestor {
                return true;
            }
            match self.members.get(&profile).and_then(|it| it.merged_into) {
                Some(into) => profile = into,
                None => return false,
            }
        }
        false
    }

    /// Where in the log the merge was made.
    fn parting_of_ways(&self) -> usize {
        let by_event = self.events.iter().position(|it| it.id == self.merge.event);
        by_event.unwrap_or_else(|| self.events.partition_point(|it| it.received < self.merge.at))
    }

    /// Says who and what goes to which side.
    pub fn split(&self) -> Split {
        let side_of = |it: &ProfileId| {
            if self.became(*it, self.merge.from) { Side::Back } else { Side::Stays }
        };
        let mut members: BTreeMap<ProfileId, Side> =
            self.members.keys().map(|it| (*it, side_of(it))).collect();
        // Who joined the survivor later may have done so by something that belongs to the other side.
        let mut later: BTreeMap<Uuid, Vec<ProfileId>> = BTreeMap::new();
        let mut undecided: BTreeSet<ProfileId> = BTreeSet::new();
        for it in self.merges.iter().filter(|it| it.at >= self.merge.at) {
            if members.get(&it.from) == Some(&Side::Stays) && !self.became(self.merge.into, it.from) {
                later.entry(it.event).or_default().push(it.from);
                let brought = self.members.keys().filter(|one| self.became(**one, it.from));
                undecided.extend(brought);
            }
        }
        let mut known: HashMap<Identifier, Side> = HashMap::new();
        for wanted in [Side::Back, Side::Stays] {
            for (id, member) in &self.members {
                // What the survivor, and whoever it became, is known by came in part while they were one: that the events tell.
                let is_survivor = self.became(self.merge.into, *id);
                if members.get(id) == Some(&wanted) && !undecided.contains(id) && !is_survivor {
                    for it in &member.identifiers {
                        known.entry(it.clone()).or_insert(wanted);
                    }
                }
            }
        }
        let parting = self.parting_of_ways();
        let mut events = Vec::with_capacity(self.events.len());
        for (place, logged) in self.events.iter().enumerate() {
            let leaf = members.get(&logged.leaf).copied().unwrap_or(Side::Stays);
            let own = leaf == Side::Back || undecided.contains(&logged.leaf) || place < parting;
            let identifiers: Vec<Identifier> = logged.event.iter().flat_map(named_in).collect();
            let named = logged.event.as_ref().and_then(|it| members.get(&it.profile?)).copied();
            let side = if own {
                leaf
            } else {
                let strongest = || identifiers.iter().find_map(|it| known.get(it)).copied();
                named.or_else(strongest).unwrap_or(Side::Stays)
            };
            if !undecided.contains(&logged.leaf) {
                for it in identifiers {
                    known.entry(it).or_insert(side);
                }
            }
            for joined in later.remove(&logged.id).unwrap_or_default() {
                for one in self.members.keys().filter(|one| self.became(**one, joined)) {
                    undecided.remove(one);
                    members.insert(*one, side);
                    for it in self.members.get(one).into_iter().flat_map(|it| &it.identifiers) {
                        known.entry(it.clone()).or_insert(side);
                    }
                }
            }
            events.push(side);
        }
        // What was the own of somebody who joined later went with them.
        for (side, logged) in events.iter_mut().zip(&self.events) {
            if let (Side::Stays, Some(Side::Back)) = (*side, members.get(&logged.leaf)) {
                *side = Side::Back;
            }
        }
        let owned = self.members.get(&self.root).map(|it| &it.identifiers);
        let is_back = |it: &&Identifier| known.get(*it) == Some(&Side::Back);
        let identifiers = owned.into_iter().flatten().filter(is_back).cloned().collect();
        Split { members, events, identifiers }
    }

    /// What is known of one side when it lives its events again, and what those events tell then.
    pub fn relive(&self, split: &Split, side: Side, settings: &Settings) -> (Person, Vec<Retold>) {
        let head = self.head(side);
        let of_side = |it: &ProfileId| split.members.get(it) == Some(&side);
        let mut merges: Vec<Joined> = Vec::new();
        for it in self.merges.iter().filter(|it| of_side(&it.from)) {
            let into = if of_side(&it.into) { it.into } else { head };
            merges.push(Joined { into, ..*it });
        }
        let mut people: BTreeMap<ProfileId, Person> = BTreeMap::new();
        let mut retold = Vec::new();
        for (place, logged) in
            self.events.iter().enumerate().filter(|(n, _)| split.events.get(*n) == Some(&side))
        {
            let (now, rest): (Vec<_>, Vec<_>) =
                merges.into_iter().partition(|it| it.event == logged.id || it.at < logged.received);
            merges = rest;
            now.into_iter().for_each(|it| self.join(&mut people, it));
            let Some(event) = &logged.event else { continue };
            let whose = if of_side(&logged.leaf) { logged.leaf } else { head };
            let lived = people.entry(whose).or_default().apply(event, self.draw_key(whose), settings);
            retold.push((place, told_again(&logged.facts, lived)));
        }
        merges.into_iter().for_each(|it| self.join(&mut people, it));
        let mut person = people.remove(&head).unwrap_or_default();
        people.into_values().for_each(|it| person.merge(it, self.draw_key(head)));
        (person, retold)
    }

    fn draw_key(&self, profile: ProfileId) -> &str {
        self.members.get(&profile).map(|it| it.draw_key.as_str()).unwrap_or_default()
    }

    fn join(&self, people: &mut BTreeMap<ProfileId, Person>, it: Joined) {
        if let Some(lost) = people.remove(&it.from) {
            people.entry(it.into).or_default().merge(lost, self.draw_key(it.into));
        }
    }
}

/// What an event names its person by, the strongest first: for an alias also the id that they had before.
fn named_in(event: &Event) -> Vec<Identifier> {
    let before = event.previous.as_deref().map(former).into_iter().flatten().flatten();
    event.identifiers.iter().cloned().chain(before).collect()
}

/// An event's facts after its person lived again: what depends on the person is told anew, all else as it was, by the
/// prices and costs of its day.
fn told_again(before: &[Fact], lived: Vec<Fact>) -> Vec<Fact> {
    let depends = |it: &Fact| {
        matches!(it.kind, FactKind::CartChanged { .. } | FactKind::Consent(_) | FactKind::Tracked)
    };
    let told = |(n, fact): (usize, Fact)| match before.first() {
        Some(first) if n == 0 && first.id == fact.id && !depends(first) => first.clone(),
        _ => fact,
    };
    lived.into_iter().enumerate().map(told).collect()
}

#[cfg(test)]
mod tests;
