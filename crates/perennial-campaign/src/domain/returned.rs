//! Messages that came to nothing: notification let them expire or refused them, or loyalty refused their coupon.
//!
//! Both reach campaign as events of ingestion's log (`Message Expired`, `Message Refused`), so they have a place in the
//! one order of things. Nobody outside knows a decision's id, so nobody outside can tell such an event.

use perennial_types::{Channel, Fact, FactKind, MessageEvent, micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Lifecycle;
use super::definition::{Message, Op};
use super::duration::DAY;
use super::effect::{Outcome, Reason, Row};
use super::state::{Instance, State, Wait};
use super::step::{Line, Step};

/// The event of a message whose time ran out.
pub const EXPIRED: &str = "Message Expired";
/// The event of a message that will never be sent.
pub const REFUSED: &str = "Message Refused";

/// How long a message may come back: what is not heard of by then was delivered, or is not known.
const MEMORY: i64 = 14 * DAY;

/// Whether a fact of this name says that a message came to nothing.
#[must_use]
pub fn is_return(name: &str) -> bool {
    [EXPIRED, REFUSED].contains(&name)
}

/// A message that was sent off and not heard of yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Underway {
    /// When it was decided, microseconds.
    #[serde(rename = "a")]
    pub at: i64,
    /// Until when it may be decided on again; 0: not again.
    #[serde(rename = "n")]
    pub limit: i64,
    /// The step's name.
    #[serde(rename = "s")]
    pub step: String,
    /// The run as it stood at the message.
    #[serde(rename = "i")]
    pub instance: Instance,
}

impl Step<'_> {
    /// Hears what became of a message, if the fact tells it.
    pub fn heard(&mut self, state: &mut State, fact: &Fact) {
        if let FactKind::Message(it) = &fact.kind {
            if it.event == MessageEvent::Delivered {
                state.underway.remove(&it.decision_id);
            }
            return;
        }
        let outcome = match fact.name.as_str() {
            EXPIRED => Outcome::Expired,
            REFUSED => Outcome::Refused,
            _ => return,
        };
        let text = |name: &str| fact.properties.get(name).map(ToString::to_string);
        let decision = text("decision_id").and_then(|it| Uuid::parse_str(&it).ok());
        // Where loyalty refused the coupon, it is the offer that was not made.
        let outcome = match text("offer").filter(|it| !it.is_empty()) {
            Some(_) if outcome == Outcome::Refused => Outcome::NotOffered,
            _ => outcome,
        };
        if let Some(decision) = decision {
            self.returned(state, decision, outcome, text("reason").unwrap_or_default());
        }
    }

    /// A message came to nothing: it no longer counts against the caps, and an expired one is decided on again while its
    /// step still makes sense.
    fn returned(&mut self, state: &mut State, decision: Uuid, outcome: Outcome, reason: String) {
        // What is no longer underway was told before, or is none of this profile's.
        let Some(Underway { limit, step, mut instance, .. }) = state.underway.remove(&decision) else {
            return;
        };
        let at = micros(self.at);
        let counted = state.contacts.len();
        state.contacts.retain(|it| it.decision != Some(decision));
        let freed = state.contacts.len() < counted;
        let live = self.book.entry(&instance.campaign).is_some_and(|it| it.lifecycle != Lifecycle::Stopped);
        let again = outcome == Outcome::Expired
            && !self.historical
            && live
            && at < limit
            && self.campaign_of(&instance).is_some();
        let words = match again {
            true => format!(
                "not delivered: {reason}; decided on again until {}",
                perennial_types::from_micros(limit)
            ),
            false => format!("not delivered: {reason}"),
        };
        let delivery = if outcome == Outcome::Expired { "expired" } else { "refused" };
        self.effects.rows.push(Row::Returned { decision, delivery, reason });
        let occurrence = instance.occurrence();
        let (campaign, version) = (instance.campaign.clone(), instance.version);
        let line = Line { campaign: &campaign, version, occurrence: &occurrence, step: &step, at };
        self.record(state, line, outcome, vec![Reason::new("returned", words)]);
        if again {
            instance.again += 1;
            instance.wait = Wait::Slot { since: at, not_after: limit, retry: 0, held: String::new() };
            state.instances.insert(instance.place(), instance);
        }
        if freed && !self.historical {
            for instance in state.instances.values_mut() {
                if let Wait::Slot { retry, .. } = &mut instance.wait {
                    *retry = 0;
                }
            }
        }
        if (freed || again) && !self.historical {
            state.decide_at(at);
        }
    }

    /// A run of a campaign is over, or says something new by a channel: what it sent before (by that channel) and might
    /// send again is not sent again.
    pub fn overtake(
        &mut self,
        state: &mut State,
        campaign: &str,
        key: &str,
        channel: Option<Channel>,
        at: i64,
        why: &str,
    ) {
        let concerned = |it: &Instance| {
            let by = self.message_of(it).map(|it| it.channel);
            it.campaign == campaign && it.key == key && channel.is_none_or(|only| by == Some(only))
        };
        for it in state.underway.values_mut().filter(|it| concerned(&it.instance)) {
            it.limit = 0;
        }
        let again: Vec<String> = state
            .instances
            .iter()
            .filter(|(_, it)| it.again > 0 && concerned(it))
            .map(|(place, _)| place.clone())
            .collect();
        for place in again {
            let Some(instance) = state.instances.remove(&place) else { continue };
            let step = self.message_of(&instance).map(|it| it.step.clone()).unwrap_or_default();
            let occurrence = instance.occurrence();
            let line = Line { campaign, version: instance.version, occurrence: &occurrence, step: &step, at };
            self.record(state, line, Outcome::Skipped, vec![Reason::new("overtaken", why)]);
        }
    }

    fn message_of(&self, instance: &Instance) -> Option<&Message> {
        match self.campaign_of(instance)?.program.get(instance.step)? {
            Op::Message(message) => Some(message),
            _ => None,
        }
    }
}

impl State {
    /// Forgets messages that will not come back any more.
    pub fn forget_underway(&mut self, at: i64) {
        self.underway.retain(|_, it| it.at > at - MEMORY);
    }
}
