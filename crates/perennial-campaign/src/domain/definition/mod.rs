//! What a campaign is, read from its YAML file and compiled to a program that a journey walks.

mod read;
mod steps;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use perennial_types::{Channel, Purpose};

use super::expr::{Expr, Field};
use super::offer::Terms;
pub use read::read;

/// A definition that cannot be used: line, field, reason and remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DefinitionError {
    /// The line of the file, from 1.
    pub line: u64,
    /// The field, as a dotted path; empty for the file as a whole.
    pub field: String,
    /// The problem and its remedy.
    pub problem: String,
}

impl std::fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.is_empty() {
            true => write!(f, "line {}: {}", self.line, self.problem),
            false => write!(f, "line {}: {}: {}", self.line, self.field, self.problem),
        }
    }
}

impl DefinitionError {
    fn new(line: u64, field: &str, problem: impl Into<String>) -> Self {
        Self { line, field: field.to_owned(), problem: problem.into() }
    }
}

/// A campaign as its file defines it.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Its bare name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What starts it.
    pub trigger: Trigger,
    /// Who may enter when it starts.
    pub entry: Option<Expr>,
    /// How many may run at once.
    pub instance: InstanceKey,
    /// When somebody who was in it may enter again.
    pub reenter: Reenter,
    /// A trigger while it runs starts it over, until its first message.
    pub restart: bool,
    /// What it is to achieve.
    pub goal: Option<Goal>,
    /// How long after entry an order counts for it, in microseconds.
    pub window: i64,
    /// The share held out, 0 to 1.
    pub holdout: f64,
    /// Who wins when several wish to send.
    pub priority: Priority,
    /// Why it sends.
    pub purpose: Purpose,
    /// What its coupons may cost in a calendar month of the workspace, minor units.
    pub budget: Option<i64>,
    /// How late a wait may end and still count as on time, in microseconds.
    pub grace: i64,
    /// What it does.
    pub program: Vec<Op>,
}

/// What starts a campaign.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// An event, or a fact by its well-known name.
    Event {
        /// The event.
        name: String,
        /// Which of them.
        filter: Option<Expr>,
    },
    /// Entering a segment, or leaving it.
    Segment {
        /// The segment.
        name: String,
        /// Entering, or leaving.
        entered: bool,
    },
    /// Entering a lifecycle stage.
    Stage(String),
    /// The customer is late against their own rhythm.
    Overdue,
    /// A yearly date.
    Date {
        /// The trait that holds it, `YYYY-MM-DD` or `MM-DD`.
        name: String,
        /// At which local time.
        at: jiff::civil::Time,
        /// So many days before (negative) or after it.
        days: i32,
    },
}

/// What makes one instance differ from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceKey {
    /// At most one runs per profile.
    Profile,
    /// One per value of this property of the triggering event.
    Property(String),
}

/// When somebody who was in a campaign may enter again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reenter {
    /// Whenever it starts again.
    Always,
    /// Never again.
    Never,
    /// So many microseconds after the last entry.
    After(i64),
}

/// What a campaign is to achieve; it leaves at once when reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// The event.
    pub event: String,
    /// Which of them.
    pub filter: Option<Expr>,
}

/// Who wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Priority {
    /// The greater number.
    Number(f64),
    /// The expected incremental profit of contacting this customer, minor units: the lift times the profit
    /// expected of them in 90 days, less the costs.
    ExpectedIncrementalProfit {
        /// How much more of the expected profit a message brings, as a share: 0.02 is two per cent. This is what is
        /// stated; what was measured since is shrunk towards it.
        lift: f64,
        /// What the incentive costs on average, minor units.
        incentive: i64,
        /// What the message costs, minor units.
        contact: i64,
    },
}

/// One operation; targets are positions in the program and always lie ahead.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Wishes to send a message, and goes on when it is sent, skipped or expired.
    Message(Message),
    /// Waits so many microseconds.
    Wait(i64),
    /// Waits for something, or for the time-out to go on elsewhere.
    WaitUntil {
        /// What it waits for.
        until: Until,
        /// How long, in microseconds.
        timeout: i64,
        /// Where to go on then.
        otherwise: usize,
    },
    /// Goes on if the condition holds, else elsewhere.
    Branch {
        /// The condition.
        when: Expr,
        /// Where to go on if it does not hold.
        otherwise: usize,
    },
    /// Goes where a sticky draw says.
    Split {
        /// Its name within the campaign.
        name: String,
        /// Cumulated shares up to 1, and where each goes on.
        arms: Vec<(f64, usize)>,
    },
    /// Goes on elsewhere.
    Jump(usize),
    /// Leaves, for a reason.
    Exit(String),
}

