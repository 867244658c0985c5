//! The identity graph: which identifiers are one person.
//!
//! Events never move; identifiers do. Identifiers seen together belong to one profile. If they belonged to several,
//! those merge into the survivor, unless that would break a limit: then the weakest identifier of the event does not
//! count, and the rest is tried again. So two customers who share a browser stay two. Likewise two that were one, by a
//! merge that was undone: whatever shows them to be one later does not count.

use jiff::Timestamp;
use perennial_types::{Identifier, IdentifierKind, ProfileId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// How many profiles may ever be merged into one.
pub const MERGES: u32 = 100;

/// How many identifiers of a kind a profile may ever have.
pub fn limit(kind: IdentifierKind) -> usize {
    match kind {
        IdentifierKind::UserId => 1,
        _ => 5,
    }
}

/// One profile, as far as identity goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// When it was first seen.
    pub created: Timestamp,
    /// What recognises it.
    pub identifiers: BTreeSet<Identifier>,
    /// How many profiles were merged into it, those merged into them included.
    pub merges: u32,
    /// Merges that were undone, and whether it is the side that came back: the two sides stay apart.
    pub apart: Apart,
}

/// Undone merges by id, and on which side of each somebody is: `true` came back.
pub type Apart = BTreeMap<Uuid, bool>;

impl Node {
    /// Whether it is a known person rather than an anonymous visitor.
    pub fn known(&self) -> bool {
        self.identifiers.iter().any(|it| it.kind != IdentifierKind::AnonymousId)
    }
}

/// Whose an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The profiles its identifiers belong to, the survivor first; none if nobody is known by them.
    pub profiles: Vec<ProfileId>,
    /// Identifiers that count, the strongest first.
    pub kept: Vec<Identifier>,
    /// Identifiers that do not count because a limit would be broken.
    pub dropped: Vec<Identifier>,
}

/// The part of the graph that a batch of events touches.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    owners: HashMap<Identifier, ProfileId>,
    nodes: HashMap<ProfileId, Node>,
}

impl Graph {
    /// Adds a profile and what recognises it.
    pub fn insert(&mut self, id: ProfileId, node: Node) {
        for identifier in &node.identifiers {
            self.owners.insert(identifier.clone(), id);
        }
        self.nodes.insert(id, node);
    }

