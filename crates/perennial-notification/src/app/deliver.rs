//! Handing messages over, as far as it is the ledger's business: what is due, what stands against it, what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use perennial_feed::Command;
use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{Channel, Purpose, Timestamp, Workspace};
use uuid::Uuid;

use super::react::{event, returned};
use super::{App, INGESTION};
use crate::channel::Outcome;
use crate::domain::compose::{Contact, compose};
use crate::domain::mail::Letter;
use crate::domain::message::{Obstacle, Standing, State, obstacle};
use crate::error::Result;
use crate::store::messages::{self, Due, Sent, Settled};
use crate::store::{consents, pauses, suppressions};

/// The longest pause between two tries: an hour.
const LONGEST_PAUSE: u64 = 3_600;

/// A message that became a letter, or why it never will.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The message.
    pub due: Due,
    /// How its recipient is reached now.
    pub contact: Contact,
    /// The keyed hash of the address.
    pub address_hash: String,
    /// The letter.
    pub letter: Letter,
}

/// What one round changes in the ledger before the hand-over.
#[derive(Debug, Default)]
pub struct Round {
    /// What became of messages that are not handed over, and of the round before.
    pub settled: Vec<Settled>,
    /// Events about what is settled, each told only if its message is settled by this round.
    pub events: Vec<Command>,
}

impl Round {
    /// A message will never be sent, before anything was handed over.
    pub fn refuse(&mut self, due: &Due, reason: String, now: Timestamp) {
        self.give_back(due, State::Claimed, State::Refused, reason, now);
    }

    /// A message ends without having reached anybody: whoever decided on it is told.
    fn give_back(&mut self, due: &Due, from: State, to: State, reason: String, now: Timestamp) {
        let it = Settled { from, ..settled(due, to, reason, now) };
        self.events.extend(returned(&due.message, to, &it.reason, now));
        self.settled.push(it);
    }

    /// A message is tried again later.
    pub fn postpone(&mut self, due: &Due, reason: String, now: Timestamp) {
        self.put_off(due, State::Claimed, reason, now);
    }

    fn put_off(&mut self, due: &Due, from: State, reason: String, now: Timestamp) {
        let seconds = 30_u64.saturating_mul(1 << due.attempts.clamp(0, 10)).min(LONGEST_PAUSE);
        let next = now.checked_add(Duration::from_secs(seconds)).unwrap_or(now);
        // It expires at its last instant, not at the next try after it.
        let last = due.message.not_after.and_then(|it| it.checked_add(Duration::from_micros(1)).ok());
        let next = last.filter(|it| *it > now).map_or(next, |it| it.min(next));
        self.settled.push(Settled { from, ..settled(due, State::Claimed, reason, next) });
    }

    /// A message was handed over.
    pub fn handed(&mut self, due: &Due, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Accepted => {
                let accepted = settled(due, State::Accepted, String::new(), now);
                self.settled.push(Settled { from: State::Handing, ..accepted });
                let message = &due.message;
                let sent = Sent {
                    decision: message.decision,
                    profile: message.profile,
                    campaign: message.campaign.clone(),
                    step: message.step.clone(),
                    accepted_at: None,
                };
                // The message's own id: an event of its delivery exists once, whatever is repeated.
                self.events.push(event(
                    &message.workspace,
                    "Email Delivered",
                    message.id,
                    &sent,
                    message.id,
                    now,
                ));
            }
            Outcome::Refused(reason) => {
                self.give_back(due, State::Handing, State::Refused, reason, now);
            }
            Outcome::Later(reason) => self.put_off(due, State::Handing, reason, now),
            Outcome::Unknown(reason) => {
                let unknown = settled(due, State::Unknown, reason, now);
                self.settled.push(Settled { from: State::Handing, ..unknown });
            }
        }
    }
}

fn settled(due: &Due, state: State, reason: String, next_at: Timestamp) -> Settled {
    let reason = reason.chars().take(500).collect();
    let (workspace, id) = (due.message.workspace.clone(), due.message.id);
    Settled { workspace, id, state, reason, next_at, from: State::Claimed }
}

