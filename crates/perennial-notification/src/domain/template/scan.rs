//! Reads a template's source before it is compiled: which variables and filters it uses, how deep it nests, and a
//! rewritten source in which every loop counts its turns and every output is metered and escaped.

use super::{Mode, Problem, shape::Step};

/// Blocks nested deeper than this are refused: the parser behind us recurses.
const MAX_DEPTH: usize = 32;
/// Square brackets and ranges nested deeper than this are refused.
const MAX_BRACKETS: usize = 8;
/// A literal range may not be longer.
const MAX_RANGE: i64 = 1_000;

/// What a template's source says about itself.
#[derive(Debug)]
pub struct Scan {
    /// The source to compile.
    pub rewritten: String,
    /// Every variable it reads from outside, by its full path.
    pub references: Vec<Reference>,
    /// Every filter it uses, with its line.
    pub filters: Vec<(String, usize)>,
}

/// One use of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it leads, from the root.
    pub path: Vec<Step>,
    /// The line it stands on, from 1.
    pub line: usize,
    /// As it was written.
    pub written: String,
}

/// What a name means within the template.
#[derive(Clone, Debug)]
enum Local {
    /// Made by the template itself: anything may be asked of it.
    Made,
    /// Another name for a path from the root.
    Alias(Vec<Step>),
}

/// A block that is open.
struct Open {
    tag: String,
    line: usize,
    /// Of a loop: where its two locals stand.
    locals: usize,
    /// Of a loop: where its meter stands in the output, and where its body begins in the source.
    meter: Option<(usize, usize)>,
}

struct Scanner<'a> {
    source: &'a str,
    mode: Mode,
    out: Vec<String>,
    locals: Vec<(String, Local)>,
    open: Vec<Open>,
    references: Vec<Reference>,
    filters: Vec<(String, usize)>,
}