    /// A profile of the graph.
    pub fn node(&self, id: ProfileId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The profile an identifier belongs to.
    pub fn owner(&self, identifier: &Identifier) -> Option<ProfileId> {
        self.owners.get(identifier).copied()
    }

    /// Finds whose an event with `identifiers` is. Nothing changes yet.
    pub fn find(&self, identifiers: &[Identifier]) -> Found {
        let mut kept = identifiers.to_vec();
        kept.sort();
        kept.dedup();
        let mut dropped = Vec::new();
        while kept.len() > 1 && !self.fits(&kept) {
            dropped.extend(kept.pop());
        }
        Found { profiles: self.matched(&kept), kept, dropped }
    }

    /// The profiles of `identifiers`, the survivor first: known beats anonymous, older beats newer.
    fn matched(&self, identifiers: &[Identifier]) -> Vec<ProfileId> {
        let owners: BTreeSet<ProfileId> = identifiers.iter().filter_map(|it| self.owner(it)).collect();
        let mut profiles: Vec<ProfileId> = owners.into_iter().collect();
        profiles.sort_by_key(|id| self.nodes.get(id).map(|node| (!node.known(), node.created, *id)));
        profiles
    }

    fn fits(&self, identifiers: &[Identifier]) -> bool {
        let profiles = self.matched(identifiers);
        let nodes: Vec<&Node> = profiles.iter().filter_map(|id| self.nodes.get(id)).collect();
        let all: BTreeSet<&Identifier> =
            nodes.iter().flat_map(|it| &it.identifiers).chain(identifiers).collect();
        let merges = nodes.iter().map(|it| it.merges + 1).sum::<u32>().saturating_sub(1);
        let mut sides = Apart::new();
        let one_side = |(merge, side): (&Uuid, &bool)| *sides.entry(*merge).or_insert(*side) == *side;
        merges <= MERGES
            && nodes.iter().flat_map(|it| &it.apart).all(one_side)
            && all.iter().all(|one| all.iter().filter(|it| it.kind == one.kind).count() <= limit(one.kind))
    }

    /// Gives a profile identifiers nobody has yet; says which were new.
    pub fn attach(&mut self, id: ProfileId, identifiers: &[Identifier]) -> Vec<Identifier> {
        let Some(node) = self.nodes.get_mut(&id) else { return Vec::new() };
        let mut added = Vec::new();
        for identifier in identifiers {
            if !self.owners.contains_key(identifier) {
                self.owners.insert(identifier.clone(), id);
                node.identifiers.insert(identifier.clone());
                added.push(identifier.clone());
            }
        }
        added
    }

    /// Moves everything of `from` to `into`; says which identifiers moved.
    pub fn merge(&mut self, from: ProfileId, into: ProfileId) -> Vec<Identifier> {
        if from == into {
            return Vec::new();
        }
        let Some(lost) = self.nodes.remove(&from) else { return Vec::new() };
        let moved: Vec<Identifier> = lost.identifiers.iter().cloned().collect();
        for identifier in &moved {
            self.owners.insert(identifier.clone(), into);
        }
        if let Some(node) = self.nodes.get_mut(&into) {
            node.identifiers.extend(lost.identifiers);
            node.merges += lost.merges + 1;
            node.apart.extend(lost.apart);
            node.created = node.created.min(lost.created);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(value: &str) -> Identifier {
        Identifier { kind: IdentifierKind::UserId, value: value.to_owned() }
    }

    fn device(value: &str) -> Identifier {
        Identifier { kind: IdentifierKind::AnonymousId, value: value.to_owned() }
    }

    fn see(graph: &mut Graph, at: i64, identifiers: &[Identifier]) -> ProfileId {
        let found = graph.find(identifiers);
        let survivor = found.profiles.first().copied().unwrap_or_else(|| {
            let id = ProfileId::new(perennial_types::from_micros(at));
            let node = Node {
                created: perennial_types::from_micros(at),
                identifiers: BTreeSet::new(),
                merges: 0,
                apart: Apart::new(),
            };
            graph.insert(id, node);
            id
        });
        for loser in found.profiles.iter().skip(1) {
            graph.merge(*loser, survivor);
        }
        graph.attach(survivor, &found.kept);
        survivor
    }

    #[test]
    fn a_visitor_who_logs_in_becomes_the_customer_it_was_before() {
        let mut graph = Graph::default();
        let visitor = see(&mut graph, 1, &[device("a")]);
        let customer = see(&mut graph, 2, &[user("1")]);
        assert_ne!(visitor, customer);
        // The visitor is older, but the customer is known.
        assert_eq!(see(&mut graph, 3, &[device("a"), user("1")]), customer);
        assert_eq!(see(&mut graph, 4, &[device("a")]), customer);
        assert_eq!(graph.node(customer).unwrap().merges, 1);
    }

    #[test]
    fn two_customers_who_share_a_browser_stay_two() {
        let mut graph = Graph::default();
        let ana = see(&mut graph, 1, &[device("a"), user("ana")]);
        let ben = see(&mut graph, 2, &[device("a"), user("ben")]);
        assert_ne!(ana, ben);
        assert_eq!(graph.find(&[user("ben"), device("a")]).dropped, [device("a")]);
        assert_eq!(see(&mut graph, 3, &[device("a")]), ana);
    }

    #[test]
    fn a_sixth_device_is_somebody_else_until_it_says_otherwise() {
        let mut graph = Graph::default();
        let ana = see(&mut graph, 1, &[user("ana")]);
        for n in 0..5 {
            see(&mut graph, 2, &[user("ana"), device(&n.to_string())]);
        }
        assert_eq!(see(&mut graph, 3, &[user("ana"), device("5")]), ana);
        assert_ne!(see(&mut graph, 4, &[device("5")]), ana);
    }

    #[test]
    fn merges_end_at_their_limit() {
        let mut graph = Graph::default();
        let many = Node {
            created: perennial_types::from_micros(1),
            identifiers: [user("a")].into(),
            merges: MERGES,
            apart: Apart::new(),
        };
        let id = ProfileId::new(perennial_types::from_micros(1));
        graph.insert(id, many);
        see(&mut graph, 2, &[device("x")]);
        let found = graph.find(&[user("a"), device("x")]);
        assert_eq!((found.profiles, found.dropped), (vec![id], vec![device("x")]));
    }

    #[test]
    fn two_who_were_wrongly_one_stay_two_whatever_shows_them_together_later() {
        let mut graph = Graph::default();
        let undone = Uuid::from_u128(1);
        let (ana, ben) = (see(&mut graph, 1, &[user("ana")]), see(&mut graph, 2, &[device("d")]));
        for (id, side) in [(ana, false), (ben, true)] {
            graph.nodes.get_mut(&id).unwrap().apart.insert(undone, side);
        }
        assert_eq!(see(&mut graph, 3, &[user("ana"), device("d")]), ana);
        assert_eq!(see(&mut graph, 4, &[device("d")]), ben);
        // Somebody else may become either of them, and then stays apart from the other, too.
        let third = Identifier { kind: IdentifierKind::Email, value: "c@example.com".to_owned() };
        see(&mut graph, 5, &[third.clone(), device("d")]);
        assert_eq!(see(&mut graph, 6, &[user("ana"), third]), ana);
        assert_eq!(see(&mut graph, 7, &[device("d")]), ben);
    }

    /// Which identifiers are together, whatever the profiles are called.
    fn partition(graph: &Graph) -> BTreeSet<BTreeSet<Identifier>> {
        graph.nodes.values().map(|it| it.identifiers.clone()).collect()
    }

    proptest! {
        #[test]
        fn sightings_in_any_order_and_twice_give_one_graph(
            // Each customer has one id and up to five devices, so no limit is ever in the way.
            sightings in prop::collection::vec((0..4_usize, 0..5_usize, 0..3_u8), 1..24),
            keys in prop::collection::vec(any::<u64>(), 48),
        ) {
            let sightings: Vec<Vec<Identifier>> = sightings
                .iter()
                .map(|(person, thing, form)| {
                    let (user, device) = (user(&format!("u{person}")), device(&format!("d{person}-{thing}")));
                    match form { 0 => vec![user, device], 1 => vec![device], _ => vec![user] }
                })
                .collect();
            let mut straight = Graph::default();
            for (n, it) in sightings.iter().enumerate() { see(&mut straight, n as i64, it); }
            let mut shuffled: Vec<_> = sightings.iter().chain(&sightings).zip(&keys).collect();
            shuffled.sort_by_key(|(_, key)| **key);
            let mut other = Graph::default();
            for (n, (it, _)) in shuffled.iter().enumerate() { see(&mut other, n as i64, it); }
            prop_assert_eq!(partition(&straight), partition(&other));
        }
    }
}
