//! Undoing a merge: first who comes back is made themselves again, with all that is theirs; then the partition of the
//! survivor hears of it. Both sides are written from the log alone, so a crash between the two costs nothing.

use perennial_feed::{Appended, NewRecord, Topic, Unmerge};
use perennial_rpc::facts::{RETOLD, encode};
use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{ProfileId, Timestamp, Workspace};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::App;
use super::lane::is_transient;
use super::pass::{partition, profile_record};
use super::profiles::profile_key;
use crate::domain::parting::Side;
use crate::domain::settings::Settings;
use crate::error::{Error, Result};
use crate::store::counters::{self, Count};
use crate::store::events::{self, Whole};
use crate::store::merges::{self, Journalled};
use crate::store::profiles::{self, Profile};
use crate::store::unmerges::{self, Share, Undone};
use plan::Plan;

mod plan;

/// How often it is tried again because a writer was in the way.
const TRIES: usize = 5;
/// Most events of a person whose merge can be undone: all of them are read at once.
const MOST_EVENTS: u64 = 50_000;
/// Merges read in one query.
const PAGE: u64 = 1_000;

/// One of two people who were one.
#[derive(Clone, Debug)]
pub struct Part {
    /// The person.
    pub profile: Profile,
    /// Profiles that had become it.
    pub leaves: Vec<ProfileId>,
    /// What is of it.
    pub share: Share,
}

/// What undoing a merge makes, or would make, of a person.
#[derive(Clone, Debug)]
pub struct Parted {
    /// When the merge was made.
    pub merged: Option<Timestamp>,
    /// When it was undone; none if it was only tried.
    pub undone: Option<Timestamp>,
    /// Who comes back.
    pub back: Part,
    /// Who stays; none if they were erased since.
    pub stays: Option<Part>,
}

impl App {
    /// Merges of a profile, and of those that became it, oldest first.
    ///
    /// # Errors
    /// [`Error::NoProfile`] if it is not known; if the database refuses.
    pub async fn merges(
        &self,
        workspace: &Workspace,
        profile: ProfileId,
        after: Option<(i64, Uuid)>,
        limit: u64,
    ) -> Result<Vec<(Journalled, Option<Profile>)>> {
        let (root, leaves) = self.profile(workspace, profile).await?;
        let mut of: Vec<ProfileId> = leaves.into_iter().chain([root.id]).collect();
        // Who came back is nobody's leaf any more, and yet had been.
        of.extend(unmerges::gone_from(self.store.read(), workspace, root.id).await?);
        let found = merges::list(self.store.read(), workspace, &of, after, limit).await?;
        let ids = found.iter().map(|it| it.from).collect::<BTreeSet<_>>();
        let loaded = profiles::load(self.store.read(), workspace, ids.into_iter().collect(), false).await?;
        let by_id: BTreeMap<ProfileId, Profile> = loaded.into_iter().map(|it| (it.id, it)).collect();
        let with_whom = |it: Journalled| {
            let who = by_id.get(&it.from).cloned();
            (it, who)
        };
        Ok(found.into_iter().map(with_whom).collect())
    }

    /// What undoing the merge of `profile` into another one would make of the person. Nothing changes.
    ///
    /// # Errors
    /// As for [`App::unmerge`].
    pub async fn preview_unmerge(&self, workspace: &Workspace, profile: ProfileId) -> Result<Parted> {
        let settings = self.book.settings(workspace).await?;
        let plan = self.parting(self.store.read(), workspace, profile, &settings, false).await?;
        let (back, stays) = plan.parts(&settings)?;
        Ok(Parted { merged: Some(plan.merge.at), undone: None, back, stays: Some(stays) })
    }

