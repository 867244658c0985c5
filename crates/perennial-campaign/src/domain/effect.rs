//! What a step leaves behind besides the state it changed.

use perennial_types::{Channel, ProfileId, Purpose};
use uuid::Uuid;

use super::outcome::Totals;

/// Rows, messages and derived records of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Rows for the tables.
    pub rows: Vec<Row>,
    /// Messages that were decided on.
    pub sends: Vec<Send>,
    /// Entries to tell others of.
    pub entries: Vec<Entered>,
}

/// A row for the tables.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// Something was decided.
    Decision(Box<Decision>),
    /// A profile's first entry into a campaign, or what became of it since.
    Exposure(Exposed),
    /// A decision's message came to nothing.
    Returned {
        /// The decision.
        decision: Uuid,
        /// `expired` or `refused`.
        delivery: &'static str,
        /// Why.
        reason: String,
    },
    /// All rows of one profile now belong to another one; the exposures of the first are gone.
    Merged {
        /// The profile that ended.
        from: ProfileId,
        /// The survivor.
        into: ProfileId,
    },
    /// A profile that had become another one is itself again: the decisions about it, and about those that had become it,
    /// are its own.
    CameBack {
        /// The profile.
        profile: ProfileId,
        /// Those that had become it.
        leaves: Vec<ProfileId>,
    },
    /// All exposures of a profile are written anew.
    Anew(ProfileId),
}

/// A profile entered a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The campaign.
    pub campaign: String,
    /// The version.
    pub version: u64,
    /// Which run.
    pub occurrence: String,
    /// Walks in silence.
    pub held_out: bool,
}

/// One decision with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its id.
    pub id: Uuid,
    /// The profile.
    pub profile: ProfileId,
    /// When, in microseconds.
    pub at: i64,
    /// Its place among the profile's decisions.
    pub order: u64,
    /// The campaign.
    pub campaign: String,
    /// The version.
    pub version: u64,
    /// Which run; empty if none was entered.
    pub occurrence: String,
    /// The step; empty for the campaign as a whole.
    pub step: String,
    /// What was decided.
    pub outcome: Outcome,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Who would have been next, and with which priority.
    pub runner_up: Option<(String, f64)>,
    /// The priority it had.
    pub priority: f64,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A trigger matched, and nobody entered.
    NotEntered,
    /// It entered.
    Entered,
    /// A message is sent.
    Sent,
    /// A message is not sent because of the holdout.
    HeldOut,
    /// A message waits for a slot.
    Waiting,
    /// A message may not be sent: no consent or no address.
    Refused,
    /// The offer is not for this customer, nor is its message.
    NotOffered,
    /// The step is passed over.
    Skipped,
    /// The message waited too long.
    Expired,
    /// The goal is reached; it left.
    GoalReached,
    /// It left for another reason.
    Left,
    /// All steps are done.
    Finished,
}

impl Outcome {
    /// Its word in tables and APIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotEntered => "not_entered",
            Self::Entered => "entered",
            Self::Sent => "sent",
            Self::HeldOut => "held_out",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::NotOffered => "not_offered",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::GoalReached => "goal_reached",
            Self::Left => "left",
            Self::Finished => "finished",
        }
    }
}

/// Why something was decided.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// What it is, for programs.
    pub code: String,
    /// The same in words, with the figures.
    pub text: String,
}

impl Reason {
    /// A reason.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }
}

/// One profile in the comparison of arms.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposed {
    /// The campaign.
    pub campaign: String,
    /// The profile.
    pub profile: ProfileId,
    /// The arm it counts in.
    pub held_out: bool,
    /// The share held out when it was drawn.
    pub share: f64,
    /// First entry, microseconds.
    pub entered: i64,
    /// When the window of the first entry closes, microseconds.
    pub matures: i64,
    /// Profit before entry, minor units.
    pub pre_profit: i64,
    /// Predicted CLV at entry, minor units.
    pub predicted: i64,
    /// Profit expected in 90 days at entry, minor units.
    pub expected: i64,
    /// What became of it since.
    pub totals: Totals,
}

/// A message that was decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    /// The message's id.
    pub message: Uuid,
    /// The decision's id.
    pub decision: Uuid,
    /// The campaign.
    pub campaign: String,
    /// The step.
    pub step: String,
    /// Which run.
    pub occurrence: String,
    /// The channel.
    pub channel: Channel,
    /// Why.
    pub purpose: Purpose,
    /// The template.
    pub template: String,
    /// What the template sees, a JSON object.
    pub data: serde_json::Value,
    /// Not before, microseconds.
    pub not_before: i64,
    /// Not after, microseconds.
    pub not_after: i64,
    /// When it was decided, microseconds.
    pub decided: i64,
    /// What the campaign may give away in a calendar month, and which month that is.
    pub budget: Option<(String, i64)>,
    /// The coupon to issue first: its id, the offer and its validity in microseconds.
    pub coupon: Option<(Uuid, String, i64)>,
}
