//! What can be done: one method a use case, one transaction each. Peers are called before a transaction, never in one.

mod deliver;
mod gather;
mod react;
mod send;
mod templates;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use perennial_api::profile::v1::BatchGetContactsRequest;
use perennial_api::profile::v1::profile_service_client::ProfileServiceClient;
use perennial_feed::{Bell, Outbox, Topic};
use perennial_rpc::{PeerFault, Transport};
use perennial_store::Store;
use perennial_types::{Clock, ProfileId, Timestamp, Workspace};

use crate::domain::compose::{Contact, Letterhead};
use crate::domain::links::Signer;
use crate::domain::template::Compiled;
use crate::error::Result;
use crate::metrics::Metrics;

pub use deliver::{Composed, Round};
use react::Reactions;

pub use react::Visit;
pub use send::Receipt;
pub use templates::{Change, TemplateChange};

/// The name of the outbox's target.
pub const INGESTION: &str = "ingestion";
const PROFILES: &str = "perennial.profile.v1.ProfileService";

/// Compiled templates and their versions, by workspace and name.
type Cache = Arc<Mutex<HashMap<(Workspace, String), (i64, Arc<Compiled>)>>>;

/// The use cases.
#[derive(Clone)]
pub struct App {
    store: Store,
    clock: Clock,
    bell: Bell,
    outbox: Outbox,
    profiles: ProfileServiceClient<Transport>,
    head: Arc<Letterhead>,
    compiled: Cache,
    reactions: Arc<Reactions>,
    metrics: Metrics,
}

/// What the use cases are made of.
pub struct Parts {
    /// The service's database.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// The bell.
    pub bell: Bell,
    /// Reaches `ProfileService`.
    pub profiles: Transport,
    /// What every letter shares.
    pub head: Letterhead,
}

impl App {
    /// The use cases.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, clock, bell, profiles, head } = parts;
        let outbox = Outbox::new(crate::NAME, store.clone(), clock.clone(), bell.clone());
        let profiles = perennial_rpc::client!(ProfileServiceClient::new(profiles));
        let (head, compiled, reactions) = (Arc::new(head), Cache::default(), Arc::default());
        let metrics = Metrics::new(&opentelemetry::global::meter("perennial.notification"));
        Self { store, clock, bell, outbox, profiles, head, compiled, reactions, metrics }
    }

    /// Rings when there may be something to hand over.
    #[must_use]
    pub fn topic() -> Topic {
        Topic::other("notification messages")
    }

    /// Signs links and hashes addresses.
    #[must_use]
    pub fn signer(&self) -> Signer {
        self.head.signer.clone()
    }

    /// Now, by the process's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Events for ingestion wait here.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Reads how to reach these people; those nobody knows are not in it.
    async fn contacts(
        &self,
        workspace: &Workspace,
        profiles: BTreeSet<ProfileId>,
    ) -> Result<BTreeMap<ProfileId, Contact>> {
        let space = workspace.resource();
        let profiles: Vec<_> = profiles.into_iter().collect();
        let mut found = BTreeMap::new();
        for chunk in profiles.chunks(1_000) {
            let names = chunk.iter().map(|it| format!("{space}/profiles/{it}")).collect();
            let request = BatchGetContactsRequest { parent: space.clone(), names };
            let answer = self.profiles.clone().batch_get_contacts(request).await;
            let answer = answer.map_err(|status| PeerFault::new(PROFILES, status))?;
            for it in answer.into_inner().contacts {
                let id = |name: &str| name.rsplit('/').next().and_then(|it| ProfileId::parse(it).ok());
                let Some(asked) = id(&it.name) else { continue };
                let contact = Contact {
                    profile: id(&it.current_name).unwrap_or(asked),
                    email: it.email,
                    traits: serde_json::from_str(&it.traits_json).unwrap_or_default(),
                    time_zone: it.time_zone,
                    locale: it.locale,
                };
                found.insert(asked, contact);
            }
        }
        Ok(found)
    }
}