    /// Undoes the merge of `profile` into another one: both are themselves again, and stay apart whatever shows them to be
    /// one later. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NoProfile`] if it is not known; [`Error::NotMerged`] if it is itself and always was;
    /// [`Error::TooManyEvents`]; if the database refuses.
    pub async fn unmerge(&self, workspace: &Workspace, profile: ProfileId) -> Result<Parted> {
        if let Some(done) = self.unmerged(workspace, profile).await? {
            return Ok(done);
        }
        let mut last = Error::NotCommitted;
        for _ in 0..TRIES {
            match self.begin_unmerge(workspace, profile).await {
                Ok(parted) => {
                    // Whoever asked may go away in its midst: then housekeeping does the rest.
                    self.bell.ring(&topic());
                    self.go_on_unmerging().await?;
                    return Ok(parted);
                }
                Err(error) if is_transient(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// A profile that came back before, as it and the other are now.
    async fn unmerged(&self, workspace: &Workspace, profile: ProfileId) -> Result<Option<Parted>> {
        let Some(undone) = unmerges::last(self.store.read(), workspace, profile).await? else {
            return Ok(None);
        };
        let (back, leaves) = self.profile(workspace, profile).await?;
        if back.id != profile {
            return Ok(None);
        }
        let stays = match self.profile(workspace, undone.survivor).await {
            Ok((profile, leaves)) => Some(Part { profile, leaves, share: undone.other }),
            Err(Error::NoProfile(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Some(Parted {
            merged: None,
            undone: Some(undone.at),
            back: Part { profile: back, leaves, share: undone.own },
            stays,
        }))
    }

    async fn begin_unmerge(&self, workspace: &Workspace, profile: ProfileId) -> Result<Parted> {
        let now = self.clock.now();
        let tx = self.store.write().await?;
        let settings = self.book.settings_within(&tx, workspace).await?;
        let plan = self.parting(&tx, workspace, profile, &settings, true).await?;
        let merge = &plan.merge;
        let (back, stays) = plan.parts(&settings)?;
        merges::undo(&tx, workspace, merge.id, now).await?;
        profiles::save(&tx, workspace, &plan.changed(&back, &stays)).await?;
        let moved = back.profile.identifiers.iter().map(|it| (it.clone(), profile)).collect();
        profiles::move_identifiers(&tx, workspace, moved).await?;
        let undone = Undone {
            workspace: workspace.clone(),
            merge: merge.id,
            profile,
            survivor: stays.profile.id,
            at: now,
            pending: true,
            own: back.share,
            other: stays.share,
        };
        unmerges::begin(&tx, &undone).await?;
        counters::add(&tx, -1, &BTreeMap::from([((workspace.clone(), Count::Profiles), 1)])).await?;
        let news = Unmerge {
            id: merge.id,
            from: profile,
            into: stays.profile.id,
            leaves: back.leaves.clone(),
            merged: merge.at,
        };
        let told = self.tell(&tx, &settings, &plan, (Side::Back, &back.profile), &news).await?;
        Store::commit(tx).await?;
        let changed: Vec<String> = plan.profiles.keys().map(|it| profile_key(*it)).collect();
        self.cache.forget(workspace, &changed).await;
        self.announce(told);
        Ok(Parted { merged: Some(plan.merge.at), undone: Some(now), back, stays: Some(stays) })
    }

    /// Appends a side's events that are told anew, what befell it, and what others need to know of it; notes where the
    /// events stand now, and takes back what was told of them before.
    async fn tell(
        &self,
        tx: &DatabaseTransaction,
        settings: &Settings,
        plan: &Plan,
        (side, person): (Side, &Profile),
        news: &Unmerge,
    ) -> Result<Told> {
        let retold = plan.retold(side, settings);
        let mut taken_back: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
        for (place, _) in &retold {
            let Some(Whole { place, .. }) = plan.rows.get(*place) else { continue };
            let seqs =
                (place.first_seq..place.first_seq + place.records).filter_map(|it| u64::try_from(it).ok());
            taken_back.entry(place.partition).or_default().extend(seqs);
        }
        for (partition, seqs) in &taken_back {
            self.feed.take_back(tx, *partition, seqs).await?;
        }
        let record = |kind, payload: bytes::Bytes| NewRecord {
            workspace: settings.workspace.clone(),
            profile: person.id,
            kind,
            historical: true,
            correction: true,
            payload,
        };
        let facts = retold.iter().flat_map(|it| &it.1);
        let mut new: Vec<NewRecord> =
            facts.map(|it| record(RETOLD, encode(it).encode_to_vec().into())).collect();
        new.push(record(Unmerge::KIND, news.encode()));
        let reach = person.person.reach(&person.identifiers, settings);
        new.push(profile_record(&settings.workspace, person.id, &person.draw_key, &reach, true));
        let appended = self.feed.append(tx, new).await?;
        let mut seq = appended.records().first().map_or(0, |it| it.seq);
        let mut rows = Vec::with_capacity(retold.len());
        for (place, facts) in &retold {
            let Some(row) = plan.rows.get(*place).cloned() else { continue };
            let leaf = row.place.profile;
            let leaf = if plan.split.members.get(&leaf) == Some(&side) { leaf } else { person.id };
            rows.push(row.moved(leaf, partition(person.id), seq, facts.len()));
            seq += u64::try_from(facts.len()).unwrap_or_default();
        }
        events::update(tx, rows).await?;
        Ok(Told { appended, taken_back })
    }

    fn announce(&self, told: Told) {
        for (partition, seqs) in &told.taken_back {
            self.feed.forget_places(*partition, seqs);
        }
        self.feed.announce(told.appended);
    }

    /// Tells the partitions of survivors of merges that were undone.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn go_on_unmerging(&self) -> Result<()> {
        for undone in unmerges::pending(self.store.read()).await? {
            let mut tries = 0;
            loop {
                match self.tell_survivor(&undone).await {
                    Ok(()) => break,
                    Err(error) if is_transient(&error) && tries < TRIES => tries += 1,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    async fn tell_survivor(&self, undone: &Undone) -> Result<()> {
        let workspace = &undone.workspace;
        let tx = self.store.write().await?;
        if !unmerges::told(&tx, workspace, undone.merge).await? {
            return Ok(());
        }
        let settings = self.book.settings_within(&tx, workspace).await?;
        // Who stays may have become somebody else since, or may have been erased.
        let Some(plan) = self.after_parting(&tx, undone, &settings).await? else {
            return Ok(Store::commit(tx).await?);
        };
        let root = plan.family.root;
        let person = plan.profiles.get(&root).cloned().ok_or_else(|| Error::NoProfile(root.to_string()))?;
        let leaves = profiles::merged(&tx, workspace, vec![undone.profile]).await?;
        let news = Unmerge {
            id: undone.merge,
            from: undone.profile,
            into: root,
            leaves: leaves.into_iter().map(|it| it.0).collect(),
            merged: plan.family.merge.at,
        };
        let told = self.tell(&tx, &settings, &plan, (Side::Stays, &person), &news).await?;
        Store::commit(tx).await?;
        self.cache.forget(workspace, &[profile_key(root)]).await;
        self.announce(told);
        Ok(())
    }
}

/// What telling a side left to announce.
struct Told {
    appended: Appended,
    taken_back: BTreeMap<u16, Vec<u64>>,
}

/// Rings when the survivor of an undone merge is still to hear of it.
pub(super) fn topic() -> Topic {
    Topic::other("ingestion unmerges")
}
