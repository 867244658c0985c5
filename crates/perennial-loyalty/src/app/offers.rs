//! Offers, and the ledger's totals by offer.

use std::collections::BTreeMap;

use perennial_store::Store;
use perennial_types::Workspace;

use super::App;
use crate::domain::coupon::State;
use crate::domain::offer::Offer;
use crate::error::{Error, Result};
use crate::store::ledger::Audit;
use crate::store::offers::StoredOffer;
use crate::store::{coupons, exceptions, ledger, offers};

/// What an update is to change.
#[derive(Clone, Debug, Default)]
pub struct OfferChange {
    /// The offer's bare name.
    pub name: String,
    /// The new definition; absent: unchanged.
    pub definition: Option<String>,
    /// Whether it is to give coupons; absent: unchanged.
    pub live: Option<bool>,
    /// Create it if there is none.
    pub allow_missing: bool,
    /// Check and compare only.
    pub validate_only: bool,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It differs.
    Updated,
    /// Nothing differs.
    Unchanged,
}

/// Totals of one offer, amounts in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Its currency.
    pub currency: String,
    /// Coupons by state.
    pub coupons: BTreeMap<State, i64>,
    /// Set aside.
    pub promised: i64,
    /// Spent.
    pub spent: i64,
    /// The part of it beyond limits and budgets.
    pub excess: i64,
    /// Exceptions.
    pub exceptions: i64,
}

impl App {
    /// Changes or creates an offer.
    ///
    /// # Errors
    /// If the definition is wrong, or there is no such offer and none is to be made.
    pub async fn update_offer(
        &self,
        workspace: &Workspace,
        change: OfferChange,
    ) -> Result<(StoredOffer, Change)> {
        let parsed = match &change.definition {
            Some(yaml) => Some(Offer::from_yaml(yaml, self.currency)?),
            None => None,
        };
        if let Some(offer) = parsed.as_ref().filter(|it| it.name != change.name) {
            return Err(Error::OtherName { name: change.name, definition: offer.name.clone() });
        }
        let now = self.clock.now();
        let tx = self.store.write().await?;
        let (stored, done) = match (offers::find(&tx, workspace, &change.name).await?, parsed) {
            (None, Some(offer)) if change.allow_missing => {
                let stored = StoredOffer {
                    offer,
                    definition: change.definition.unwrap_or_default(),
                    live: change.live.unwrap_or(true),
                    version: 1,
                    created_at: now,
                    updated_at: now,
                };
                (stored, Change::Created)
            }
            (None, _) => return Err(Error::OfferNotFound(change.name)),
            (Some(before), parsed) => {
                let mut stored = before.clone();
                if let Some(offer) = parsed {
                    if offer.currency != before.offer.currency {
                        let currency = before.offer.currency.to_string();
                        return Err(Error::Currency { name: change.name, currency });
                    }
                    stored.offer = offer;
                    stored.definition = change.definition.unwrap_or_default();
                }
                stored.live = change.live.unwrap_or(before.live);
                if stored == before {
                    (stored, Change::Unchanged)
                } else {
                    stored.version += 1;
                    stored.updated_at = now;
                    (stored, Change::Updated)
                }
            }
        };
        if done != Change::Unchanged && !change.validate_only {
            offers::save(&tx, workspace, &stored).await?;
            Store::commit(tx).await?;
        }
        Ok((stored, done))
    }

    /// Reads an offer.
    ///
    /// # Errors
    /// If there is none.
    pub async fn offer(&self, workspace: &Workspace, name: &str) -> Result<StoredOffer> {
        let found = offers::find(self.store.read(), workspace, name).await?;
        found.ok_or_else(|| Error::OfferNotFound(name.to_owned()))
    }

    /// Offers after this name.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn offers(&self, workspace: &Workspace, after: &str, limit: u64) -> Result<Vec<StoredOffer>> {
        Ok(offers::list(self.store.read(), workspace, after, limit).await?)
    }

    /// Totals by offer.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn totals(&self, workspace: &Workspace) -> Result<BTreeMap<String, Totals>> {
        let db = self.store.read();
        let mut totals: BTreeMap<String, Totals> = BTreeMap::new();
        for stored in offers::list(db, workspace, "", 10_000).await? {
            totals.entry(stored.offer.name).or_default().currency = stored.offer.currency.to_string();
        }
        for (offer, state, count, _, _) in coupons::totals(db, workspace).await? {
            totals.entry(offer).or_default().coupons.insert(state, count);
        }
        for (account, (_, balance)) in ledger::balances(db, workspace).await? {
            let Some((kind, offer)) = account.split_once('/') else { continue };
            let of = totals.entry(offer.to_owned()).or_default();
            match kind {
                "promised" => of.promised = balance,
                "spent" => of.spent = balance,
                _ => of.excess = -balance,
            }
        }
        for (offer, count) in exceptions::count(db, workspace).await? {
            totals.entry(offer).or_default().exceptions = count;
        }
        Ok(totals)
    }

    /// Recomputes the books.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn audit(&self, workspace: &Workspace) -> Result<Audit> {
        let snapshot = self.store.snapshot().await?;
        Ok(ledger::audit(&snapshot, workspace).await?)
    }
}
