//! Reads a template's source before it is compiled: which variables and filters it uses, how deep it nests, and a
//! rewritten source in which every loop counts its turns and every output is metered and escaped.

mod expression;
mod tokens;

use super::{Mode, Problem, shape::Step};

/// Blocks nested deeper than this are refused: the parser behind us recurses.
const MAX_DEPTH: usize = 32;

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
