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

/// Lines longer than this are shown around the problem only, so that the message stays readable wherever it is shown.
const LONGEST_LINE: usize = 120;
/// Characters shown before the problem in a long line.
const BEFORE: usize = 40;

impl RuleFault {
    /// One line of the rule with carets under the problems in it.
    fn line(&self, f: &mut fmt::Formatter<'_>, start: usize, text: &str, here: &[&Problem]) -> fmt::Result {
        let shown: Vec<char> = text.trim_end().chars().map(|it| if it == '\t' { ' ' } else { it }).collect();
        let long = shown.len() > LONGEST_LINE;
        if !long {
            write!(f, "\n| {}", shown.iter().collect::<String>())?;
        }
        for problem in here {
            let from = floor(&self.rule, problem.span.start).clamp(start, start + text.len());
            let to = floor(&self.rule, problem.span.end.clamp(from, start + text.len()));
            let mut indent = self.rule[start..from].chars().count();
            let mut width = self.rule[from..to].trim_end().chars().count().max(1);
            if long {
                let skipped = indent.saturating_sub(BEFORE).min(shown.len());
                let part: String = shown[skipped..].iter().take(LONGEST_LINE).collect();
                let (left, right) = (
                    if skipped > 0 { "…" } else { "" },
                    if skipped + LONGEST_LINE < shown.len() { "…" } else { "" },
                );
                write!(f, "\n| {left}{part}{right}")?;
                indent = indent - skipped + left.chars().count();
                width = width.min(LONGEST_LINE - BEFORE);
            }
            write!(f, "\n| {:indent$}{:^<width$} {}", "", "", problem.text)?;
        }
        Ok(())
    }
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.problems.first().map_or((1, 1), |it| self.position(it.span.start));
        write!(f, "rule does not type-check (line {line}, column {column})")?;
        let mut problems = self.problems.iter().peekable();
        let mut start = 0;
        let mut lines = self.rule.split_inclusive('\n').peekable();
        if lines.peek().is_none() {
            return self.line(f, 0, "", &problems.collect::<Vec<_>>());
        }
        while let Some(text) = lines.next() {
            let end = if lines.peek().is_some() { start + text.len() } else { usize::MAX };
            let mut here = Vec::new();
            while let Some(problem) = problems.next_if(|it| it.span.start < end) {
                here.push(problem);
            }
            if !here.is_empty() {
                self.line(f, start, text, &here)?;
            }
            start += text.len();
        }
        Ok(())
    }
}

impl std::error::Error for RuleFault {}
