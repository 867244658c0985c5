//! What a rule, a segment and a stage *are*. Pure: no database, no wire, no clock; every instant is an argument.

mod fold;
mod rule;
mod rules;
mod stage;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use fold::{Cause, Change, Input, apply, carry_over, evaluate, fire, merge, tidy};
pub use rule::{KnownEvents, RuleFault, Vocabulary, check};
pub use rules::{Rules, RulesFault, Segment, references};
#[cfg(test)]
pub use stage::DEFAULT_STAGES;
pub use stage::{Stage, default_stages};
pub use state::{Score, State};
pub use view::View;
