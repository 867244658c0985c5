//! The projection of consent: the latest word of each profile for each channel and purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use perennial_api::profile::v1::privacy_service_client::PrivacyServiceClient;
use perennial_api::profile::v1::{ErasedAddress, ReadErasedAddressesRequest};
use perennial_feed::{Erasing, Fold, FoldFault, Personal, Record, Turn};
use perennial_rpc::Transport;
use perennial_rpc::facts::{self, About};
use perennial_store::{DatabaseTransaction, Store, StoreError};
use perennial_types::{
    Channel, Clock, ConsentChange, FactKind, ProfileId, Purpose, Timestamp, Workspace, from_micros, micros,
};
use serde::{Deserialize, Serialize};
use tonic::Code;
use uuid::Uuid;

use crate::domain::links::Signer;
use crate::store;
use crate::store::consents::{self, Consent};
use crate::store::suppressions::{self, Suppression};

/// Reads consents from ingestion's feed.
pub struct Consents {
    store: Store,
    clock: Clock,
    signer: Signer,
    privacy: PrivacyServiceClient<Transport>,
}

impl Consents {
    /// A projection in `store`. Whoever is erased is put on the suppression list, by the hash that `signer` makes of the
    /// addresses that `privacy` tells.
    #[must_use]
    pub fn new(store: Store, clock: Clock, signer: Signer, privacy: Transport) -> Self {
        Self { store, clock, signer, privacy: perennial_rpc::client!(PrivacyServiceClient::new(privacy)) }
    }

    async fn suppress(&self, workspace: &Workspace, addresses: &[ErasedAddress]) -> Result<(), StoreError> {
        let tx = self.store.write().await?;
        for it in addresses {
            let Some(channel) = Channel::parse(&it.channel) else { continue };
            let hash = self.signer.address_hash(workspace, channel, &it.address);
            let everything = Suppression { everything: true, at: self.clock.now() };
            suppressions::add(&tx, workspace, channel, &hash, "erased", everything).await?;
        }
        Store::commit(tx).await
    }
}

/// The consents of one profile: channel and purpose, given or withdrawn, and when in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    consents: BTreeMap<String, (bool, i64)>,
}

/// A change for the table.
#[derive(Clone, Debug)]
pub enum Row {
    /// A consent as it stands now.
    Stands(Workspace, Consent),
    /// A profile became another.
    Gone(Workspace, ProfileId),
    /// All consents of a profile are written anew.
    Anew(Workspace, ProfileId),
}

fn key(channel: Channel, purpose: Purpose) -> String {
    format!("{}/{}", channel.as_str(), purpose.as_str())
}

impl State {
    /// Takes in one word; the latest counts, and of two at one instant the withdrawal.
    fn tell(&mut self, key: String, granted: bool, at: i64) -> bool {
        let told = (granted, at);
        let before = self.consents.get(&key);
        let wins = before.is_none_or(|before| at > before.1 || (at == before.1 && before.0 && !granted));
        if wins {
            self.consents.insert(key, told);
        }
        wins
    }
}

fn leave(turn: &mut Turn<Row>, key: &str, granted: bool, at: Timestamp) {
    let parsed = key
        .split_once('/')
        .and_then(|(channel, purpose)| Some((Channel::parse(channel)?, Purpose::parse(purpose)?)));
    if let Some((channel, purpose)) = parsed {
        let consent = Consent { profile: turn.profile(), channel, purpose, granted, at };
        let row = Row::Stands(turn.workspace().clone(), consent);
        turn.row(row);
    }
}

#[async_trait]
impl Fold for Consents {
    type State = State;
    type Row = Row;
    type Book = ();

    async fn book(&self, _: &DatabaseTransaction) -> Result<Arc<()>, FoldFault> {
        Ok(Arc::new(()))
    }

    fn concerns(&self, record: &Record) -> bool {
        record.kind == facts::KIND && matches!(facts::about(&record.payload), Some(About::Consent) | None)
    }

