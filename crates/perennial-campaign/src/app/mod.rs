//! Use cases: one method each, one transaction each.

mod existing;

use std::collections::BTreeMap;
use std::sync::Arc;

use perennial_api::loyalty::v1::GetOfferRequest;
use perennial_api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use perennial_feed::{Bell, Outbox, Reader};
use perennial_rpc::{PeerFault, Transport};
use perennial_store::Store;
use perennial_types::{Clock, Currency, ProfileId, Timestamp, Workspace};
use uuid::Uuid;

use crate::domain::Lifecycle;
use crate::domain::definition::{self, Campaign, Trigger};
use crate::domain::offer::Terms;
use crate::domain::stats::{self, Arm, Report};
use crate::error::{Error, Result};
use crate::store::campaigns::{self, Stored};
use crate::store::decisions::{self, Logged};
use crate::store::exposures;
use crate::store::pauses::{self, Pause};
use crate::worker::{Journeys, PLAN_DATES, Publisher};

/// Campaign's use cases.
pub struct App {
    store: Store,
    clock: Clock,
    bell: Bell,
    outbox: Outbox,
    reader: Arc<Reader<Journeys>>,
    loyalty: LoyaltyServiceClient<Transport>,
    currency: Currency,
}

/// What an update does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// Definition or state differs.
    Updated,
    /// Nothing differs.
    Unchanged,
}

/// What is to change.
pub struct Update<'a> {
    /// The campaign's bare name.
    pub name: &'a str,
    /// Its new definition; empty: unchanged.
    pub definition: &'a str,
    /// Its new state; none: unchanged.
    pub lifecycle: Option<Lifecycle>,
    /// Create it if there is none.
    pub allow_missing: bool,
    /// Change nothing.
    pub validate_only: bool,
}

/// A report and what it was computed from.
pub struct Reported {
    /// The contacted arm.
    pub treated: Arm,
    /// The silent arm.
    pub held_out: Arm,
    /// Customers whose window is open.
    pub open: u64,
    /// Messages decided to be sent.
    pub sent: u64,
    /// The comparison.
    pub report: Report,
    /// As of when.
    pub at: Timestamp,
}

