//! Costs of the products that orders name without telling them: looked up together for a whole request, and remembered
//! for as long as the catalogue stays as it is.

use perennial_store::Store;
use perennial_types::{OrderChange, Workspace};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::catalogue::costs::{Costs, sorted};
use crate::domain::event::{Event, Meaning};
use crate::domain::orders;
use crate::domain::settings::Settings;
use crate::error::Result;
use crate::store::{catalogue, products};

/// How long a catalogue that another process may have changed is taken for unchanged.
const FRESH: Duration = Duration::from_secs(10);
/// Most words kept in memory for a workspace.
const MOST: usize = 100_000;

/// Looks costs up. Cheap to clone.
#[derive(Clone)]
pub struct Shelf(Arc<Inner>);

struct Inner {
    store: Store,
    kept: Mutex<HashMap<Workspace, Kept>>,
    /// How often something was forgotten: what was read before is not kept after.
    forgotten: AtomicU64,
}

struct Kept {
    version: i64,
    /// The catalogue knows costs at all.
    costed: bool,
    read: Instant,
    costs: Costs,
}

impl Shelf {
    /// The costs of the catalogues in `store`.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Inner { store, kept: Mutex::default(), forgotten: AtomicU64::new(0) }))
    }

    /// Gives the orders among `events` the costs that they do not tell and the catalogue knows.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn fill(&self, settings: &Settings, events: &mut [(usize, Event)]) -> Result<()> {
        let named = |(_, event): &(usize, Event)| match &event.meaning {
            Meaning::Order(OrderChange::Placed(_), uncosted) => {
                uncosted.iter().flat_map(|it| it.words()).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let words: BTreeSet<String> = events.iter().flat_map(named).collect();
        if words.is_empty() {
            return Ok(());
        }
        let costs = self.costs(&settings.workspace, &words).await?;
        if costs.is_empty() {
            return Ok(());
        }
        for (_, event) in events {
            if let Meaning::Order(OrderChange::Placed(order), uncosted) = &mut event.meaning {
                orders::fill(order, uncosted, &costs, event.at, settings);
            }
        }
        Ok(())
    }

    /// What is remembered of a catalogue is true no more.
    pub fn forget(&self, workspace: &Workspace) {
        let mut kept = self.kept();
        self.0.forgotten.fetch_add(1, Ordering::SeqCst);
        kept.remove(workspace);
    }

    async fn costs(&self, workspace: &Workspace, words: &BTreeSet<String>) -> Result<Costs> {
        let Some(version) = self.version(workspace).await? else { return Ok(Costs::new()) };
        let mut found = Costs::new();
        if let Some(kept) = self.kept().get(workspace).filter(|it| it.version == version) {
            let known = |word: &String| Some((word.clone(), kept.costs.get(word)?.clone()));
            found.extend(words.iter().filter_map(known));
        }
        let missing: Vec<&str> =
            words.iter().filter(|it| !found.contains_key(*it)).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let read = products::costs(self.0.store.read(), workspace, &missing).await?;
        let read: Costs = sorted(missing, read).into_iter().map(|(word, it)| (word, Arc::new(it))).collect();
        // A catalogue that changed meanwhile remembers nothing of before.
        if let Some(kept) = self.kept().get_mut(workspace).filter(|it| it.version == version) {
            if kept.costs.len() + read.len() > MOST {
                kept.costs.clear();
            }
            kept.costs.extend(read.iter().map(|(word, it)| (word.clone(), it.clone())));
        }
        found.extend(read);
        Ok(found)
    }

    /// The version of a catalogue that knows costs; none if there is no such.
    async fn version(&self, workspace: &Workspace) -> Result<Option<i64>> {
        if let Some(kept) = self.kept().get(workspace).filter(|it| it.read.elapsed() < FRESH) {
            return Ok(kept.costed.then_some(kept.version));
        }
        let forgotten = self.0.forgotten.load(Ordering::SeqCst);
        let read = Instant::now();
        let head = catalogue::head(self.0.store.read(), workspace).await?;
        let (version, costed) = head.map_or((0, false), |it| (it.version, it.costed));
        let mut kept = self.kept();
        if self.0.forgotten.load(Ordering::SeqCst) == forgotten {
            let before = kept.remove(workspace).filter(|it| it.version == version);
            let costs = before.map(|it| it.costs).unwrap_or_default();
            kept.insert(workspace.clone(), Kept { version, costed, read, costs });
        }
        Ok(costed.then_some(version))
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Workspace, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