/// Scans `source`.
///
/// # Errors
/// The first [`Problem`] that makes it no template of ours, with its line and remedy.
pub fn scan(source: &str, mode: Mode) -> Result<Scan, Problem> {
    let mut scanner = Scanner {
        source,
        mode,
        out: Vec::new(),
        locals: Vec::new(),
        open: Vec::new(),
        references: Vec::new(),
        filters: Vec::new(),
    };
    scanner.run()?;
    Ok(Scan { rewritten: scanner.out.concat(), references: scanner.references, filters: scanner.filters })
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), Problem> {
        let mut at = 0;
        while at < self.source.len() {
            let rest = &self.source[at..];
            let Some(start) = [rest.find("{{"), rest.find("{%")].into_iter().flatten().min() else { break };
            self.out.push(rest[..start].to_owned());
            let open = at + start;
            let line = self.line(open);
            let output = self.source[open..].starts_with("{{");
            let end = self.end_of(open, if output { "}}" } else { "%}" }, line)?;
            let whole = &self.source[open..end];
            let (lead, inner, trail) = parts(whole);
            if output {
                self.output(lead, inner, trail, line)?;
                at = end;
            } else {
                at = self.tag((lead, inner, trail), line, open, end)?;
            }
        }
        self.out.push(self.source[at..].to_owned());
        match self.open.last() {
            Some(it) => Err(Problem::syntax(
                it.line,
                format!("{{% {0} %}} is never closed: add {{% end{0} %}}", it.tag),
            )),
            None => Ok(()),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.source[..at].bytes().filter(|it| *it == b'\n').count() + 1
    }

    /// The end of the output or tag that opens at `open`; text in quotes does not end it.
    fn end_of(&self, open: usize, close: &str, line: usize) -> Result<usize, Problem> {
        let mut quote = None;
        for (offset, it) in self.source[open + 2..].char_indices() {
            match quote {
                Some(mark) if it == mark => quote = None,
                Some(_) => {}
                None if it == '"' || it == '\'' => quote = Some(it),
                None if self.source[open + 2 + offset..].starts_with(close) => {
                    return Ok(open + 2 + offset + close.len());
                }
                None => {}
            }
        }
        Err(Problem::syntax(line, format!("it is never closed: add {close}")))
    }

    fn output(&mut self, lead: &str, inner: &str, trail: &str, line: usize) -> Result<(), Problem> {
        if inner.trim().is_empty() {
            return Err(Problem::syntax(
                line,
                "the output is empty: name a variable between {{ and }}".to_owned(),
            ));
        }
        let last = self.expression(inner, line)?;
        let escaped = matches!(last.as_deref(), Some("raw" | "escape" | "escape_once"));
        let meter = if self.mode == Mode::Html && !escaped { "__html" } else { "__text" };
        self.out.push(format!("{lead}{inner} | {meter} {trail}"));
        Ok(())
    }

    /// Handles one tag and gives where to read on.
    fn tag(
        &mut self,
        (lead, inner, trail): (&str, &str, &str),
        line: usize,
        open: usize,
        end: usize,
    ) -> Result<usize, Problem> {
        let inner = inner.trim();
        let (name, rest) = inner.split_once(|it: char| it.is_whitespace()).unwrap_or((inner, ""));
        let as_is = format!("{lead} {inner} {trail}");
        match name {
            "raw" | "comment" => {
                // Nothing inside means anything: skip to the end tag.
                let tail = &self.source[end..];
                let Some((start, close)) = find_end(tail, name) else {
                    return Err(Problem::syntax(
                        line,
                        format!("{{% {name} %}} is never closed: add {{% end{name} %}}"),
                    ));
                };
                if name == "raw" {
                    self.out.push(format!("{as_is}{}", &tail[..close]));
                } else {
                    let after = &tail[start..close];
                    // Keeps what the comment's own trimming marks do to the text around it.
                    self.out.push(format!("{lead} comment %}}{after}"));
                }
                return Ok(end + close);
            }
            "if" | "unless" | "case" | "capture" | "for" => {
                self.open_block(name, rest, &as_is, trail, line, end)?
            }
            "elsif" | "when" => {
                self.expression(rest, line)?;
                self.out.push(as_is);
            }
            "else" | "break" | "continue" => self.out.push(as_is),
            "assign" => {
                let Some((target, value)) = rest.split_once('=') else {
                    return Err(Problem::syntax(
                        line,
                        "assign needs a name and a value: {% assign name = value %}".to_owned(),
                    ));
                };
                self.expression(value, line)?;
                self.locals.push((target.trim().to_owned(), Local::Made));
                self.out.push(format!("{lead} assign {} = {} | __kept {trail}", target.trim(), value.trim()));
            }
            "stop" => {
                self.expression(rest, line)?;
                self.out.push(as_is);
            }
            _ if name.starts_with("end") => self.close_block(name, as_is, line, open)?,
            _ => {
                let known = [
                    "if", "unless", "case", "for", "assign", "capture", "comment", "raw", "stop", "break",
                    "continue",
                ];
                return Err(Problem::syntax(
                    line,
                    format!("there is no tag {name:?}{}", super::did_you_mean(name, known.into_iter())),
                ));
            }
        }
        Ok(end)
    }

    fn open_block(
        &mut self,
        name: &str,
        rest: &str,
        as_is: &str,
        trail: &str,
        line: usize,
        end: usize,
    ) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::syntax(
                line,
                format!("blocks nest deeper than {MAX_DEPTH}: flatten the template"),
            ));
        }
        let mut block = Open { tag: name.to_owned(), line, locals: self.locals.len(), meter: None };
        self.out.push(as_is.to_owned());
        match name {
            "for" => {
                let mut words = rest.splitn(3, char::is_whitespace).filter(|it| !it.is_empty());
                let (Some(variable), Some("in"), Some(over)) = (words.next(), words.next(), words.next())
                else {
                    return Err(Problem::syntax(
                        line,
                        "a loop needs the form {% for line in cart.lines %}".to_owned(),
                    ));
                };
                let before = self.references.len();
                self.expression(over, line)?;
                // The collection is the first thing named; `limit` and `offset` may follow.
                let starts_with_range = over.trim_start().starts_with('(');
                let alias = match self.references.get(before) {
                    Some(it) if !starts_with_range => {
                        let mut path = it.path.clone();
                        path.push(Step::Each);
                        self.references[before].path.push(Step::Each);
                        Local::Alias(path)
                    }
                    _ => Local::Made,
                };
                self.locals.push((variable.to_owned(), alias));
                self.locals.push(("forloop".to_owned(), Local::Made));
                block.meter = Some((self.out.len(), end));
                // Filled in when the loop closes and the length of its body is known.
                self.out.push(if trail.starts_with('-') { "-".to_owned() } else { String::new() });
            }
            "capture" => {
                self.locals.push((rest.trim().to_owned(), Local::Made));
            }
            _ => {
                self.expression(rest, line)?;
            }
        }
        self.open.push(block);
        Ok(())
    }

    fn close_block(&mut self, name: &str, as_is: String, line: usize, start: usize) -> Result<(), Problem> {
        let Some(block) = self.open.pop() else {
            return Err(Problem::syntax(line, format!("{{% {name} %}} closes nothing")));
        };
        if name[3..] != block.tag {
            return Err(Problem::syntax(
                line,
                format!(
                    "{{% {name} %}} closes {{% {0} %}} of line {1}: use {{% end{0} %}}",
                    block.tag, block.line
                ),
            ));
        }
        if let Some((meter, body)) = block.meter {
            let trim = std::mem::take(&mut self.out[meter]);
            let length = start.saturating_sub(body);
            self.out[meter] = format!("{{% __turn {length} {trim}%}}");
            // Names assigned in the loop live on; its own variable and `forloop` do not.
            self.locals.drain(block.locals..block.locals + 2);
        }
        self.out.push(as_is);
        Ok(())
    }

    /// Notes the variables and filters of an expression; gives the last filter's name.
    fn expression(&mut self, text: &str, line: usize) -> Result<Option<String>, Problem> {
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

/// Splits `{{- inner -}}` into its opening mark, what is inside, and its closing mark.
fn parts(whole: &str) -> (&str, &str, &str) {
    let lead = if whole[2..].starts_with('-') { 3 } else { 2 };
    let body = &whole[..whole.len() - 2];
    let trail = if body.len() > lead && body.ends_with('-') { body.len() - 1 } else { body.len() };
    (&whole[..lead], &whole[lead..trail.max(lead)], &whole[trail.max(lead)..])
}

/// Where `{% end… %}` of a raw or comment block begins and ends in `tail`.
fn find_end(tail: &str, name: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    while let Some(start) = tail[at..].find("{%") {
        let start = at + start;
        let end = start + tail[start..].find("%}")? + 2;
        let word = tail[start + 2..end - 2].trim_matches(|it: char| it == '-' || it.is_whitespace());
        if word.strip_prefix("end") == Some(name) {
            return Some((start, end));
        }
        at = start + 2;
    }
    None
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(String),
    Sign(char),
    Through,
}

fn tokens(text: &str, line: usize) -> Result<Vec<Token>, Problem> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(it) = rest.chars().next() {
        let taken = match it {
            _ if it.is_whitespace() => it.len_utf8(),
            '"' | '\'' => {
                let Some(end) = rest[1..].find(it) else {
                    return Err(Problem::syntax(line, format!("a text is never closed: add {it}")));
                };
                found.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            _ if it.is_ascii_alphabetic() || it == '_' => {
                let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == '-'));
                let end = end.unwrap_or(rest.len());
                found.push(Token::Name(rest[..end].to_owned()));
                end
            }
            _ if it.is_ascii_digit() => {
                let mut end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
                let fraction = rest[end..]
                    .strip_prefix('.')
                    .map_or(0, |it| it.find(|it: char| !it.is_ascii_digit()).unwrap_or(it.len()));
                end += if fraction > 0 { fraction + 1 } else { 0 };
                found.push(Token::Number(rest[..end].to_owned()));
                end
            }
            '.' if rest.starts_with("..") => {
                found.push(Token::Through);
                2
            }
            _ => {
                found.push(Token::Sign(it));
                it.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(found)
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
