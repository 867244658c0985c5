//! What a parting works on: the person's whole log, and what follows from it for either side.

use perennial_rpc::facts::{KIND, RETOLD, decode};
use perennial_store::{ConnectionTrait, DatabaseTransaction};
use perennial_types::{Fact, FactKind, ProfileId, Workspace, from_micros};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::{MOST_EVENTS, PAGE, Part};
use crate::app::App;
use crate::domain::call::{CallKind, Shared};
use crate::domain::event::Event;
use crate::domain::graph::MERGES;
use crate::domain::normalise::{Arrival, normalise};
use crate::domain::parting::{Family, Joined, Logged, Member, Retold, Side, Split};
use crate::domain::settings::Settings;
use crate::error::{Error, Result};
use crate::store::events::{self, Whole};
use crate::store::merges::{self, Journalled};
use crate::store::profiles::{self, Profile};
use crate::store::records;
use crate::store::unmerges::{self, Share, Undone};

/// Everything about a person that a parting works on.
pub(super) struct Plan {
    pub(super) family: Family,
    pub(super) split: Split,
    /// The merge.
    pub(super) merge: Journalled,
    pub(super) profiles: BTreeMap<ProfileId, Profile>,
    pub(super) rows: Vec<Whole>,
    /// Who came back and who stayed by merges that were undone before.
    before: BTreeMap<Uuid, (ProfileId, ProfileId)>,
}

impl App {
    /// Everything about the person that `profile` has become.
    pub(super) async fn parting(
        &self,
        db: &impl ConnectionTrait,
        workspace: &Workspace,
        profile: ProfileId,
        settings: &Settings,
        locked: bool,
    ) -> Result<Plan> {
        let root = root(db, workspace, profile).await?;
        if root == profile {
            return Err(Error::NotMerged(profile.to_string()));
        }
        let (profiles, merges) = family(db, workspace, root, locked).await?;
        let merge = merges.iter().find(|it| it.from == profile).cloned();
        let Some(mut merge) = merge else { return Err(Error::NotMerged(profile.to_string())) };
        // Whom they became may have been parted from them since: then they went with somebody else.
        if !profiles.contains_key(&merge.into) {
            merge.into = profiles.get(&profile).and_then(|it| it.merged_into).unwrap_or(root);
        }
        self.read(db, settings, (root, profiles), merges, merge).await
    }

    /// The person who stayed, after the other came back; none if they were erased since.
    pub(super) async fn after_parting(
        &self,
        tx: &DatabaseTransaction,
        undone: &Undone,
        settings: &Settings,
    ) -> Result<Option<Plan>> {
        let workspace = &undone.workspace;
        let root = match root(tx, workspace, undone.survivor).await {
            Err(Error::NoProfile(_)) => return Ok(None),
            root => root?,
        };
        let (profiles, merges) = family(tx, workspace, root, true).await?;
        let journal = merges::list(tx, workspace, &[undone.profile], None, PAGE).await?;
        let Some(mut merge) = journal.into_iter().find(|it| it.id == undone.merge) else { return Ok(None) };
        if !profiles.contains_key(&merge.into) {
            merge.into = undone.survivor;
        }
        Ok(Some(self.read(tx, settings, (root, profiles), merges, merge).await?))
    }

    async fn read(
        &self,
        db: &impl ConnectionTrait,
        settings: &Settings,
        (root, profiles): (ProfileId, BTreeMap<ProfileId, Profile>),
        merges: Vec<Journalled>,
        merge: Journalled,
    ) -> Result<Plan> {
        let ids: Vec<ProfileId> = profiles.keys().copied().collect();
        let rows = events::whole(db, &settings.workspace, &ids, MOST_EVENTS + 1).await?;
        if rows.len() as u64 > MOST_EVENTS {
            return Err(Error::TooManyEvents { most: MOST_EVENTS });
        }
        let places: Vec<events::Place> = rows.iter().map(|it| it.place).collect();
        let records = records::read(db, &places).await?;
        let fact = |partition: u16, seq: i64| -> Option<Fact> {
            let record = records.get(&(partition, seq))?;
            let is_fact = !record.is_blank() && (record.kind == KIND || record.kind == RETOLD);
            if is_fact { decode(&record.payload).ok() } else { None }
        };
        let logged = |it: &Whole| Logged {
            id: it.place.event,
            leaf: it.place.profile,
            received: from_micros(it.place.received),
            event: self.understood(it, settings),
            facts: (it.place.first_seq..it.place.first_seq + it.place.records)
                .filter_map(|seq| fact(it.place.partition, seq))
                .collect(),
        };
        let joined = |it: &Journalled| Joined { from: it.from, into: it.into, event: it.event, at: it.at };
        let member = |it: &Profile| Member {
            identifiers: it.identifiers.clone(),
            draw_key: it.draw_key.clone(),
            merged_into: it.merged_into,
        };
        let family = Family {
            merge: joined(&merge),
            root,
            members: profiles.iter().map(|(id, it)| (*id, member(it))).collect(),
            merges: merges.iter().filter(|it| it.id != merge.id).map(joined).collect(),
            events: rows.iter().map(logged).collect(),
        };
        let split = family.split();
        let marks: BTreeSet<Uuid> = profiles.values().flat_map(|it| it.apart.keys().copied()).collect();
        let before = unmerges::sides(db, &settings.workspace, marks.into_iter()).await?;
        Ok(Plan { family, split, merge, profiles, rows, before })
    }