    fn apply(
        &self,
        (): &(),
        turn: &mut Turn<Row>,
        state: &mut State,
        record: &Record,
    ) -> Result<(), FoldFault> {
        let fact = facts::decode(&record.payload).map_err(FoldFault::poison)?;
        if let FactKind::Consent(ConsentChange { channel, purpose, granted, .. }) = fact.kind {
            let key = key(channel, purpose);
            if state.tell(key.clone(), granted, micros(fact.at)) {
                leave(turn, &key, granted, fact.at);
            }
        }
        Ok(())
    }

    fn fire(&self, (): &(), _: &mut Turn<Row>, _: &mut State, _: &str) -> Result<(), FoldFault> {
        Ok(())
    }

    fn depart(&self, (): &(), turn: &mut Turn<Row>, _: &State, _: ProfileId) -> Result<(), FoldFault> {
        let row = Row::Gone(turn.workspace().clone(), turn.profile());
        turn.row(row);
        Ok(())
    }

    fn merge(&self, (): &(), turn: &mut Turn<Row>, into: &mut State, from: State) -> Result<(), FoldFault> {
        for (key, (granted, at)) in from.consents {
            if into.tell(key.clone(), granted, at) {
                leave(turn, &key, granted, from_micros(at));
            }
        }
        Ok(())
    }

    fn refolded(&self, (): &(), turn: &mut Turn<Row>, _: &State, fresh: &mut State) -> Result<(), FoldFault> {
        let row = Row::Anew(turn.workspace().clone(), turn.profile());
        turn.row(row);
        for (key, (granted, at)) in &fresh.consents {
            leave(turn, key, *granted, from_micros(*at));
        }
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        &store::PERSONAL
    }

    async fn erase(
        &self,
        tx: &DatabaseTransaction,
        erasing: &mut Erasing,
        _: &State,
    ) -> Result<(), FoldFault> {
        Ok(store::erase(tx, erasing).await?)
    }

    async fn erased(&self, workspace: &Workspace, erasure: Uuid, _: ProfileId) -> Result<(), String> {
        let name = format!("{}/erasures/{erasure}", workspace.resource());
        let answer = self.privacy.clone().read_erased_addresses(ReadErasedAddressesRequest { name }).await;
        let addresses = match answer {
            Ok(answer) => answer.into_inner().addresses,
            Err(status) if status.code() == Code::NotFound => return Ok(()),
            Err(status) => return Err(format!("ingestion: {}", status.message())),
        };
        self.suppress(workspace, &addresses).await.map_err(|error| error.to_string())
    }

    async fn write(&self, tx: &DatabaseTransaction, rows: Vec<Row>) -> Result<(), FoldFault> {
        let mut stand: BTreeMap<Workspace, BTreeMap<(ProfileId, String), Consent>> = BTreeMap::new();
        let mut gone: BTreeMap<Workspace, BTreeSet<ProfileId>> = BTreeMap::new();
        let mut anew: BTreeMap<Workspace, Vec<ProfileId>> = BTreeMap::new();
        for row in rows {
            match row {
                Row::Stands(workspace, it) => {
                    // The last word of a batch is the one that stands.
                    let key = (it.profile, key(it.channel, it.purpose));
                    stand.entry(workspace).or_default().insert(key, it);
                }
                Row::Gone(workspace, profile) => {
                    gone.entry(workspace).or_default().insert(profile);
                }
                Row::Anew(workspace, profile) => anew.entry(workspace).or_default().push(profile),
            }
        }
        for (workspace, profiles) in anew {
            consents::remove(tx, &workspace, &profiles).await?;
        }
        for (workspace, consents) in stand {
            let gone = gone.get(&workspace);
            let left =
                consents.into_values().filter(|it| gone.is_none_or(|gone| !gone.contains(&it.profile)));
            consents::save(tx, &workspace, &left.collect::<Vec<_>>()).await?;
        }
        for (workspace, profiles) in gone {
            consents::remove(tx, &workspace, &profiles.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_word_counts_and_at_one_instant_the_withdrawal() {
        let mut state = State::default();
        assert!(state.tell("email/marketing".to_owned(), true, 5));
        assert!(!state.tell("email/marketing".to_owned(), false, 4));
        assert!(state.tell("email/marketing".to_owned(), false, 5));
        assert!(!state.tell("email/marketing".to_owned(), true, 5));
        assert!(state.tell("email/marketing".to_owned(), true, 6));
    }
}
