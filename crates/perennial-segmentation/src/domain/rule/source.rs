//! From text to a tree with places: limits first, then CEL's own parser, then our nodes.

use cel::common::ast::{Expr as Cel, IdedExpr, LiteralValue, SourceInfo, operators};
use std::collections::HashMap;
use std::ops::Range;

use super::fault::{Problem, RuleFault};

/// The longest rule, in bytes.
pub const MAX_BYTES: usize = 4_096;
/// How deep parentheses, brackets and choices may nest.
pub const MAX_DEPTH: usize = 16;
/// How deep the tree may be: a long sum leans to one side.
const MAX_TREE: usize = 64;
/// CEL's parser recurses through a dozen frames for each level; this is address space, not memory.
const STACK: usize = 128 << 20;

/// A part of a rule, before its type is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands, in bytes.
    pub span: Range<usize>,
    /// What it is.
    pub kind: NodeKind,
}

/// What a part of a rule is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text in quotes.
    Text(String),
    /// A dotted name: `orders`, `traits.plan`, `clv.percentile`.
    Name(Vec<String>),
    /// `has(traits.plan)`.
    Has(Vec<String>),
    /// `[…]`.
    List(Vec<Node>),
    /// `f(…)`, an operator (by its CEL name), or `target.f(…)`, the target being the first argument.
    Call {
        /// The function's or operator's name.
        name: String,
        /// Called on a target, which is the first argument.
        method: bool,
        /// The arguments.
        args: Vec<Node>,
    },
}

/// Reads a rule's text.
///
/// # Errors
/// Too long, too deep, or not CEL.
pub fn parse(rule: &str) -> Result<Node, RuleFault> {
    if rule.trim().is_empty() {
        return Err(RuleFault::one(rule, 0..0, "the rule is empty: write a condition such as orders >= 2"));
    }
    if rule.len() > MAX_BYTES {
        let text =
            format!("the rule has {} bytes; at most {MAX_BYTES}: split it with in_segment(…)", rule.len());
        return Err(RuleFault::one(rule, MAX_BYTES..MAX_BYTES, text));
    }
    let brackets = brackets(rule)?;
    let text = rule.to_owned();
    let parsed = std::thread::Builder::new()
        .name("rule".to_owned())
        .stack_size(STACK)
        .spawn(move || parse_here(&text, &brackets))
        .map(std::thread::JoinHandle::join);
    match parsed {
        Ok(Ok(parsed)) => parsed,
        _ => {
            Err(RuleFault::one(rule, 0..rule.len(), "this is not CEL: write a condition such as orders >= 2"))
        }
    }
}

fn parse_here(rule: &str, brackets: &HashMap<usize, usize>) -> Result<Node, RuleFault> {
    match cel::parser::Parser::new().parse_with_source_info(rule) {
        Ok((tree, places)) => Reader { rule, brackets, places: &places }.node(&tree, 0),
        Err(errors) => {
            let problem =
                |it: &cel::ParseError| Problem { span: span_at(rule, it.pos), text: readable(&it.msg) };
            let mut problems: Vec<_> = errors.errors.iter().map(problem).collect();
            // What follows the first one is mostly its echo.
            problems.sort_by_key(|it| it.span.start);
            problems.truncate(1);
            Err(RuleFault::new(rule, problems))
        }
    }
}

/// The place of CEL's (line, column), both from 1.
fn span_at(rule: &str, (line, column): (isize, isize)) -> Range<usize> {
    let line = usize::try_from(line.max(1)).unwrap_or(1) - 1;
    let column = usize::try_from(column.max(1)).unwrap_or(1) - 1;
    let start: usize = rule.split_inclusive('\n').take(line).map(str::len).sum();
    let text = rule.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let offset = text.char_indices().nth(column).map_or(text.len(), |(at, _)| at);
    start + offset..start + offset + 1
}

fn readable(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message =
        message.split(" expecting ").next().unwrap_or(message).replace("<EOF>", "the end of the rule");
    format!("{message}: see the rule language in the README, such as orders >= 2 && reachable(\"email\")")
}

/// Matches opening brackets with closing ones, outside of text and comments, and counts how deep they go.
fn brackets(rule: &str) -> Result<HashMap<usize, usize>, RuleFault> {
    let bytes = rule.as_bytes();
    let mut open = Vec::new();
    let mut pairs = HashMap::new();
    let mut choices = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = end_of_text(bytes, at);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().take_while(|it| **it != b'\n').count();
                continue;
            }
            b'(' | b'[' | b'{' => open.push(at),
            b')' | b']' | b'}' => {
                if let Some(start) = open.pop() {
                    pairs.insert(start, at);
                }
            }
            b'?' => choices += 1,
            _ => {}
        }
        if open.len() + choices > MAX_DEPTH {
            let text = format!("nested more than {MAX_DEPTH} deep: split the rule with in_segment(…)");
            return Err(RuleFault::one(rule, at..at + 1, text));
        }
        at += 1;
    }
    Ok(pairs)
}

/// Where text in quotes that starts at `at` ends: behind its last quote.
fn end_of_text(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let raw = at > 0 && matches!(bytes[at - 1], b'r' | b'R');
    let triple = bytes[at..].starts_with(&[quote; 3]);
    let mut at = at + if triple { 3 } else { 1 };
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if !raw => at += 2,
            byte if *byte == quote && !triple => return at + 1,
            byte if *byte == quote && bytes[at..].starts_with(&[quote; 3]) => return at + 3,
            b'\n' if !triple => return at,
            _ => at += 1,
        }
    }
    at
}

