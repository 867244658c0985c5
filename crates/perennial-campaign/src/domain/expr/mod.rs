//! The expressions of a campaign (`entry`, `when`, `where`): a small subset of CEL with the names that segments use.
//!
//! Parsed by a recursive descent of our own rather than by the `cel` crate: the subset is small, its depth is counted
//! while parsing (so no input can exhaust the stack), and an error can point at the word it is about.

mod check;
mod eval;
mod parse;

pub use check::{Expr, Field, check, check_offer};
pub use eval::View;

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 4_096;
/// The deepest nesting.
pub const MAX_DEPTH: usize = 16;

/// An expression that cannot be used: where, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {column}: {problem}")]
pub struct ExprError {
    /// The character it is about, from 1.
    pub column: usize,
    /// The problem and its remedy.
    pub problem: String,
}

impl ExprError {
    fn at(position: usize, problem: impl Into<String>) -> Self {
        Self { column: position + 1, problem: problem.into() }
    }
}
