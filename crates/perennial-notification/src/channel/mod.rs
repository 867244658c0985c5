//! Ways a message leaves the house. Knows nothing of the ledger: it is told what to hand over and says what became of it.

mod maildir;
mod smtp;

use lettre::message::Mailbox;
use uuid::Uuid;

pub use maildir::Maildir;
pub use smtp::{Smtp, SmtpConfig};

use crate::domain::mail::Letter;

/// What stands before a hand-over: nothing has been handed over yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// The next hop waits for the message.
    Ready,
    /// The next hop will never take it.
    Refused(String),
    /// Not now.
    Later(String),
}

/// What became of a hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop has it.
    Accepted,
    /// The next hop will never take it.
    Refused(String),
    /// The next hop said clearly that it has not taken it, and that it may later.
    Later(String),
    /// No answer: it may or may not be there.
    Unknown(String),
}

/// A letter and the id of its message.
pub type Parcel = (Uuid, Letter);

/// How e-mail leaves.
pub enum Mailer {
    /// Into files.
    Maildir(Maildir),
    /// To a server.
    Smtp(Box<Smtp>),
}

impl Mailer {
    /// Whether handing the same message over twice is the same as once.
    #[must_use]
    pub fn idempotent(&self) -> bool {
        matches!(self, Self::Maildir(_))
    }

    /// How many letters one round takes.
    #[must_use]
    pub fn round(&self) -> usize {
        match self {
            Self::Maildir(_) => 500,
            Self::Smtp(it) => it.lanes(),
        }
    }

    /// Goes as far as possible without handing anything over. One answer for each, in order; at most a round of them.
    pub async fn prepare(&mut self, parcels: &[Parcel]) -> Vec<Prepared> {
        match self {
            Self::Maildir(it) => it.prepare(parcels),
            Self::Smtp(it) => it.prepare(parcels).await,
        }
    }

    /// Hands over those of the round just prepared that are `ready`, given by their place in it. One answer for each,
    /// in the order of `ready`.
    pub async fn hand_over(&mut self, parcels: &[Parcel], ready: &[usize]) -> Vec<Outcome> {
        match self {
            Self::Maildir(it) => it.hand_over(parcels, ready).await,
            Self::Smtp(it) => it.hand_over(parcels, ready).await,
        }
    }
}

/// Reads a sender such as `Linden & Co <hello@linden.example>`.
///
/// # Errors
/// What is wrong with it.
pub fn sender(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|it| format!("{text:?} is not a sender: use the form Name <name@domain> ({it})"))
}
