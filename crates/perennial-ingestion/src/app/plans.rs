//! Tracking plans, as they are now.

use perennial_store::Store;
use perennial_types::Workspace;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::App;
use crate::domain::plan::Plan;
use crate::error::{Error, Result};
use crate::store::plans::{self, Kept, Violation};

/// How long a plan that another process may have changed is taken for the one in force.
const FRESH: Duration = Duration::from_secs(10);

/// The plans of workspaces, ready to be asked. Cheap to clone.
#[derive(Clone)]
pub struct Plans(Arc<Inner>);

struct Inner {
    store: Store,
    known: Mutex<HashMap<Workspace, Known>>,
}

#[derive(Clone)]
struct Known {
    plan: Option<Arc<Plan>>,
    version: i64,
    read: Instant,
}

impl Plans {
    /// The plans in `store`.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Inner { store, known: Mutex::default() }))
    }

    /// The plan of a workspace, if it has one.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn of(&self, workspace: &Workspace) -> Result<Option<Arc<Plan>>> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner).get(workspace).cloned();
        if let Some(known) = known.as_ref().filter(|it| it.read.elapsed() < FRESH) {
            return Ok(known.plan.clone());
        }
        let kept = plans::read(self.0.store.read(), workspace).await?;
        let version = kept.as_ref().map_or(0, |it| it.version);
        let plan = match known.filter(|it| it.version == version && it.plan.is_some() == kept.is_some()) {
            Some(same) => same.plan,
            None => kept.and_then(|it| readable(workspace, &it)),
        };
        let now = Known { plan: plan.clone(), version, read: Instant::now() };
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace.clone(), now);
        Ok(plan)
    }

    fn forget(&self, workspace: &Workspace) {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).remove(workspace);
    }
}

/// A plan was checked before it was kept; one that a later version of us cannot read any more refuses nothing.
fn readable(workspace: &Workspace, kept: &Kept) -> Option<Arc<Plan>> {
    match Plan::parse(&kept.definition) {
        Ok(plan) => Some(Arc::new(plan)),
        Err(fault) => {
            tracing::error!(workspace = workspace.as_str(), %fault, "the tracking plan cannot be read: apply it again");
            None
        }
    }
}

/// What a definition makes of a plan.
pub struct Planned {
    /// The plan as it is then.
    pub kept: Kept,
    /// What was there before, if anything.
    pub before: Option<i64>,
    /// How many events it has entries for.
    pub events: usize,
    /// For how many of them a violation refuses.
    pub enforced: usize,
}

impl App {
    /// Reads a workspace's plan.
    ///
    /// # Errors
    /// [`Error::NoPlan`] if it has none; if the database refuses.
    pub async fn plan(&self, workspace: &Workspace) -> Result<Kept> {
        plans::read(self.store.read(), workspace).await?.ok_or(Error::NoPlan)
    }

    /// Makes a workspace's plan what `definition` says; with `only_check` it only says what that comes to.
    ///
    /// # Errors
    /// [`Error::Plan`] if it is no plan; if the database refuses.
    pub async fn make_plan(
        &self,
        workspace: &Workspace,
        definition: &str,
        only_check: bool,
    ) -> Result<Planned> {
        let text = definition.to_owned();
        // Compiling schemas takes a while, and recurses.
        let counts = tokio::task::spawn_blocking(move || Plan::parse(&text).map(|it| it.counts())).await;
        let (events, enforced) = counts.map_err(|_| Error::NotCommitted)??;
        let tx = self.store.write().await?;
        let before = plans::read(&tx, workspace).await?;
        let kept = match before.clone().filter(|it| it.definition == definition) {
            Some(same) => same,
            None => Kept {
                definition: definition.to_owned(),
                version: before.as_ref().map_or(0, |it| it.version) + 1,
                updated: self.clock.now(),
            },
        };
        if !only_check {
            plans::write(&tx, workspace, &kept).await?;
        }
        Store::commit(tx).await?;
        self.plans.forget(workspace);
        Ok(Planned { kept, before: before.map(|it| it.version), events, enforced })
    }

    /// Ends a workspace's plan.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn end_plan(&self, workspace: &Workspace) -> Result<()> {
        let tx = self.store.write().await?;
        plans::delete(&tx, workspace).await?;
        Store::commit(tx).await?;
        self.plans.forget(workspace);
        Ok(())
    }

    /// What was observed against the plan, the most frequent first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn violations(&self, workspace: &Workspace, limit: u64) -> Result<Vec<Violation>> {
        Ok(plans::violations(self.store.read(), workspace, limit).await?)
    }
}
