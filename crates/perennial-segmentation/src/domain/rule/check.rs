//! Type-checking: from nodes to the typed form, or to every problem there is with its place and its remedy.

use perennial_types::Currency;
use std::collections::BTreeSet;
use std::ops::Range;

use super::events::{KnownEvents, nearest};
use super::expr::{Arithmetic, Comparison, Expr, ScoreField};
use super::fault::{Problem, RuleFault};
use super::source::{Node, NodeKind, operator, parse};

/// What a rule may refer to.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// The event names there are.
    pub events: KnownEvents,
    /// Accept names of events that were never seen.
    pub any_event: bool,
    /// The currency of `money("…")`.
    pub currency: Currency,
    /// The segments there are, by bare name.
    pub segments: BTreeSet<String>,
    /// The lifecycle stages, in order; empty inside a stage's own rule, where neither they nor segments can be asked.
    pub stages: Vec<String>,
}

/// What a part of a rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// An amount.
    Money,
    /// Text.
    Text,
    /// An instant.
    Instant,
    /// A trait or a property, which may be any of them.
    Open,
}

impl Type {
    pub fn words(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Money => "money",
            Self::Text => "text",
            Self::Instant => "an instant",
            Self::Open => "a trait or property",
        }
    }
}

/// Checks a rule.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(rule: &str, vocabulary: &Vocabulary) -> Result<Expr, RuleFault> {
    let node = parse(rule)?;
    let mut checker = Checker { rule, vocabulary, filter: false, problems: Vec::new() };
    let checked = checker.condition(&node);
    match checked {
        Some(expr) if checker.problems.is_empty() => Ok(expr),
        _ => Err(RuleFault::new(rule, checker.problems)),
    }
}

/// Collects problems; a part that has one gives `None` and its neighbours are checked all the same.
pub struct Checker<'a> {
    pub rule: &'a str,
    pub vocabulary: &'a Vocabulary,
    /// Within the filter of an aggregate, where only `it` and constants make sense.
    pub filter: bool,
    pub problems: Vec<Problem>,
}

pub type Checked = Option<(Expr, Type)>;

