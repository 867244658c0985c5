//! One intended message and the states it can be in.

use perennial_types::{Channel, ProfileId, Purpose, Timestamp, Workspace};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Where a message stands.
///
/// `claimed` → `handing` (committed just before the hand-over) → `accepted`, `refused` or `unknown`; `expired` and
/// `suppressed` were never handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Nothing was handed over: safe to try again.
    Claimed,
    /// May or may not have been handed over.
    Handing,
    /// The next hop has it.
    Accepted,
    /// It will never be delivered: the template, the address or the server said no.
    Refused,
    /// Handed over without an answer; never repeated blindly.
    Unknown,
    /// Its last instant passed before it could be sent.
    Expired,
    /// Consent or suppression stopped it.
    Suppressed,
}

impl State {
    /// All of them, in the order of a message's life.
    pub const ALL: [Self; 7] = [
        Self::Claimed,
        Self::Handing,
        Self::Accepted,
        Self::Refused,
        Self::Unknown,
        Self::Expired,
        Self::Suppressed,
    ];

    /// Its word in tables and APIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Handing => "handing",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Suppressed => "suppressed",
        }
    }

    /// Reads its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// What a message found `handing` at start becomes: an idempotent transport may repeat it, any other may not.
    #[must_use]
    pub fn after_restart(idempotent: bool) -> Self {
        if idempotent { Self::Claimed } else { Self::Unknown }
    }
}

/// A message that campaign decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The command's id: the idempotency key.
    pub id: Uuid,
    /// The tenant.
    pub workspace: Workspace,
    /// The decision it carries out.
    pub decision: Option<Uuid>,
    /// Whom it is for.
    pub profile: ProfileId,
    /// The campaign's bare name.
    pub campaign: String,
    /// The step within it.
    pub step: String,
    /// Which run of the step for this profile.
    pub occurrence: String,
    /// How it goes.
    pub channel: Channel,
    /// Why it goes.
    pub purpose: Purpose,
    /// The template's bare name.
    pub template: String,
    /// What the template sees besides the profile.
    pub data: Map<String, Value>,
    /// Not before this instant.
    pub not_before: Timestamp,
    /// Not after this instant.
    pub not_after: Option<Timestamp>,
}

/// What stands against sending a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Its last instant has passed.
    Late,
    /// The address is on the suppression list.
    Suppressed,
    /// Consent was withdrawn, or never given.
    NoConsent,
}

impl Obstacle {
    /// The state it leads to.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Late => State::Expired,
            Self::Suppressed | Self::NoConsent => State::Suppressed,
        }
    }

    /// The stable name shown with the message.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Late => "PAST_NOT_AFTER",
            Self::Suppressed => "ADDRESS_SUPPRESSED",
            Self::NoConsent => "NO_CONSENT",
        }
    }
}

/// What is known of the recipient in the transaction that claims the hand-over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// Consent for the message's channel and purpose, if it was ever told.
    pub consent: Option<bool>,
    /// The address is suppressed for marketing (unsubscribed).
    pub unsubscribed: bool,
    /// The address is suppressed for everything (bounced for good, complained, erased).
    pub blocked: bool,
}

/// Decides whether a message may be handed over now. Marketing needs consent; transactional mail is stopped by its
/// explicit withdrawal only; compliance goes to every address that works.
#[must_use]
pub fn obstacle(
    purpose: Purpose,
    not_after: Option<Timestamp>,
    standing: Standing,
    now: Timestamp,
) -> Option<Obstacle> {
    if standing.blocked || (purpose == Purpose::Marketing && standing.unsubscribed) {
        return Some(Obstacle::Suppressed);
    }
    let consent = match purpose {
        Purpose::Marketing => standing.consent == Some(true),
        Purpose::Transactional => standing.consent != Some(false),
        Purpose::Compliance => true,
    };
    if !consent {
        return Some(Obstacle::NoConsent);
    }
    not_after.is_some_and(|it| now > it).then_some(Obstacle::Late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::from_micros;

    #[test]
    fn marketing_needs_consent_and_transactional_only_no_objection() {
        let now = from_micros(10);
        let with = |consent| Standing { consent, ..Standing::default() };
        assert_eq!(obstacle(Purpose::Marketing, None, with(None), now), Some(Obstacle::NoConsent));
        assert_eq!(obstacle(Purpose::Marketing, None, with(Some(true)), now), None);
        assert_eq!(obstacle(Purpose::Transactional, None, with(None), now), None);
        assert_eq!(obstacle(Purpose::Transactional, None, with(Some(false)), now), Some(Obstacle::NoConsent));
        let unsubscribed = Standing { consent: Some(true), unsubscribed: true, blocked: false };
        assert_eq!(obstacle(Purpose::Marketing, None, unsubscribed, now), Some(Obstacle::Suppressed));
        assert_eq!(obstacle(Purpose::Transactional, None, unsubscribed, now), None);
        let blocked = Standing { blocked: true, ..unsubscribed };
        assert_eq!(obstacle(Purpose::Compliance, None, blocked, now), Some(Obstacle::Suppressed));
    }

    #[test]
    fn a_message_past_its_last_instant_expires() {
        let standing = Standing { consent: Some(true), ..Standing::default() };
        let last = Some(from_micros(10));
        assert_eq!(obstacle(Purpose::Marketing, last, standing, from_micros(10)), None);
        assert_eq!(obstacle(Purpose::Marketing, last, standing, from_micros(11)), Some(Obstacle::Late));
    }

    #[test]
    fn what_was_handing_is_repeated_only_where_that_is_harmless() {
        assert_eq!(State::after_restart(true), State::Claimed);
        assert_eq!(State::after_restart(false), State::Unknown);
        assert!(State::ALL.iter().all(|it| State::parse(it.as_str()) == Some(*it)));
    }
}
