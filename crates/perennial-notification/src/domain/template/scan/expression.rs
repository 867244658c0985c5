//! Expressions of a template: the variables and filters they name.

use super::tokens::{Token, tokens};
use super::{Local, Problem, Reference, Scanner, Step};

/// Square brackets and ranges nested deeper than this are refused.
const MAX_BRACKETS: usize = 8;
/// A literal range may not be longer.
const MAX_RANGE: i64 = 1_000;

impl Scanner<'_> {
    /// Notes the variables and filters of an expression; gives the last filter's name.
    pub(super) fn expression(&mut self, text: &str, line: usize) -> Result<Option<String>, Problem> {
        let tokens = tokens(text, line)?;
        self.walk(&tokens, line, 0)
    }

    fn walk(&mut self, tokens: &[Token], line: usize, depth: usize) -> Result<Option<String>, Problem> {
        if depth > MAX_BRACKETS {
            return Err(Problem::syntax(line, format!("brackets nest deeper than {MAX_BRACKETS}")));
        }
        let mut last = None;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                Token::Sign('|') => {
                    let Some(Token::Name(filter)) = tokens.get(at + 1) else {
                        return Err(Problem::syntax(line, "a filter's name is missing after |".to_owned()));
                    };
                    if filter.starts_with("__") {
                        return Err(Problem::syntax(line, format!("there is no filter {filter:?}")));
                    }
                    self.filters.push((filter.clone(), line));
                    last = Some(filter.clone());
                    at += 2;
                }
                Token::Sign('(') => at = range(tokens, at, line)?,
                Token::Name(_) if matches!(tokens.get(at + 1), Some(Token::Sign(':'))) => at += 2,
                Token::Name(name)
                    if is_word(name) && !matches!(tokens.get(at + 1), Some(Token::Sign('.' | '['))) =>
                {
                    at += 1;
                }
                Token::Name(_) => at = self.variable(tokens, at, line, depth)?,
                _ => at += 1,
            }
        }
        Ok(last)
    }

    fn variable(
        &mut self,
        tokens: &[Token],
        mut at: usize,
        line: usize,
        depth: usize,
    ) -> Result<usize, Problem> {
        let Some(Token::Name(root)) = tokens.get(at) else { return Ok(at + 1) };
        let mut path = Vec::new();
        let mut written = root.clone();
        at += 1;
        loop {
            match (tokens.get(at), tokens.get(at + 1)) {
                (Some(Token::Sign('.')), Some(Token::Name(field))) => {
                    written.push('.');
                    written.push_str(field);
                    path.push(Step::Field(field.clone()));
                    at += 2;
                }
                (Some(Token::Sign('[')), Some(inner)) => {
                    let close = closing(tokens, at)
                        .ok_or_else(|| Problem::syntax(line, format!("{written}[ is never closed: add ]")))?;
                    match inner {
                        Token::Text(field) if close == at + 2 => path.push(Step::Field(field.clone())),
                        _ => {
                            self.walk(&tokens[at + 1..close], line, depth + 1)?;
                            path.push(Step::Each);
                        }
                    }
                    written.push_str("[…]");
                    at = close + 1;
                }
                _ => break,
            }
        }
        let local = self.locals.iter().rev().find(|(name, _)| name == root).map(|(_, local)| local.clone());
        let path = match local {
            Some(Local::Made) => return Ok(at),
            Some(Local::Alias(base)) => base.into_iter().chain(path).collect(),
            None => std::iter::once(Step::Field(root.clone())).chain(path).collect(),
        };
        self.references.push(Reference { path, line, written });
        Ok(at)
    }
}

/// Words of the language itself.
fn is_word(name: &str) -> bool {
    matches!(
        name,
        "and" | "or" | "contains" | "true" | "false" | "nil" | "null" | "empty" | "blank" | "reversed"
    )
}

fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Sign('[') => depth += 1,
            Token::Sign(']') if depth == 1 => return Some(at),
            Token::Sign(']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// A range must be of two whole numbers not too far apart, or a loop over it could run for ever.
fn range(tokens: &[Token], at: usize, line: usize) -> Result<usize, Problem> {
    let number = |token: Option<&Token>| match token {
        Some(Token::Number(it)) => it.parse::<i64>().ok(),
        _ => None,
    };
    let (from, to) = (number(tokens.get(at + 1)), number(tokens.get(at + 3)));
    match (from, tokens.get(at + 2), to, tokens.get(at + 4)) {
        (Some(from), Some(Token::Through), Some(to), Some(Token::Sign(')')))
            if to.saturating_sub(from) <= MAX_RANGE =>
        {
            Ok(at + 5)
        }
        _ => Err(Problem::syntax(
            line,
            format!("a range needs two whole numbers at most {MAX_RANGE} apart, such as (1..5)"),
        )),
    }
}