impl Checker<'_> {
    pub fn refuse<T>(&mut self, span: &Range<usize>, text: impl Into<String>) -> Option<T> {
        self.problems.push(Problem { span: span.clone(), text: text.into() });
        None
    }

    /// A part's own words, for messages.
    pub fn words(&self, node: &Node) -> String {
        match &node.kind {
            NodeKind::Call { name, .. } if operator(name).is_none() => format!("{name}()"),
            _ => self.rule.get(node.span.clone()).unwrap_or_default().chars().take(40).collect(),
        }
    }

    /// A part that must be true or false.
    pub fn condition(&mut self, node: &Node) -> Option<Expr> {
        match self.part(node)? {
            (expr, Type::Bool) => Some(expr),
            (expr @ (Expr::Trait(_) | Expr::Property(_)), _) => {
                Some(Expr::Compare(Comparison::Equal, Box::new((expr, Expr::Bool(true)))))
            }
            (_, found) => {
                let words = self.words(node);
                let remedy = match found {
                    Type::Number => format!("compare it, such as {words} >= 1"),
                    Type::Money => format!("compare it, such as {words} > money(\"10.00\")"),
                    Type::Instant => format!("compare it, such as {words} < ago(\"30d\")"),
                    _ => format!("compare it, such as {words} == \"…\""),
                };
                self.refuse(&node.span, format!("{words} is {}, not a condition: {remedy}", found.words()))
            }
        }
    }

    pub fn part(&mut self, node: &Node) -> Checked {
        match &node.kind {
            NodeKind::Bool(it) => Some((Expr::Bool(*it), Type::Bool)),
            NodeKind::Number(it) => Some((Expr::Number(*it), Type::Number)),
            NodeKind::Text(it) => Some((Expr::Text(it.clone()), Type::Text)),
            NodeKind::List(_) => {
                self.refuse(&node.span, "a list stands only behind in: stage in [\"lead\", \"loyal\"]")
            }
            NodeKind::Name(name) => self.name(node, name),
            NodeKind::Has(name) => match (name.split_first(), self.filter) {
                (Some((root, rest)), false) if root == "traits" && !rest.is_empty() => {
                    Some((Expr::HasTrait(rest.join(".")), Type::Bool))
                }
                (Some((root, rest)), true) if root == "it" && !rest.is_empty() => {
                    Some((Expr::HasProperty(rest.join(".")), Type::Bool))
                }
                _ => self.refuse(
                    &node.span,
                    "has() asks for a trait, has(traits.plan), or in a filter has(it.coupon)",
                ),
            },
            NodeKind::Call { name, method, args } => match operator(name) {
                Some(written) if !method => self.operation(node, written, args),
                _ => self.function(node, name, *method, args),
            },
        }
    }

    fn name(&mut self, node: &Node, name: &[String]) -> Checked {
        let written = name.join(".");
        let (root, rest) = name.split_first()?;
        match (root.as_str(), rest) {
            ("it", [_, ..]) if self.filter => return Some((Expr::Property(rest.join(".")), Type::Open)),
            ("it", _) => {
                return self.refuse(&node.span, "it is the event of a filter: count(\"Product Viewed\", \"7d\", it.category == \"shoes\")");
            }
            _ if self.filter => {
                return self.refuse(&node.span, format!("a filter sees only the event's own properties, such as it.category: move {written} out of it"));
            }
            ("traits", [_, ..]) => return Some((Expr::Trait(rest.join(".")), Type::Open)),
            ("traits", []) => return self.refuse(&node.span, "name the trait: traits.plan"),
            _ => {}
        }
        let score = |field, kind| Some((Expr::Score(field), kind));
        match written.as_str() {
            "orders" => score(ScoreField::Orders, Type::Number),
            "revenue" => score(ScoreField::Revenue, Type::Money),
            "profit" => score(ScoreField::Profit, Type::Money),
            "p_alive" => score(ScoreField::PAlive, Type::Number),
            "clv.percentile" => score(ScoreField::Percentile, Type::Number),
            "clv.expected_profit_90d" => score(ScoreField::ExpectedProfit90d, Type::Money),
            "clv.expected_profit_12m" => score(ScoreField::ExpectedProfit12m, Type::Money),
            "rfm.recency" => score(ScoreField::Recency, Type::Number),
            "rfm.frequency" => score(ScoreField::Frequency, Type::Number),
            "rfm.monetary" => score(ScoreField::Monetary, Type::Number),
            "last_order" => Some((Expr::LastOrder, Type::Instant)),
            "overdue" => Some((Expr::Overdue, Type::Bool)),
            "lapsed" => Some((Expr::Lapsed, Type::Bool)),
            "reactivated" => Some((Expr::Reactivated, Type::Bool)),
            "identified" => Some((Expr::Identified, Type::Bool)),
            "stage" if self.vocabulary.stages.is_empty() => {
                self.refuse(&node.span, "a stage's rule cannot ask for the stage: ask for what makes it")
            }
            "stage" => Some((Expr::Stage, Type::Text)),
            _ => {
                let remedy = match nearest(&written, NAMES) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => {
                        format!("known are {}, traits.… and functions such as count(…)", NAMES.join(", "))
                    }
                };
                self.refuse(&node.span, format!("no such name as {written}; {remedy}"))
            }
        }
    }

    fn operation(&mut self, node: &Node, written: &str, args: &[Node]) -> Checked {
        let comparison = match written {
            "&&" | "||" => {
                let mut parts = Vec::new();
                let mut sound = true;
                for arg in args {
                    match (self.condition(arg), written) {
                        // One level however many parts there are.
                        (Some(Expr::All(inner)), "&&") | (Some(Expr::Any(inner)), "||") => {
                            parts.extend(inner)
                        }
                        (Some(part), _) => parts.push(part),
                        (None, _) => sound = false,
                    }
                }
                let expr = if written == "&&" { Expr::All(parts) } else { Expr::Any(parts) };
                return sound.then_some((expr, Type::Bool));
            }
            "!" => return Some((Expr::Not(Box::new(self.condition(args.first()?)?)), Type::Bool)),
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "in" => return self.one_of(args),
            "+" | "-" | "*" | "/" => return self.arithmetic(node, written, args),
            "-x" => {
                let zero = Node { span: node.span.start..node.span.start, kind: NodeKind::Number(0.0) };
                if let [Node { kind: NodeKind::Number(it), .. }] = args {
                    return Some((Expr::Number(-it), Type::Number));
                }
                return self.arithmetic(node, "-", &[zero, args.first()?.clone()]);
            }
            "? :" => return self.refuse(&node.span, "no choices in a rule: write (a && b) || (!a && c)"),
            _ => return self.refuse(&node.span, format!("{written} has no use in a rule")),
        };
        let [left_node, right_node] = args else { return None };
        let (left, right) = (self.part(left_node), self.part(right_node));
        let ((left, a), (right, b)) = (left?, right?);
        self.comparable(comparison, (left_node, a), (right_node, b))?;
        self.stage_name(&left, right_node);
        self.stage_name(&right, left_node);
        Some((Expr::Compare(comparison, Box::new((left, right))), Type::Bool))
    }

    /// Whether the two sides can be compared; points at the constant if one is at fault.
    fn comparable(&mut self, op: Comparison, left: (&Node, Type), right: (&Node, Type)) -> Option<()> {
        let ((left_node, a), (right_node, b)) = (left, right);
        let kind = if a == Type::Open { b } else { a };
        let equality = matches!(op, Comparison::Equal | Comparison::NotEqual);
        if a != b && a != Type::Open && b != Type::Open {
            let constant =
                |it: &Node| matches!(it.kind, NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Bool(_));
            let (other, other_type, culprit, culprit_type) = if constant(left_node) && !constant(right_node) {
                (right_node, b, left_node, a)
            } else {
                (left_node, a, right_node, b)
            };
            let remedy = match (&culprit.kind, other_type) {
                (NodeKind::Text(text), Type::Number) if text.trim().parse::<f64>().is_ok() => {
                    format!(": write {}", text.trim())
                }
                (NodeKind::Number(it), Type::Money) => format!(": write money(\"{it}\")"),
                (NodeKind::Text(text), Type::Money) => format!(": write money(\"{text}\")"),
                (_, Type::Instant) => {
                    ": write ago(\"30d\") or timestamp(\"2026-01-31T00:00:00Z\")".to_owned()
                }
                _ => String::new(),
            };
            let text = format!(
                "{} is {}; {} is {}{remedy}",
                self.words(other),
                other_type.words(),
                self.words(culprit),
                culprit_type.words()
            );
            return self.refuse(&culprit.span, text);
        }
        if matches!(kind, Type::Bool | Type::Text) && !equality {
            let text = format!("{} is {}: use == or !=", self.words(left_node), kind.words());
            return self.refuse(&left_node.span, text);
        }
        Some(())
    }

    /// A constant that a stage is compared with must be one.
    fn stage_name(&mut self, side: &Expr, other: &Node) {
        let (Expr::Stage, NodeKind::Text(name)) = (side, &other.kind) else { return };
        let stages = &self.vocabulary.stages;
        if !stages.contains(name) {
            let remedy = match nearest(name, stages.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("there are {}", stages.join(", ")),
            };
            self.refuse::<()>(&other.span, format!("no such stage; {remedy}"));
        }
    }

    fn one_of(&mut self, args: &[Node]) -> Checked {
        let [value_node, list] = args else { return None };
        let value = self.part(value_node);
        let NodeKind::List(items) = &list.kind else {
            return self.refuse(&list.span, "behind in stands a list: [\"lead\", \"loyal\"]");
        };
        let (value, kind) = value?;
        let mut constants = Vec::new();
        let mut sound = true;
        for item in items {
            match self.part(item) {
                Some((
                    constant @ (Expr::Bool(_)
                    | Expr::Number(_)
                    | Expr::Text(_)
                    | Expr::Money(_)
                    | Expr::Instant(_)),
                    found,
                )) => {
                    sound &= self.comparable(Comparison::Equal, (value_node, kind), (item, found)).is_some();
                    self.stage_name(&value, item);
                    constants.push(constant);
                }
                Some(_) => {
                    self.refuse::<()>(&item.span, "a list holds constants only");
                    sound = false;
                }
                None => sound = false,
            }
        }
        if matches!(value, Expr::Ago(_)) {
            return self.refuse(&value_node.span, "ago() stands in a comparison: last_order < ago(\"30d\")");
        }
        sound.then_some((Expr::OneOf(Box::new(value), constants), Type::Bool))
    }

    fn arithmetic(&mut self, node: &Node, written: &str, args: &[Node]) -> Checked {
        let [left_node, right_node] = args else { return None };
        let (left, right) = (self.part(left_node), self.part(right_node));
        let ((left, a), (right, b)) = (left?, right?);
        let number = |it: Type| matches!(it, Type::Number | Type::Open);
        let (op, kind) = match (written, a, b) {
            ("+", Type::Money, Type::Money) => (Arithmetic::Add, Some(Type::Money)),
            ("-", Type::Money, Type::Money) => (Arithmetic::Subtract, Some(Type::Money)),
            ("/", Type::Money, Type::Money) => (Arithmetic::Divide, Some(Type::Number)),
            ("*", Type::Money, other) | ("*", other, Type::Money) if number(other) => {
                (Arithmetic::Multiply, Some(Type::Money))
            }
            ("/", Type::Money, other) if number(other) => (Arithmetic::Divide, Some(Type::Money)),
            (_, a, b) => {
                let op = match written {
                    "+" => Arithmetic::Add,
                    "-" => Arithmetic::Subtract,
                    "*" => Arithmetic::Multiply,
                    _ => Arithmetic::Divide,
                };
                (op, (number(a) && number(b)).then_some(Type::Number))
            }
        };
        match kind {
            Some(kind) => Some((Expr::Compute(op, Box::new((left, right))), kind)),
            None => {
                let remedy = if a == Type::Instant || b == Type::Instant {
                    ": compare instants with ago(…), such as last_order < ago(\"30d\")"
                } else {
                    ": numbers go with numbers, money with money"
                };
                let text = format!(
                    "{} is {}, {} is {}{remedy}",
                    self.words(left_node),
                    a.words(),
                    self.words(right_node),
                    b.words()
                );
                self.refuse(&node.span, text)
            }
        }
    }
}

/// Every name but traits.
const NAMES: [&str; 16] = [
    "orders",
    "revenue",
    "profit",
    "last_order",
    "stage",
    "overdue",
    "lapsed",
    "reactivated",
    "identified",
    "p_alive",
    "clv.percentile",
    "clv.expected_profit_90d",
    "clv.expected_profit_12m",
    "rfm.recency",
    "rfm.frequency",
    "rfm.monetary",
];