impl App {
    /// The use cases over a store.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        bell: Bell,
        outbox: Outbox,
        reader: Arc<Reader<Journeys>>,
        loyalty: LoyaltyServiceClient<Transport>,
        currency: Currency,
    ) -> Self {
        Self { store, clock, bell, outbox, reader, loyalty, currency }
    }

    /// Reads one campaign and its definition.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the database's.
    pub async fn get(&self, workspace: &Workspace, name: &str) -> Result<(Stored, Campaign)> {
        let stored = campaigns::find(self.store.read(), workspace, name).await?;
        let stored = stored.ok_or_else(|| Error::NotFound(name.to_owned()))?;
        let campaign = definition::read(&stored.definition, self.currency)?;
        Ok((stored, campaign))
    }

    /// Lists campaigns after a name.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(
        &self,
        workspace: &Workspace,
        after: &str,
        limit: u64,
    ) -> Result<Vec<(Stored, Campaign)>> {
        let stored = campaigns::list(self.store.read(), workspace, after, limit).await?;
        stored
            .into_iter()
            .map(|it| Ok((definition::read(&it.definition, self.currency)?, it)))
            .map(|it: Result<_>| it.map(|(campaign, stored)| (stored, campaign)))
            .collect()
    }

    /// Changes or creates a campaign. Answers it as it is then, what changed, and remarks.
    ///
    /// # Errors
    /// If the definition is wrong or of another name, or there is none and none may be created.
    pub async fn update(
        &self,
        workspace: &Workspace,
        update: Update<'_>,
    ) -> Result<(Stored, Campaign, Change, Vec<String>)> {
        let name = update.name;
        let given = match update.definition.is_empty() {
            true => None,
            false => Some(definition::read(update.definition, self.currency)?),
        };
        if let Some(given) = given.as_ref().filter(|it| it.name != name) {
            return Err(Error::OtherName { name: name.to_owned(), definition: given.name.clone() });
        }
        let offers = match &given {
            Some(given) => self.terms(workspace, given).await?,
            None => BTreeMap::new(),
        };
        let now = self.clock.now();
        let tx = self.store.write().await?;
        if !update.validate_only {
            campaigns::begin_change(&tx).await?;
        }
        let known = campaigns::find(&tx, workspace, name).await?;
        let (stored, change) = match known {
            None if !update.allow_missing => return Err(Error::NotFound(name.to_owned())),
            None if update.definition.is_empty() => return Err(Error::NoDefinition(name.to_owned())),
            None => {
                let stored = Stored {
                    name: name.to_owned(),
                    lifecycle: update.lifecycle.unwrap_or(Lifecycle::Draft),
                    version: 1,
                    definition: update.definition.to_owned(),
                    offers,
                    created: now,
                    updated: now,
                };
                (stored, Change::Created)
            }
            Some(known) => {
                let mut stored = known.clone();
                let differs = update.definition != known.definition || offers != known.offers;
                if !update.definition.is_empty() && differs {
                    update.definition.clone_into(&mut stored.definition);
                    stored.offers = offers;
                    stored.version += 1;
                }
                stored.lifecycle = update.lifecycle.unwrap_or(known.lifecycle);
                let change = if stored == known { Change::Unchanged } else { Change::Updated };
                if change == Change::Updated {
                    stored.updated = now;
                }
                (stored, change)
            }
        };
        let campaign = match given {
            Some(campaign) => campaign,
            None => definition::read(&stored.definition, self.currency)?,
        };
        let warnings = campaign.warnings();
        if update.validate_only || change == Change::Unchanged {
            return Ok((stored, campaign, change, warnings));
        }
        campaigns::save(&tx, workspace, &stored).await?;
        // Dates are set when something is told of a profile; those who stay silent have to be visited once.
        let dated = stored.lifecycle == Lifecycle::Live && matches!(campaign.trigger, Trigger::Date { .. });
        if dated {
            self.reader.start_errand(&tx, workspace, PLAN_DATES, now).await?;
        }
        Store::commit(tx).await?;
        self.bell.ring(&Publisher::topic());
        if dated {
            drop(self.reader.errand_started(PLAN_DATES));
        }
        Ok((stored, campaign, change, warnings))
    }

    /// What the offers give that a campaign asks about: they become part of its version.
    async fn terms(&self, workspace: &Workspace, campaign: &Campaign) -> Result<BTreeMap<String, Terms>> {
        let mut terms = BTreeMap::new();
        for offer in campaign.asked_offers() {
            let request = GetOfferRequest { name: format!("{}/offers/{offer}", workspace.resource()) };
            let found = match self.loyalty.clone().get_offer(request).await {
                Ok(found) => found.into_inner(),
                Err(status) => {
                    let fault = PeerFault::new("perennial.loyalty.v1.LoyaltyService", status);
                    return Err(match fault.peer_reason() {
                        Some("OFFER_NOT_FOUND") => Error::NoOffer(offer.to_owned()),
                        _ => fault.into(),
                    });
                }
            };
            let it = match (u32::try_from(found.per_mille).unwrap_or_default(), found.amount_minor) {
                (0, 0) => Terms::FreeShipping(found.cost_minor),
                (0, amount) => Terms::Amount(amount),
                (tenths, _) => Terms::PerMille(tenths),
            };
            terms.insert(offer.to_owned(), it);
        }
        Ok(terms)
    }

    /// Stops all sending of a workspace, or goes on with it.
    ///
    /// # Errors
    /// The database's.
    pub async fn pause(&self, workspace: &Workspace, paused: bool, reason: &str) -> Result<Pause> {
        let now = self.clock.now();
        let tx = self.store.write().await?;
        pauses::set(&tx, workspace, paused, reason, now).await?;
        Store::commit(tx).await?;
        if !paused {
            self.outbox.ring("notification");
        }
        Ok(Pause { paused, reason: reason.to_owned(), updated: Some(now) })
    }

    /// Whether a workspace sends.
    ///
    /// # Errors
    /// The database's.
    pub async fn pause_of(&self, workspace: &Workspace) -> Result<Pause> {
        Ok(pauses::find(self.store.read(), workspace).await?)
    }

    /// The latest decisions about a profile, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn explain(
        &self,
        workspace: &Workspace,
        profile: ProfileId,
        campaign: &str,
        limit: u32,
    ) -> Result<Vec<Logged>> {
        Ok(decisions::of_profile(self.store.read(), workspace, profile, campaign, limit).await?)
    }

    /// A page of decisions, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn decisions(
        &self,
        workspace: &Workspace,
        campaign: &str,
        outcome: &str,
        after: Option<(i64, Uuid)>,
        limit: u64,
    ) -> Result<Vec<Logged>> {
        Ok(decisions::list(self.store.read(), workspace, campaign, outcome, after, limit).await?)
    }

    /// What a campaign earned.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the database's.
    pub async fn report(&self, workspace: &Workspace, name: &str) -> Result<Reported> {
        let db = self.store.read();
        if campaigns::find(db, workspace, name).await?.is_none() {
            return Err(Error::NotFound(name.to_owned()));
        }
        let at = self.clock.now();
        let (treated, held_out, open) = exposures::arms(db, workspace, name, at).await?;
        let sent = decisions::sent(db, workspace, name).await?;
        let report = stats::report(&treated, &held_out);
        Ok(Reported { treated, held_out, open, sent, report, at })
    }
}
