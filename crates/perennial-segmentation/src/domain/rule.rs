//! The rule language: text → checked, typed form. Evaluation is in [`super::view`].

mod check;
mod compare;
mod events;
mod expr;
mod fault;
mod functions;
mod source;
#[cfg(test)]
mod tests;
mod window;

pub use check::{Vocabulary, check};
pub use compare::{compare, compute, instant, matches};
pub use events::KnownEvents;
pub use expr::{Aggregate, Comparison, Expr, Measure, OrderMoney, ScoreField, SeriesKey, Value, fnv};
pub use fault::RuleFault;
pub use window::in_words;