/// A message to wish for.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The step's name: unique within the campaign.
    pub step: String,
    /// The template.
    pub template: String,
    /// The channel.
    pub channel: Channel,
    /// Why it is sent.
    pub purpose: Purpose,
    /// Only then; else the step is passed over.
    pub when: Option<Expr>,
    /// The offer it carries.
    pub offer: Option<Offer>,
    /// How long the wish makes sense, in microseconds.
    pub expires: i64,
    /// Sent also when the wait before it ended too late.
    pub send_late: bool,
}

/// An offer that a message carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The coupon's offer, by its name in loyalty.
    pub coupon: String,
    /// How long it is valid, in microseconds; 0 takes the offer's own.
    pub valid: i64,
    /// Only then; else offer and message are passed over.
    pub when: Option<Expr>,
    /// The condition as it was written, to explain it.
    pub when_text: String,
    /// What the coupon gives; known where the condition asks for it.
    pub terms: Option<Terms>,
}

/// What a wait-until waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Until {
    /// An event.
    Event(String, Option<Expr>),
    /// Entering a segment.
    Segment(String),
    /// Entering a stage.
    Stage(String),
}

impl Campaign {
    /// The messages it may send.
    #[cfg(test)]
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.program.iter().filter_map(|it| match it {
            Op::Message(message) => Some(message),
            _ => None,
        })
    }

    /// The offers whose terms its conditions ask about.
    #[must_use]
    pub fn asked_offers(&self) -> BTreeSet<&str> {
        let asks = |it: &&Offer| {
            let mut fields = Vec::new();
            if let Some(when) = &it.when {
                when.fields(&mut fields);
            }
            fields.contains(&Field::MarginAfterDiscount)
        };
        self.offers().filter(asks).map(|it| it.coupon.as_str()).collect()
    }

    fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.program.iter().filter_map(|it| match it {
            Op::Message(message) => message.offer.as_ref(),
            _ => None,
        })
    }

    /// Tells the conditions what the offers give.
    pub fn take_terms(&mut self, terms: &BTreeMap<String, Terms>) {
        for op in &mut self.program {
            if let Op::Message(Message { offer: Some(offer), .. }) = op {
                offer.terms = terms.get(&offer.coupon).copied();
            }
        }
    }

    /// The events its conditions ask about with `did`.
    #[must_use]
    pub fn asked_events(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut conditions: Vec<&Option<Expr>> = vec![&self.entry];
        if let Trigger::Event { filter, .. } = &self.trigger {
            conditions.push(filter);
        }
        if let Some(goal) = &self.goal {
            conditions.push(&goal.filter);
        }
        for op in &self.program {
            match op {
                Op::Message(it) => {
                    conditions.push(&it.when);
                    conditions.extend(it.offer.as_ref().map(|it| &it.when));
                }
                Op::WaitUntil { until: Until::Event(_, filter), .. } => conditions.push(filter),
                Op::Branch { when, .. } => when.events(&mut found),
                _ => {}
            }
        }
        conditions.into_iter().flatten().for_each(|it| it.events(&mut found));
        found
    }

    /// The events that begin a run, end a wait, or are the goal.
    pub fn awaited_events(&self) -> impl Iterator<Item = &str> {
        let trigger = match &self.trigger {
            Trigger::Event { name, .. } => Some(name.as_str()),
            _ => None,
        };
        let goal = self.goal.as_ref().map(|it| it.event.as_str());
        let waits = self.program.iter().filter_map(|it| match it {
            Op::WaitUntil { until: Until::Event(name, _), .. } => Some(name.as_str()),
            _ => None,
        });
        trigger.into_iter().chain(goal).chain(waits)
    }

    /// Remarks that stop nothing.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.holdout == 0.0 && self.purpose == Purpose::Marketing {
            warnings.push("holdout is 0: nothing this campaign earns can be proven".to_owned());
        }
        if self.entry.is_none() && self.purpose == Purpose::Marketing {
            warnings.push(
                "entry is not set: everybody who triggers it enters, and consent is asked at each send"
                    .to_owned(),
            );
        }
        warnings
    }
}
