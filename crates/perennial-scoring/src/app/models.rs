//! Reading the registry.

use perennial_types::Workspace;

use super::App;
use crate::domain::model::Registered;
use crate::error::{Error, Result};
use crate::store;

impl App {
    /// One model by its version, or the one in force.
    ///
    /// # Errors
    /// If there is none.
    pub async fn model(&self, workspace: &Workspace, version: Option<i64>) -> Result<Registered> {
        let db = self.store.read();
        let found = match version {
            Some(version) => store::model(db, workspace, version).await?,
            None => store::latest(db, workspace).await?,
        };
        let id = version.map_or_else(|| "published".to_owned(), |it| it.to_string());
        found.ok_or_else(|| Error::NoModel(format!("{}/models/{id}", workspace.resource())))
    }

    /// Models before a version, newest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn models(&self, workspace: &Workspace, before: i64, most: u64) -> Result<Vec<Registered>> {
        Ok(store::list(self.store.read(), workspace, before, most).await?)
    }
}