    /// An event of the log as it was understood when it came.
    fn understood(&self, it: &Whole, settings: &Settings) -> Option<Event> {
        let received = from_micros(it.place.received);
        let arrival = Arrival { received, historical: it.historical, max_age: self.max_age, trusted: true };
        let kind = CallKind::parse(&it.call);
        let event = normalise(kind, &it.body, &Shared::default(), arrival, settings).ok()?;
        Some(Event { id: it.place.event, at: from_micros(it.place.at), historical: it.historical, ..event })
    }
}

impl Plan {
    /// A side's events that have to be told anew: those that were the other side's, and those that mean something else now.
    pub(super) fn retold(&self, side: Side, settings: &Settings) -> Vec<Retold> {
        let mut retold = self.family.relive(&self.split, side, settings).1;
        retold.retain(|(place, facts)| {
            let Some(logged) = self.family.events.get(*place) else { return false };
            self.split.members.get(&logged.leaf) != Some(&side) || logged.facts != *facts
        });
        retold
    }

    /// Both people as they are after the parting.
    pub(super) fn parts(&self, settings: &Settings) -> Result<(Part, Part)> {
        Ok((self.part(Side::Back, settings)?, self.part(Side::Stays, settings)?))
    }

    fn part(&self, side: Side, settings: &Settings) -> Result<Part> {
        let head = self.family.head(side);
        let of_side = |it: &&ProfileId| self.split.members.get(*it) == Some(&side) && **it != head;
        let leaves: Vec<ProfileId> = self.split.members.keys().filter(of_side).copied().collect();
        let known = self.profiles.get(&head).cloned();
        let mut profile = known.ok_or_else(|| Error::NoProfile(head.to_string()))?;
        profile.person = self.family.relive(&self.split, side, settings).0;
        profile.merged_into = None;
        profile.merges = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        profile.apart.retain(|merge, came_back| {
            // What only the other side had been taken apart from is none of this one's.
            let head = self.before.get(merge).map(|it| if *came_back { it.0 } else { it.1 });
            head.and_then(|it| self.split.members.get(&it)).is_none_or(|it| *it == side)
        });
        profile.apart.insert(self.merge.id.0, side == Side::Back);
        match side {
            // Not what it had when it became another one: some of that may have gone back to somebody else since.
            Side::Back => profile.identifiers.clone_from(&self.split.identifiers),
            Side::Stays => profile.identifiers.retain(|it| !self.split.identifiers.contains(it)),
        }
        let own: Vec<&Logged> = self
            .family
            .events
            .iter()
            .zip(&self.split.events)
            .filter(|(_, it)| **it == side)
            .map(|(it, _)| it)
            .collect();
        let seen =
            own.iter().filter_map(|it| it.event.as_ref()).filter(|it| it.about.active).map(|it| it.at).max();
        profile.created = own.first().map_or(profile.created, |it| it.received);
        profile.last_seen = seen.unwrap_or(profile.created);
        let orders: BTreeSet<&str> = own
            .iter()
            .flat_map(|it| &it.facts)
            .filter_map(|it| match &it.kind {
                FactKind::Order(change) => Some(change.order_id()),
                _ => None,
            })
            .collect();
        let count = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
        let share = Share { events: count(own.len()), orders: count(orders.len()) };
        Ok(Part { profile, leaves, share })
    }

    /// The profiles that change: both people, and those who went with the one who comes back.
    pub(super) fn changed(&self, back: &Part, stays: &Part) -> Vec<Profile> {
        let followed = back.leaves.iter().filter_map(|it| self.profiles.get(it)).filter(|it| {
            let parent = it.merged_into.and_then(|it| self.split.members.get(&it));
            parent == Some(&Side::Stays)
        });
        let followed = followed.map(|it| Profile { merged_into: Some(back.profile.id), ..it.clone() });
        followed.chain([back.profile.clone(), stays.profile.clone()]).collect()
    }
}

/// Who a profile is now.
async fn root(db: &impl ConnectionTrait, workspace: &Workspace, profile: ProfileId) -> Result<ProfileId> {
    let mut id = profile;
    for _ in 0..=MERGES {
        let found = profiles::load(db, workspace, vec![id], false).await?.pop();
        let found = found.ok_or_else(|| Error::NoProfile(id.to_string()))?;
        match found.merged_into {
            Some(into) => id = into,
            None => break,
        }
    }
    Ok(id)
}

/// All who are one with `root`, and the merges that made them so.
async fn family(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    root: ProfileId,
    locked: bool,
) -> Result<(BTreeMap<ProfileId, Profile>, Vec<Journalled>)> {
    let leaves = profiles::merged(db, workspace, vec![root]).await?;
    let ids: Vec<ProfileId> = leaves.into_iter().map(|it| it.0).chain([root]).collect();
    let loaded = profiles::load(db, workspace, ids.clone(), locked).await?;
    if locked && loaded.iter().any(|it| it.id == root && it.merged_into.is_some()) {
        // Somebody was quicker.
        return Err(Error::NotCommitted);
    }
    let mut merges = merges::list(db, workspace, &ids, None, PAGE).await?;
    merges.retain(|it| it.undone.is_none());
    Ok((loaded.into_iter().map(|it| (it.id, it)).collect(), merges))
}
