//! Taking messages over, and showing what became of them.

use perennial_feed::erased_among;
use perennial_store::Store;
use perennial_types::{Channel, Purpose, Workspace};
use uuid::Uuid;

use super::react::returned;
use super::{App, INGESTION};
use crate::domain::message::{Message, State};
use crate::error::Result;
use crate::store::messages::{self, Claim, Filter, Listed};
use crate::store::templates;

/// Whether a message was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is ours now.
    Claimed,
    /// It was before, or somebody got the same already.
    Duplicate,
    /// It will never be sent.
    Refused,
}

impl Taken {
    /// Its word in APIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
        }
    }
}

/// What became of one message of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message.
    pub id: Uuid,
    /// The outcome.
    pub taken: Taken,
    /// Why it was refused; empty otherwise.
    pub reason: String,
}

impl App {
    /// Takes messages over: one answer for each, in order, given when all are durable. A repeated id changes nothing.
    ///
    /// # Errors
    /// If contacts cannot be read or the database refuses; nothing was taken then.
    pub async fn send(&self, workspace: &Workspace, wanted: Vec<Message>) -> Result<Vec<Receipt>> {
        let now = self.clock.now();
        let names = wanted.iter().map(|it| it.template.as_str()).collect();
        let known = templates::versions(self.store.read(), workspace, &names).await?;
        let contacts = self.contacts(workspace, wanted.iter().map(|it| it.profile).collect()).await?;
        let claims: Vec<Claim> = wanted
            .into_iter()
            .map(|message| {
                let contact = contacts.get(&message.profile);
                let address = contact.map(|it| it.email.as_str()).filter(|it| !it.is_empty());
                let refused = match address {
                    _ if message.purpose == Purpose::Marketing && message.decision.is_none() => {
                        Some("MARKETING_WITHOUT_DECISION")
                    }
                    _ if message.channel != Channel::Email => Some("CHANNEL_NOT_SUPPORTED"),
                    _ if !known.contains_key(&message.template) => Some("TEMPLATE_NOT_FOUND"),
                    _ if contact.is_none() => Some("PROFILE_NOT_FOUND"),
                    None => Some("NO_ADDRESS"),
                    Some(_) => None,
                };
                let hash = |it: &str| self.head.signer.address_hash(workspace, message.channel, it);
                let address_hash = address.filter(|_| refused.is_none()).map(hash);
                Claim { message, address_hash, refused }
            })
            .collect();
        let ids = || claims.iter().map(|it| it.message.id);
        let tx = self.store.write().await?;
        let erased = erased_among(&tx, workspace, claims.iter().map(|it| it.message.profile)).await?;
        let before = messages::states(&tx, workspace, ids()).await?;
        let fresh: Vec<_> = claims
            .iter()
            .filter(|it| !before.contains_key(&it.message.id) && !erased.contains(&it.message.profile))
            .cloned()
            .collect();
        let added = messages::insert(&tx, &fresh, now).await?;
        let after = messages::states(&tx, workspace, ids()).await?;
        // A receipt reaches whoever asks; the event reaches whoever decided. A profile nobody knows has nobody to tell.
        let refused = fresh.iter().filter_map(|it| Some((it, it.refused?))).filter(|(it, reason)| {
            *reason != "PROFILE_NOT_FOUND"
                && after.get(&it.message.id).is_some_and(|it| it.0 == State::Refused)
        });
        let events: Vec<_> =
            refused.filter_map(|(it, reason)| returned(&it.message, State::Refused, reason, now)).collect();
        let told = !events.is_empty();
        if told {
            self.outbox.leave(&tx, events).await?;
        }
        Store::commit(tx).await?;
        if told {
            self.outbox.ring(INGESTION);
        }
        if added > 0 {
            self.bell.ring(&Self::topic());
        }
        let receipt = |id: Uuid| match (before.get(&id), after.get(&id)) {
            (_, Some((State::Refused, reason))) if !reason.is_empty() => {
                Receipt { id, taken: Taken::Refused, reason: reason.clone() }
            }
            (None, Some(_)) => Receipt { id, taken: Taken::Claimed, reason: String::new() },
            _ => Receipt { id, taken: Taken::Duplicate, reason: String::new() },
        };
        let of = |claim: &Claim| {
            if erased.contains(&claim.message.profile) {
                let reason = "PROFILE_ERASED".to_owned();
                return Receipt { id: claim.message.id, taken: Taken::Refused, reason };
            }
            receipt(claim.message.id)
        };
        let receipts: Vec<_> = claims.iter().map(of).collect();
        for it in &receipts {
            self.metrics.taken(it.taken.as_str());
        }
        Ok(receipts)
    }

    /// Messages, newest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn messages(
        &self,
        workspace: &Workspace,
        filter: &Filter,
        before: Option<(i64, Uuid)>,
        limit: u64,
    ) -> Result<Vec<Listed>> {
        Ok(messages::list(self.store.read(), workspace, filter, before, limit).await?)
    }

    /// How many messages of each campaign are in each state.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn summary(
        &self,
        workspace: &Workspace,
        campaign: Option<&str>,
    ) -> Result<Vec<(String, State, i64)>> {
        Ok(messages::summarize(self.store.read(), workspace, campaign).await?)
    }
}
