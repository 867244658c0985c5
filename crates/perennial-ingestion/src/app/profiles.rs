//! Reading profiles and their facts.

use perennial_feed::Record;
use perennial_rpc::facts::{KIND, RETOLD};
use perennial_types::{Identifier, IdentifierKind, ProfileId, Workspace, from_micros};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

use super::App;
use super::pass::partition;
use crate::domain::graph::MERGES;
use crate::domain::identity;
use crate::domain::settings::Settings;
use crate::error::{Error, Result};
use crate::store::profiles::{self, Profile};
use crate::store::{events, merges, records};

/// A profile that was asked for, as it is now.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The id that was asked for.
    pub asked: ProfileId,
    /// What it has become.
    pub profile: Profile,
}

/// A page of a profile's facts.
pub struct Facts {
    /// Feed records of kind `fact`, in event order.
    pub records: Vec<Record>,
    /// The last place read, if there may be more.
    pub next: Option<events::Key>,
}

/// Where a profile is kept in the cache; forgotten whenever it changes.
pub fn profile_key(id: ProfileId) -> String {
    format!("profile/{id}")
}

impl App {
    /// A profile, or what it was merged into; with the profiles that were merged into that.
    ///
    /// # Errors
    /// [`Error::NoProfile`] if it is not known; if the database refuses.
    pub async fn profile(&self, workspace: &Workspace, id: ProfileId) -> Result<(Profile, Vec<ProfileId>)> {
        let found = self.contacts(workspace, vec![id]).await?.pop();
        let profile = found.ok_or_else(|| Error::NoProfile(id.to_string()))?.profile;
        let merged = profiles::merged(self.store.read(), workspace, vec![profile.id]).await?;
        Ok((profile, merged.into_iter().map(|(id, _)| id).collect()))
    }

    /// The profile of an identifier, its kind found by trying user id, e-mail, phone and anonymous id in this order.
    ///
    /// # Errors
    /// [`Error::NoProfile`] if nobody is known by it; if the database refuses.
    pub async fn lookup(&self, workspace: &Workspace, value: &str) -> Result<ProfileId> {
        let kinds = [
            IdentifierKind::UserId,
            IdentifierKind::Email,
            IdentifierKind::Phone,
            IdentifierKind::AnonymousId,
        ];
        let candidates: Vec<Identifier> =
            kinds.into_iter().filter_map(|kind| identity::identifier(kind, value)).collect();
        let owners = profiles::owners(self.store.read(), workspace, &candidates).await?;
        let owner = candidates.iter().find_map(|it| owners.get(it));
        // The value itself may be an address: it stays out of the error.
        owner.copied().ok_or_else(|| Error::NoProfile("of this identifier".to_owned()))
    }

    /// A page of profiles, oldest first, each with those merged into it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn profiles(
        &self,
        workspace: &Workspace,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<(Profile, Vec<ProfileId>)>> {
        let found = profiles::list(self.store.read(), workspace, after, limit).await?;
        self.with_merged(workspace, found).await
    }

