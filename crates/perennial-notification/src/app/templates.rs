//! Templates and the emergency pause.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use perennial_store::Store;
use perennial_types::Workspace;

use super::App;
use crate::domain::template::{Compiled, Template};
use crate::error::{Error, Result};
use crate::store::pauses::{self, Pause};
use crate::store::templates::{self, StoredTemplate};

/// What an update is to change.
#[derive(Clone, Debug, Default)]
pub struct TemplateChange {
    /// The template's bare name.
    pub name: String,
    /// The new definition.
    pub definition: String,
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

impl App {
    /// Checks a template and changes or creates it.
    ///
    /// # Errors
    /// If the definition is wrong, or there is no such template and none is to be made.
    pub async fn update_template(
        &self,
        workspace: &Workspace,
        change: TemplateChange,
    ) -> Result<(StoredTemplate, Change)> {
        let template = Template::from_yaml(&change.definition)?;
        template.compile()?;
        if template.name != change.name {
            return Err(Error::OtherName { name: change.name, definition: template.name });
        }
        let now = self.clock.now();
        let tx = self.store.write().await?;
        let (stored, done) = match templates::find(&tx, workspace, &change.name).await? {
            None if change.allow_missing => {
                let (name, definition) = (change.name, change.definition);
                (
                    StoredTemplate { name, definition, version: 1, created_at: now, updated_at: now },
                    Change::Created,
                )
            }
            None => return Err(Error::TemplateNotFound(change.name)),
            Some(it) if it.definition == change.definition => (it, Change::Unchanged),
            Some(it) => {
                let version = it.version + 1;
                (
                    StoredTemplate { definition: change.definition, version, updated_at: now, ..it },
                    Change::Updated,
                )
            }
        };
        if done != Change::Unchanged && !change.validate_only {
            templates::save(&tx, workspace, &stored).await?;
            Store::commit(tx).await?;
        }
        Ok((stored, done))
    }

    /// Reads a template.
    ///
    /// # Errors
    /// If there is none.
    pub async fn template(&self, workspace: &Workspace, name: &str) -> Result<StoredTemplate> {
        let found = templates::find(self.store.read(), workspace, name).await?;
        found.ok_or_else(|| Error::TemplateNotFound(name.to_owned()))
    }

    /// Templates after this name.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn templates(
        &self,
        workspace: &Workspace,
        after: &str,
        limit: u64,
    ) -> Result<Vec<StoredTemplate>> {
        Ok(templates::list(self.store.read(), workspace, after, limit).await?)
    }

    /// The compiled forms of these templates in their present versions; those that are missing are not in it.
    pub(super) async fn compiled(
        &self,
        workspace: &Workspace,
        names: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Arc<Compiled>>> {
        let mut found = BTreeMap::new();
        for (name, version) in templates::versions(self.store.read(), workspace, names).await? {
            let key = (workspace.clone(), name.clone());
            let kept = {
                let cache = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
                cache.get(&key).filter(|it| it.0 == version).map(|it| it.1.clone())
            };
            let compiled = match kept {
                Some(it) => it,
                None => {
                    let Some(stored) = templates::find(self.store.read(), workspace, &name).await? else {
                        continue;
                    };
                    let compiled = match Template::from_yaml(&stored.definition).and_then(|it| it.compile()) {
                        Ok(it) => Arc::new(it),
                        Err(error) => {
                            // It was good when it was applied; its own messages are refused, others go on.
                            tracing::error!(%error, "a template of an older version does not compile");
                            continue;
                        }
                    };
                    let mut cache = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
                    cache.insert(key, (stored.version, compiled.clone()));
                    compiled
                }
            };
            found.insert(name, compiled);
        }
        Ok(found)
    }

    /// Stops or resumes handing over.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_pause(&self, workspace: &Workspace, paused: bool, reason: String) -> Result<Pause> {
        let tx = self.store.write().await?;
        let before = pauses::find(&tx, workspace).await?;
        let since = before.filter(|it| it.paused == paused).map_or_else(|| self.clock.now(), |it| it.at);
        let pause = Pause { paused, reason: if paused { reason } else { String::new() }, at: since };
        pauses::save(&tx, workspace, &pause).await?;
        Store::commit(tx).await?;
        self.bell.ring(&Self::topic());
        Ok(pause)
    }

    /// Whether a workspace hands over; nothing if it was never paused.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn pause(&self, workspace: &Workspace) -> Result<Option<Pause>> {
        Ok(pauses::find(self.store.read(), workspace).await?)
    }
}
