//! Erasing people: out of our own tables at once, then out of everybody else's, who answer with receipts.

use perennial_feed::{Erasure as Told, NewRecord, Places, Topic};
use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{Channel, Identifier, IdentifierKind, ProfileId, Timestamp, Workspace, new_id};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::App;
use super::profiles::profile_key;
use crate::domain::mention::Wanted;
use crate::error::{Error, Result};
use crate::store::counters::{self, Count};
use crate::store::erasures::{self, Erasure, Receipt};
use crate::store::profiles::{self, Profile};
use crate::store::{events, merges, rejected};

/// How often an erasure is tried again because its person was just merged, or a writer was in the way.
const TRIES: usize = 5;
/// Refused events looked at in one query.
const PAGE: u64 = 1_000;
/// Whose receipts tell that the suppression list has taken what it needs.
const SUPPRESSES: &str = "notification";

/// An erasure, and how far it is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The erasure.
    pub erasure: Erasure,
    /// What was done, by service and table.
    pub stores: Vec<(String, erasures::Store)>,
    /// Services that have not answered for all profiles of the person.
    pub awaited: Vec<String>,
}

impl App {
    /// Erases a person. When it answers, they are out of this service; others follow. Whoever was erased before stays so.
    ///
    /// # Errors
    /// [`Error::NoProfile`] if the profile is not known and never was erased; if the database refuses.
    pub async fn erase(&self, workspace: &Workspace, profile: ProfileId) -> Result<Progress> {
        let mut last = Error::NotCommitted;
        for _ in 0..TRIES {
            match self.begin_erasure(workspace, profile).await {
                Ok(Some(id)) => {
                    let rest = Rest(Some(self));
                    self.go_on(workspace, id).await?;
                    rest.done();
                    return self.erasure(workspace, id).await;
                }
                Ok(None) => {}
                Err(error) if super::lane::is_transient(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Takes the profile that a person is now out of our tables, so that nobody is known by their identifiers any more, and
    /// writes down what is left to do. Answers nothing if the profile was merged meanwhile.
    async fn begin_erasure(&self, workspace: &Workspace, asked: ProfileId) -> Result<Option<Uuid>> {
        let Some(contact) = self.contacts(workspace, vec![asked]).await?.pop() else {
            let before = erasures::of_profiles(self.store.read(), workspace, [asked]).await?;
            return before.get(&asked).copied().map(Some).ok_or_else(|| Error::NoProfile(asked.to_string()));
        };
        let root = contact.profile.id;
        let now = self.clock.now();
        let id = new_id(now);
        let places = self.feed.places(workspace, root).await?;
        let tx = self.store.write().await?;
        // Whoever would merge this person with another, or add to what is known of them, needs this row.
        let locked = profiles::load(&tx, workspace, vec![root], true).await?.pop();
        let Some(person) = locked.filter(|it| it.merged_into.is_none()) else { return Ok(None) };
        let leaves: Vec<ProfileId> =
            profiles::merged(&tx, workspace, vec![root]).await?.into_iter().map(|it| it.0).collect();
        let others = profiles::load(&tx, workspace, leaves.clone(), false).await?;
        let family: Vec<&Profile> = others.iter().chain([&person]).collect();
        let identifiers: BTreeSet<Identifier> =
            family.iter().flat_map(|it| it.identifiers.iter().cloned()).collect();
        let addresses = if self.erasures.receipts_from.iter().any(|it| it == SUPPRESSES) {
            addresses(&family)
        } else {
            BTreeSet::new()
        };
        erasures::begin(&tx, workspace, (id, now), root, &leaves, &addresses).await?;
        let known_by = profiles::forget_identifiers(&tx, workspace, root, &identifiers).await?;
        let wanted = Wanted::new(identifiers, leaves.iter().copied().chain([root]));
        let refused = self.refused_events(&tx, workspace, &wanted).await?;
        let refused = rejected::remove(&tx, workspace, &refused).await?;
        counters::add(&tx, -1, &BTreeMap::from([((workspace.clone(), Count::Profiles), -1)])).await?;
        let more = [("identifier", known_by), ("rejected", refused)];
        self.take_out(tx, workspace, id, (root, &places), &more).await?;
        Ok(Some(id))
    }

    /// Takes one profile out of our tables, tells everybody, and commits.
    async fn take_out(
        &self,
        tx: DatabaseTransaction,
        workspace: &Workspace,
        id: Uuid,
        (profile, places): (ProfileId, &Places),
        more: &[(&str, u64)],
    ) -> Result<()> {
        let now = self.clock.now();
        let mut gone = more.to_vec();
        gone.push(("event", events::remove(&tx, workspace, profile).await?));
        gone.push(("merge", merges::remove(&tx, workspace, profile).await?));
        gone.push(("profile", profiles::remove(&tx, workspace, profile).await?));
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let mut stores: Vec<erasures::Store> = gone
            .into_iter()
            .filter(|(_, rows)| *rows > 0)
            .map(|(name, rows)| erasures::Store {
                name: name.to_owned(),
                erased: count(rows),
                ..Default::default()
            })
            .collect();
        let emptied = self.feed.erase(&tx, workspace, profile, places).await?;
        stores.push(erasures::Store {
            name: "feed_record".to_owned(),
            unlinked: count(emptied),
            kept: "position, kind and time, so that readers can go on".to_owned(),
            ..Default::default()
        });
        let receipt = Receipt { service: crate::NAME.to_owned(), profile, stores };
        erasures::receive(&tx, workspace, id, &receipt, now).await?;
        erasures::taken_out(&tx, workspace, id, profile).await?;
        let record = NewRecord {
            workspace: workspace.clone(),
            profile,
            kind: Told::KIND,
            historical: false,
            correction: false,
            payload: Told { id }.encode(),
        };
        let appended = self.feed.append(&tx, vec![record]).await?;
        Store::commit(tx).await?;
        self.cache.forget(workspace, &[profile_key(profile)]).await;
        let own = appended.records().first().map_or(0, |it| it.seq);
        self.feed.forget(workspace, profile, own);
        self.feed.announce(appended);
        Ok(())
    }

    /// Does what is left to do of an erasure in our own tables.
    async fn go_on(&self, workspace: &Workspace, id: Uuid) -> Result<()> {
        for leaf in erasures::pending(self.store.read(), workspace, id).await? {
            let mut tries = 0;
            loop {
                let places = self.feed.places(workspace, leaf).await?;
                let tx = self.store.write().await?;
                profiles::load(&tx, workspace, vec![leaf], true).await?;
                match self.take_out(tx, workspace, id, (leaf, &places), &[]).await {
                    Ok(()) => break,
                    Err(error) if super::lane::is_transient(&error) && tries < TRIES => tries += 1,
                    Err(error) => return Err(error),
                }
            }
        }
        self.conclude(workspace, id).await
    }

    /// Goes on with erasures that a crash left half done.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn go_on_erasing(&self) -> Result<()> {
        for (workspace, id) in erasures::unfinished(self.store.read()).await? {
            self.go_on(&workspace, id).await?;
        }
        Ok(())
    }

    /// Takes a service's receipt.
    ///
    /// # Errors
    /// [`Error::NoErasure`] if there is no such erasure; if the database refuses, and nothing of it counts then.
    pub async fn receive(&self, workspace: &Workspace, id: Uuid, receipt: &Receipt) -> Result<()> {
        self.find_erasure(workspace, id).await?;
        let tx = self.store.write().await?;
        erasures::receive(&tx, workspace, id, receipt, self.clock.now()).await?;
        Store::commit(tx).await?;
        self.conclude(workspace, id).await
    }

    /// Forgets the addresses once the suppression list has their hashes, and ends the erasure once all have answered: not
    /// before our own files are clean, too.
    async fn conclude(&self, workspace: &Workspace, id: Uuid) -> Result<()> {
        let progress = self.erasure(workspace, id).await?;
        let open = !erasures::pending(self.store.read(), workspace, id).await?.is_empty();
        if open || progress.erasure.done.is_some() {
            return Ok(());
        }
        if !progress.awaited.iter().any(|it| it == SUPPRESSES) {
            let tx = self.store.write().await?;
            erasures::forget_addresses(&tx, workspace, id).await?;
            Store::commit(tx).await?;
        }
        self.store.scrub().await?;
        if progress.awaited.is_empty() {
            let tx = self.store.write().await?;
            erasures::finish(&tx, workspace, id, self.clock.now()).await?;
            Store::commit(tx).await?;
        }
        Ok(())
    }

    async fn find_erasure(&self, workspace: &Workspace, id: Uuid) -> Result<Erasure> {
        let found = erasures::find(self.store.read(), workspace, id).await?;
        found.ok_or_else(|| Error::NoErasure(id.to_string()))
    }

    /// An erasure and how far it is.
    ///
    /// # Errors
    /// [`Error::NoErasure`] if there is none; if the database refuses.
    pub async fn erasure(&self, workspace: &Workspace, id: Uuid) -> Result<Progress> {
        let erasure = self.find_erasure(workspace, id).await?;
        let mut stores: BTreeMap<(String, String), erasures::Store> = BTreeMap::new();
        let mut answered: BTreeMap<String, i64> = BTreeMap::new();
        for receipt in erasures::receipts(self.store.read(), workspace, id).await? {
            *answered.entry(receipt.service.clone()).or_default() += 1;
            for it in receipt.stores {
                let sum = stores.entry((receipt.service.clone(), it.name.clone())).or_default();
                sum.erased += it.erased;
                sum.unlinked += it.unlinked;
                sum.name = it.name;
                if !it.kept.is_empty() {
                    sum.kept = it.kept;
                }
            }
        }
        let answers = |service: &String| answered.get(service).copied().unwrap_or_default();
        let awaited = self.erasures.receipts_from.iter().filter(|it| answers(it) < erasure.profiles).cloned();
        let awaited = awaited.collect();
        // In the order in which a fact travels, as everywhere.
        let order: Vec<&str> =
            [crate::NAME].into_iter().chain(self.erasures.receipts_from.iter().map(String::as_str)).collect();
        let place = |service: &str| order.iter().position(|it| *it == service).unwrap_or(usize::MAX);
        let mut stores: Vec<(String, erasures::Store)> =
            stores.into_iter().map(|((service, _), it)| (service, it)).collect();
        stores.sort_by_key(|(service, _)| place(service));
        Ok(Progress { erasure, stores, awaited })
    }

    /// A page of erasures, newest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn erasures(
        &self,
        workspace: &Workspace,
        before: Option<(i64, Uuid)>,
        limit: u64,
    ) -> Result<Vec<Erasure>> {
        Ok(erasures::list(self.store.read(), workspace, before, limit).await?)
    }

    /// When the last backup that may know an erased person expires.
    pub fn backups_expire(&self, erasure: &Erasure) -> Timestamp {
        let days = i64::from(self.erasures.backups_keep_days);
        erasure.created.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX)
    }

    /// The addresses of a person being erased, channel and address; none once they are gone.
    ///
    /// # Errors
    /// [`Error::NoErasure`] if there is none; if the database refuses.
    pub async fn erased_addresses(&self, workspace: &Workspace, id: Uuid) -> Result<Vec<(String, String)>> {
        self.find_erasure(workspace, id).await?;
        Ok(erasures::addresses(self.store.read(), workspace, id).await?)
    }

    /// Refused events that name a person.
    pub(super) async fn refused_events(
        &self,
        db: &impl perennial_store::ConnectionTrait,
        workspace: &Workspace,
        wanted: &Wanted,
    ) -> Result<Vec<Uuid>> {
        let mut found = Vec::new();
        let mut before = None;
        loop {
            let page = rejected::list(db, workspace, None, before, PAGE).await?;
            let texts = |it: &rejected::Rejected| {
                [Some(it.body.clone()), it.fixed.clone(), Some(it.problem.reason.clone())]
            };
            let named = page.iter().filter(|it| texts(it).into_iter().flatten().any(|it| wanted.is_in(&it)));
            found.extend(named.map(|it| it.id));
            match page.last() {
                Some(last) if page.len() as u64 == PAGE => {
                    before = Some((perennial_types::micros(last.received), last.id));
                }
                _ => return Ok(found),
            }
        }
    }
}

/// What is left of an erasure if whoever asked for it goes away in its midst: the housekeeping does it.
struct Rest<'a>(Option<&'a App>);

impl Rest<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        if let Some(app) = self.0 {
            app.bell.ring(&topic());
        }
    }
}

/// Rings when an erasure was left half done.
pub(super) fn topic() -> Topic {
    Topic::other("ingestion erasures")
}

/// All addresses that a person was ever known by.
fn addresses(family: &[&Profile]) -> BTreeSet<(Channel, String)> {
    let mut found = BTreeSet::new();
    for it in family {
        for identifier in &it.identifiers {
            match identifier.kind {
                IdentifierKind::Email => found.insert((Channel::Email, identifier.value.clone())),
                IdentifierKind::Phone => found.insert((Channel::Sms, identifier.value.clone())),
                IdentifierKind::UserId | IdentifierKind::AnonymousId => false,
            };
        }
        found.extend(it.person.email(&it.identifiers).map(|it| (Channel::Email, it)));
        found.extend(it.person.phone(&it.identifiers).map(|it| (Channel::Sms, it)));
    }
    found
}
