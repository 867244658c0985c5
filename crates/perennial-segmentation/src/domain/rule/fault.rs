//! What is wrong with a rule, pointing into it.

use std::fmt;
use std::ops::Range;

/// One problem: where in the rule, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the rule it is about.
    pub span: Range<usize>,
    /// The reason and the remedy.
    pub text: String,
}

/// A rule that cannot be used, with everything that is wrong with it. Shown as the rule with carets under each problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    rule: String,
    problems: Vec<Problem>,
}

impl RuleFault {
    /// The problems of `rule`, in the order in which they stand in it.
    pub fn new(rule: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|it| (it.span.start, it.span.end));
        problems.dedup();
        Self { rule: rule.to_owned(), problems }
    }

    /// One problem.
    pub fn one(rule: &str, span: Range<usize>, text: impl Into<String>) -> Self {
        Self::new(rule, vec![Problem { span, text: text.into() }])
    }

    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column, both from 1 and in characters, of a byte of the rule.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let before = &self.rule[..floor(&self.rule, byte)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// The nearest character boundary at or before `byte`.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.problems.first().map_or((1, 1), |it| self.position(it.span.start));
        write!(f, "rule does not type-check (line {line}, column {column})")?;
        let mut start = 0;
        for text in self.rule.split_inclusive('\n') {
            let end = start + text.len();
            let last = end == self.rule.len();
            let here = |it: &&Problem| {
                it.span.start >= start && (it.span.start < end || (last && it.span.start >= end))
            };
            let mut here = self.problems.iter().filter(here).peekable();
            if here.peek().is_some() {
                write!(f, "\n| {}", text.trim_end().replace('\t', " "))?;
            }
            for problem in here {
                let from = floor(&self.rule, problem.span.start);
                let to = floor(&self.rule, problem.span.end.clamp(from, end));
                let indent = self.rule[start..from].chars().count();
                let width = self.rule[from..to].trim_end().chars().count().max(1);
                write!(f, "\n| {:indent$}{:^<width$} {}", "", "", problem.text)?;
            }
            start = end;
        }
        if self.rule.is_empty() {
            for problem in &self.problems {
                write!(f, "\n| ^ {}", problem.text)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for RuleFault {}
