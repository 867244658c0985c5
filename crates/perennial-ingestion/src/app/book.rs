//! The settings of workspaces, as they are now.

use perennial_store::{ConnectionTrait, Store};
use perennial_types::{Currency, Workspace};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::domain::agreement::Rule;
use crate::domain::settings::{Rates, Settings};
use crate::error::{Error, Result};
use crate::store::settings::{self, Decided};

/// How long settings that another process may have changed are taken for true.
const FRESH: Duration = Duration::from_secs(10);

/// Reads and changes settings. Cheap to clone.
#[derive(Clone)]
pub struct Book(Arc<Inner>);

struct Inner {
    store: Store,
    config: Config,
    known: Mutex<HashMap<Workspace, Kept>>,
}

#[derive(Clone)]
struct Kept {
    settings: Arc<Settings>,
    /// The currency was decided, by somebody or by the first amount.
    fixed: bool,
    read: Instant,
}

/// A change of settings; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The reporting currency.
    pub currency: Option<Currency>,
    /// Profit per revenue where no cost is known.
    pub default_margin_per_mille: Option<i64>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// BCP 47 locale.
    pub locale: Option<String>,
    /// What makes consent, in place of all that was said of it before.
    pub consent_rules: Option<Vec<Rule>>,
    /// Rates to add or replace.
    pub rates: Rates,
}

impl Book {
    /// The book of `store`; `config` says what counts where nothing was decided.
    pub fn new(store: Store, config: Config) -> Self {
        Self(Arc::new(Inner { store, config, known: Mutex::default() }))
    }

    /// The settings of a workspace.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn settings(&self, workspace: &Workspace) -> Result<Arc<Settings>> {
        Ok(self.kept(workspace).await?.settings)
    }

    /// The settings, and whether the currency is decided.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn with_currency(&self, workspace: &Workspace) -> Result<(Arc<Settings>, bool)> {
        let kept = self.kept(workspace).await?;
        Ok((kept.settings, kept.fixed))
    }

    /// The settings of a workspace, read within a transaction: one that holds the only writer must not wait for a
    /// connection besides.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn settings_within(
        &self,
        tx: &impl ConnectionTrait,
        workspace: &Workspace,
    ) -> Result<Arc<Settings>> {
        match self.fresh(workspace) {
            Some(kept) => Ok(kept.settings),
            None => Ok(self.read(tx, workspace).await?.settings),
        }
    }

    async fn kept(&self, workspace: &Workspace) -> Result<Kept> {
        match self.fresh(workspace) {
            Some(kept) => Ok(kept),
            None => self.read(self.0.store.read(), workspace).await,
        }
    }

    fn fresh(&self, workspace: &Workspace) -> Option<Kept> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner).get(workspace).cloned();
        known.filter(|it| it.read.elapsed() < FRESH)
    }

    async fn read(&self, db: &impl ConnectionTrait, workspace: &Workspace) -> Result<Kept> {
        let decided = settings::read(db, workspace).await?;
        let config = &self.0.config;
        let currency = decided.currency.or(config.currency);
        let settings = Settings {
            workspace: workspace.clone(),
            currency: currency.unwrap_or(Currency::EUR),
            default_margin_per_mille: decided
                .default_margin_per_mille
                .unwrap_or(config.default_margin_per_mille),
            time_zone: decided.time_zone.unwrap_or_else(|| config.time_zone.clone()),
            locale: decided.locale.unwrap_or_default(),
            consent_rules: decided.consent_rules,
            rates: decided.rates,
        };
        let kept = Kept { settings: Arc::new(settings), fixed: currency.is_some(), read: Instant::now() };
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace.clone(), kept.clone());
        Ok(kept)
    }

    /// Makes `currency` the workspace's, unless it has one by now; gives the settings that hold from here on.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn adopt(&self, workspace: &Workspace, currency: Currency) -> Result<Arc<Settings>> {
        let tx = self.0.store.write().await?;
        settings::adopt(&tx, workspace, currency).await?;
        Store::commit(tx).await?;
        Ok(self.read(self.0.store.read(), workspace).await?.settings)
    }

    /// Changes settings.
    ///
    /// # Errors
    /// [`Error::CurrencyFixed`] if amounts were booked in another currency; else if a value is wrong or the database
    /// refuses.
    pub async fn change(&self, workspace: &Workspace, change: Change) -> Result<Arc<Settings>> {
        if let Some(zone) = &change.time_zone
            && jiff::tz::TimeZone::get(zone).is_err()
        {
            let problem = format!("is {zone:?}, no known time zone: use an IANA name such as Europe/Madrid");
            return Err(Error::field("workspace.time_zone", problem));
        }
        if let Some(margin) = change.default_margin_per_mille
            && !(0..=1_000).contains(&margin)
        {
            let problem = format!("is {margin}: use 0 to 1000");
            return Err(Error::field("workspace.default_margin_per_mille", problem));
        }
        let tx = self.0.store.write().await?;
        let mut decided: Decided = settings::read(&tx, workspace).await?;
        if let Some(wanted) = change.currency {
            match decided.currency.or(self.0.config.currency) {
                Some(fixed) if fixed != wanted => return Err(Error::CurrencyFixed(fixed)),
                _ => decided.currency = Some(wanted),
            }
        }
        decided.default_margin_per_mille =
            change.default_margin_per_mille.or(decided.default_margin_per_mille);
        decided.time_zone = change.time_zone.or(decided.time_zone);
        decided.locale = change.locale.or(decided.locale);
        decided.consent_rules = change.consent_rules.unwrap_or(decided.consent_rules);
        decided.rates = change.rates;
        settings::write(&tx, workspace, &decided).await?;
        Store::commit(tx).await?;
        Ok(self.read(self.0.store.read(), workspace).await?.settings)
    }
}