impl App {
    /// Messages whose instant has come, earliest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn due(&self, limit: usize) -> Result<Vec<Due>> {
        Ok(messages::due(self.store.read(), self.clock.now(), limit).await?)
    }

    /// When there is something to do next: a message, or a hand-over of a worker that is gone for `patience`.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn next_due(&self, patience: Option<Duration>) -> Result<Option<Timestamp>> {
        let due = messages::next_due(self.store.read()).await?;
        let Some(patience) = patience else { return Ok(due) };
        let handing = messages::oldest_handing(self.store.read()).await?;
        let gone = handing.and_then(|it| it.checked_add(patience).ok());
        Ok([due, gone].into_iter().flatten().min())
    }

    /// Settles what a worker that is gone was handing over. Answers how many there were.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn recover(&self, idempotent: bool, patience: Duration) -> Result<u64> {
        let now = self.clock.now();
        let before = now.checked_sub(patience).unwrap_or(now);
        let tx = self.store.write().await?;
        let found = messages::recover(&tx, State::after_restart(idempotent), before, now).await?;
        if found > 0 {
            Store::commit(tx).await?;
        }
        Ok(found)
    }

    /// Writes the letters. Those that can never be written are settled in `round`.
    ///
    /// # Errors
    /// If contacts or templates cannot be read: nothing has happened then.
    pub async fn compose(&self, due: Vec<Due>, round: &mut Round) -> Result<Vec<Composed>> {
        let now = self.clock.now();
        let mut by_workspace: BTreeMap<Workspace, Vec<Due>> = BTreeMap::new();
        for it in due {
            if it.message.not_after.is_some_and(|last| now > last) {
                // Also while the next hop takes nothing, and so nothing is looked at closer.
                let (state, reason) = (Obstacle::Late.state(), Obstacle::Late.reason().to_owned());
                round.give_back(&it, State::Claimed, state, reason, now);
                continue;
            }
            by_workspace.entry(it.message.workspace.clone()).or_default().push(it);
        }
        let mut composed = Vec::new();
        for (workspace, due) in by_workspace {
            let contacts =
                self.contacts(&workspace, due.iter().map(|it| it.message.profile).collect()).await?;
            let names = due.iter().map(|it| it.message.template.as_str()).collect();
            let templates = self.compiled(&workspace, &names).await?;
            let head = self.head.clone();
            // Rendering hundreds of letters is work for a thread of its own.
            let written = tokio::task::spawn_blocking(move || {
                let write = |due: Due| {
                    let message = &due.message;
                    let Some(template) = templates.get(&message.template) else {
                        return Err(Box::new((due, "TEMPLATE_NOT_FOUND".to_owned())));
                    };
                    let Some(contact) = contacts.get(&message.profile).filter(|it| !it.email.is_empty())
                    else {
                        return Err(Box::new((due, "NO_ADDRESS".to_owned())));
                    };
                    let hash = head.signer.address_hash(&message.workspace, message.channel, &contact.email);
                    match compose(&head, template, message, contact, &hash, now) {
                        Ok(letter) => {
                            Ok(Composed { contact: contact.clone(), address_hash: hash, letter, due })
                        }
                        Err(unfit) => Err(Box::new((due, unfit.to_string()))),
                    }
                };
                due.into_iter().map(write).collect::<Vec<_>>()
            });
            for it in written.await? {
                match it {
                    Ok(it) => composed.push(it),
                    Err(unfit) => {
                        let (due, reason) = *unfit;
                        round.refuse(&due, reason, now);
                    }
                }
            }
        }
        Ok(composed)
    }

    /// Commits a round: settles what is settled, checks again what stands against `ready`, and marks the rest as being
    /// handed over. Answers which. `hold` keeps marketing back: consent is not known well enough.
    ///
    /// # Errors
    /// If the database refuses: nothing may be handed over then.
    pub async fn commit_round(
        &self,
        mut round: Round,
        ready: &[&Composed],
        hold: bool,
    ) -> Result<BTreeSet<Uuid>> {
        let now = self.clock.now();
        let tx = self.store.write().await?;
        let mut handing = BTreeSet::new();
        let mut by_workspace: BTreeMap<&Workspace, Vec<&Composed>> = BTreeMap::new();
        for it in ready {
            by_workspace.entry(&it.due.message.workspace).or_default().push(it);
        }
        let paused = pauses::paused(&tx).await?;
        for (workspace, ready) in by_workspace {
            if paused.contains(workspace) {
                continue;
            }
            let standings = standings(&tx, workspace, &ready).await?;
            let mut wanted = Vec::new();
            for (it, standing) in ready.iter().zip(standings) {
                let message = &it.due.message;
                if hold && message.purpose == Purpose::Marketing {
                    let next = now.checked_add(Duration::from_secs(10)).unwrap_or(now);
                    round.settled.push(settled(&it.due, State::Claimed, "CONSENT_LAGS".to_owned(), next));
                    continue;
                }
                match obstacle(message.purpose, message.not_after, standing, now) {
                    Some(found) => {
                        let reason = found.reason().to_owned();
                        round.give_back(&it.due, State::Claimed, found.state(), reason, now);
                    }
                    None => wanted.push(message.id),
                }
            }
            if !wanted.is_empty() {
                handing.extend(messages::hand(&tx, workspace, &wanted, now).await?);
            }
        }
        let Round { settled, mut events } = round;
        let done = messages::settle(&tx, &settled, now).await?;
        // An event about a message has the message's id.
        events.retain(|it| done.contains(&(it.workspace.clone(), it.id)));
        let told = !events.is_empty();
        if told {
            self.outbox.leave(&tx, events).await?;
        }
        Store::commit(tx).await?;
        for it in settled.iter().filter(|it| done.contains(&(it.workspace.clone(), it.id))) {
            self.metrics.settled(it.state);
        }
        if told {
            self.outbox.ring(INGESTION);
        }
        Ok(handing)
    }
}

async fn standings(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    ready: &[&Composed],
) -> Result<Vec<Standing>> {
    let profiles = ready.iter().map(|it| it.contact.profile);
    let consents = consents::find(tx, workspace, Channel::Email, profiles).await?;
    let hashes = ready.iter().map(|it| it.address_hash.as_str());
    let suppressed = suppressions::find(tx, workspace, Channel::Email, hashes).await?;
    let standing = |it: &&Composed| {
        let consent = consents.get(&(it.contact.profile, it.due.message.purpose));
        let suppression = suppressed.get(&it.address_hash);
        // Whoever gave consent again after unsubscribing is written to again.
        let again = |since: Timestamp| consent.is_some_and(|(granted, at)| *granted && *at > since);
        Standing {
            consent: consent.map(|(granted, _)| *granted),
            unsubscribed: suppression.is_some_and(|it| !again(it.at)),
            blocked: suppression.is_some_and(|it| it.everything),
        }
    };
    Ok(ready.iter().map(standing).collect())
}