    /// Those of `asked` that stand for a person, oldest first, each with those merged into it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn some_profiles(
        &self,
        workspace: &Workspace,
        asked: Vec<ProfileId>,
    ) -> Result<Vec<(Profile, Vec<ProfileId>)>> {
        let mut found = profiles::load(self.store.read(), workspace, asked, false).await?;
        found.retain(|it| it.merged_into.is_none());
        self.with_merged(workspace, found).await
    }

    async fn with_merged(
        &self,
        workspace: &Workspace,
        found: Vec<Profile>,
    ) -> Result<Vec<(Profile, Vec<ProfileId>)>> {
        let ids = found.iter().map(|it| it.id).collect();
        let parents: HashMap<ProfileId, ProfileId> =
            profiles::merged(self.store.read(), workspace, ids).await?.into_iter().collect();
        let mut merged: BTreeMap<ProfileId, Vec<ProfileId>> = BTreeMap::new();
        for leaf in parents.keys() {
            let mut root = *leaf;
            while let Some(parent) = parents.get(&root) {
                root = *parent;
            }
            merged.entry(root).or_default().push(*leaf);
        }
        let with = |it: Profile| {
            let mut leaves = merged.remove(&it.id).unwrap_or_default();
            leaves.sort();
            (it, leaves)
        };
        Ok(found.into_iter().map(with).collect())
    }

    /// What each of `asked` is now; unknown ones are left out.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn contacts(&self, workspace: &Workspace, asked: Vec<ProfileId>) -> Result<Vec<Contact>> {
        let mut known: HashMap<ProfileId, Profile> = HashMap::new();
        let mut wanted: BTreeSet<ProfileId> = asked.iter().copied().collect();
        // One round for each generation of merges.
        for _ in 0..=MERGES {
            let loaded =
                profiles::load(self.store.read(), workspace, wanted.into_iter().collect(), false).await?;
            wanted =
                loaded.iter().filter_map(|it| it.merged_into).filter(|it| !known.contains_key(it)).collect();
            known.extend(loaded.into_iter().map(|it| (it.id, it)));
            if wanted.is_empty() {
                break;
            }
        }
        let now = |asked: ProfileId| {
            let mut profile = known.get(&asked)?;
            for _ in 0..=MERGES {
                let Some(into) = profile.merged_into else { break };
                profile = known.get(&into)?;
            }
            Some(Contact { asked, profile: profile.clone() })
        };
        Ok(asked.into_iter().filter_map(now).collect())
    }

    /// A page of a profile's facts in event order, those of the profiles merged into it included. `up_to_seq` leaves out
    /// what stands after this position of the profile's own partition; 0 leaves out nothing.
    ///
    /// # Errors
    /// [`Error::NoProfile`] if it is not known; if the database refuses.
    pub async fn facts(
        &self,
        workspace: &Workspace,
        id: ProfileId,
        up_to_seq: u64,
        after: Option<events::Key>,
        limit: u64,
    ) -> Result<Facts> {
        let known = profiles::load(self.store.read(), workspace, vec![id], false).await?;
        if known.is_empty() {
            return Err(Error::NoProfile(id.to_string()));
        }
        let leaves = profiles::merged(self.store.read(), workspace, vec![id]).await?;
        let mut later = BTreeSet::new();
        if up_to_seq != 0 {
            later.extend(merges::later(self.store.read(), workspace, id, up_to_seq).await?);
        }
        let mut family = vec![id];
        // Parents come before their children: who came later brought its own with it.
        for (leaf, parent) in leaves {
            if later.contains(&leaf) || later.contains(&parent) {
                later.insert(leaf);
            } else {
                family.push(leaf);
            }
        }
        let places = events::places(self.store.read(), workspace, &family, after, limit).await?;
        let next = (u64::try_from(places.len()).unwrap_or(u64::MAX) >= limit)
            .then(|| places.last().map(events::Place::key))
            .flatten();
        let own = partition(id);
        let up_to = if up_to_seq == 0 { u64::MAX } else { up_to_seq };
        let mut found = records::read(self.store.read(), &places).await?;
        let mut facts = Vec::new();
        for place in &places {
            let partition = place.partition;
            for seq in place.first_seq..place.first_seq + place.records {
                let Some(mut record) = found.remove(&(partition, seq)) else { continue };
                let known_by_then = !record.is_blank() && (partition != own || record.seq <= up_to);
                if !known_by_then {
                    continue;
                }
                if record.kind == RETOLD {
                    // As if it had been told so when the event came.
                    record.kind = KIND.into();
                    record.time = from_micros(place.received);
                    record.origin.instant = record.time;
                }
                if record.kind == KIND {
                    facts.push(record);
                }
            }
        }
        Ok(Facts { records: facts, next })
    }

    /// The settings that profiles of a workspace are shown by.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn shown_by(&self, workspace: &Workspace) -> Result<std::sync::Arc<Settings>> {
        self.book.settings(workspace).await
    }
}