struct Reader<'a> {
    rule: &'a str,
    brackets: &'a HashMap<usize, usize>,
    places: &'a SourceInfo,
}

impl Reader<'_> {
    fn token(&self, id: u64) -> Range<usize> {
        let (start, stop) = self.places.offset_for(id).unwrap_or_default();
        let start = (start as usize).min(self.rule.len());
        let mut end = (stop as usize + 1).clamp(start, self.rule.len());
        while !self.rule.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }

    fn refuse(&self, span: Range<usize>, text: impl Into<String>) -> RuleFault {
        RuleFault::one(self.rule, span, text)
    }

    fn node(&self, tree: &IdedExpr, depth: usize) -> Result<Node, RuleFault> {
        let token = self.token(tree.id);
        if depth > MAX_TREE {
            return Err(self.refuse(token, "too long a chain: split the rule with in_segment(…)"));
        }
        let all =
            |it: &[IdedExpr]| it.iter().map(|it| self.node(it, depth + 1)).collect::<Result<Vec<_>, _>>();
        Ok(match &tree.expr {
            Cel::Literal(literal) => Node { span: token.clone(), kind: self.literal(token, literal)? },
            Cel::Ident(name) => Node { span: token, kind: NodeKind::Name(vec![name.clone()]) },
            Cel::Select(select) => {
                let operand = self.node(&select.operand, depth + 1)?;
                let NodeKind::Name(mut name) = operand.kind else {
                    return Err(
                        self.refuse(token, "only names have parts: traits.plan, clv.percentile, it.category")
                    );
                };
                name.push(select.field.clone());
                let start = operand.span.start;
                let behind =
                    operand.span.end + self.rule[operand.span.end..].find(&select.field).unwrap_or(0);
                let span = start..(behind + select.field.len()).min(self.rule.len());
                Node { span, kind: if select.test { NodeKind::Has(name) } else { NodeKind::Name(name) } }
            }
            Cel::List(list) => {
                let end = self.brackets.get(&token.start).map_or(token.end, |it| it + 1);
                Node { span: token.start..end, kind: NodeKind::List(all(&list.elements)?) }
            }
            Cel::Call(call) => {
                let mut args = Vec::with_capacity(call.args.len() + 1);
                if let Some(target) = &call.target {
                    args.push(self.node(target, depth + 1)?);
                }
                // `a && b && c` comes as a balanced tree and stays shallow.
                args.extend(all(&call.args)?);
                let mut span = token.clone();
                if let Some(close) = self.brackets.get(&token.start) {
                    let before = self.rule[..token.start].trim_end();
                    span = before.len().saturating_sub(call.func_name.len())..close + 1;
                }
                for arg in &args {
                    span = span.start.min(arg.span.start)..span.end.max(arg.span.end);
                }
                Node {
                    span,
                    kind: NodeKind::Call {
                        name: call.func_name.clone(),
                        method: call.target.is_some(),
                        args,
                    },
                }
            }
            Cel::Comprehension(_) => {
                return Err(
                    self.refuse(token, "lists of a profile cannot be walked: use in, count(…) or did(…)")
                );
            }
            Cel::Map(_) | Cel::Struct(_) | Cel::Unspecified => {
                return Err(self.refuse(token, "maps and messages have no use in a rule"));
            }
        })
    }

    fn literal(&self, span: Range<usize>, literal: &LiteralValue) -> Result<NodeKind, RuleFault> {
        #[expect(clippy::cast_precision_loss, reason = "rules compare as doubles beyond 2^53")]
        Ok(match literal {
            LiteralValue::Boolean(it) => NodeKind::Bool(*it.inner()),
            LiteralValue::Int(it) => NodeKind::Number(*it.inner() as f64),
            LiteralValue::UInt(it) => NodeKind::Number(*it.inner() as f64),
            LiteralValue::Double(it) if it.inner().is_finite() => NodeKind::Number(*it.inner()),
            LiteralValue::Double(_) => return Err(self.refuse(span, "too large a number")),
            LiteralValue::String(it) => NodeKind::Text(it.inner().to_owned()),
            LiteralValue::Null => {
                return Err(
                    self.refuse(span, "null has no use here: ask has(traits.plan) or !has(traits.plan)")
                );
            }
            LiteralValue::Bytes(_) => return Err(self.refuse(span, "bytes have no use here: write \"text\"")),
        })
    }
}

/// The operators by CEL's names, as they are written.
pub fn operator(name: &str) -> Option<&'static str> {
    Some(match name {
        operators::LOGICAL_AND => "&&",
        operators::LOGICAL_OR => "||",
        operators::LOGICAL_NOT => "!",
        operators::EQUALS => "==",
        operators::NOT_EQUALS => "!=",
        operators::LESS => "<",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::GREATER_EQUALS => ">=",
        operators::ADD => "+",
        operators::SUBSTRACT => "-",
        operators::MULTIPLY => "*",
        operators::DIVIDE => "/",
        operators::MODULO => "%",
        operators::NEGATE => "-x",
        operators::IN => "in",
        operators::CONDITIONAL => "? :",
        operators::INDEX => "[ ]",
        _ => return None,
    })
}
