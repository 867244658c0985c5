//! Starting a campaign on those who are already where its trigger leads.

use perennial_types::{Properties, Timestamp, micros};

use super::Policy;
use super::definition::{Campaign, InstanceKey, Reenter, Trigger};
use super::expr::View;
use super::state::{State, place};
use super::step::Step;

/// What the triggering event of such an entry says, besides what it usually does.
pub const EXISTING: &str = "enter_existing";

/// What a campaign would be to one profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its trigger does not lead there.
    Elsewhere,
    /// It runs it already.
    Inside,
    /// It was in it, and may not enter again yet.
    EnteredBefore,
    /// The entry condition does not hold.
    NotEntitled,
    /// It would enter; silently, if it is held out.
    Enters {
        /// Walks in silence.
        held_out: bool,
    },
}

impl Campaign {
    /// Why it cannot be started on those already there, if it cannot.
    #[must_use]
    pub fn no_existing(&self) -> Option<&'static str> {
        match (&self.trigger, &self.instance) {
            (_, InstanceKey::Property(_)) => {
                Some("its instance is a property of an event, and who is already there had no event")
            }
            (Trigger::Segment { entered: true, .. } | Trigger::Stage(_) | Trigger::Overdue, _) => None,
            _ => Some(
                "nobody is already at an event, a date or a leaving: its trigger has to be entering a segment, a stage, or overdue",
            ),
        }
    }

    /// What its trigger would say of somebody already there.
    fn there(&self, state: &State, at: i64) -> Option<Properties> {
        let said = match &self.trigger {
            Trigger::Segment { name, entered: true } if state.segments.contains(name) => {
                ("segment", name.as_str())
            }
            Trigger::Stage(name) if state.stage == *name => ("stage", name.as_str()),
            Trigger::Overdue if state.score.overdue > 0 && state.score.overdue <= at => {
                ("stage", state.stage.as_str())
            }
            _ => return None,
        };
        Some(
            [(said.0.to_owned(), said.1.into()), (EXISTING.to_owned(), perennial_types::Scalar::Bool(true))]
                .into(),
        )
    }

    /// What it would be to a profile at an instant. `unit` stands in for a draw key that is not known yet.
    #[must_use]
    pub fn standing(&self, state: &State, policy: &Policy, at: Timestamp, unit: &str) -> Standing {
        let Some(it) = self.there(state, micros(at)) else { return Standing::Elsewhere };
        let place = place(&self.name, "");
        if state.instances.contains_key(&place) {
            return Standing::Inside;
        }
        if self.entry.as_ref().is_some_and(|entry| !entry.holds(View::of(state, at, &it))) {
            return Standing::NotEntitled;
        }
        let again = match (state.entered.get(&place), self.reenter) {
            (None, _) | (_, Reenter::Always) => true,
            (_, Reenter::Never) => false,
            (Some(last), Reenter::After(length)) => last.saturating_add(length) <= micros(at),
        };
        if !again {
            return Standing::EnteredBefore;
        }
        let global = policy.global_holdout_of(self.purpose);
        let held_out = state.clone().draw(&self.name, self.holdout, global, micros(at), unit).blocked;
        Standing::Enters { held_out }
    }
}

impl Step<'_> {
    /// Starts a campaign on the profile if it is already there; who enters is decided as for any other trigger.
    pub fn enter_existing(&mut self, state: &mut State, campaign: &str) {
        let current = self.book.entry(campaign).and_then(|it| it.current()).cloned();
        let Some(found) = current.filter(|it| it.no_existing().is_none()) else { return };
        if let Some(it) = found.there(state, micros(self.at)) {
            self.pend(state, campaign, String::new(), it);
        }
    }
}
