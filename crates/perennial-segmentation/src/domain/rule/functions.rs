//! Type-checking of function calls.

use perennial_types::{Channel, Purpose};

use super::check::{Checked, Checker, Type};
use super::compare::instant;
use super::events::nearest;
use super::expr::{Aggregate, Expr, Measure, OrderMoney, TextTest};
use super::source::{Node, NodeKind};
use super::window;

/// Names under which an order is told when it is placed.
const ORDER_PLACED: [&str; 2] = ["Order Completed", "Completed Order"];

/// Every function, with an example that is right.
const FUNCTIONS: [(&str, &str); 12] = [
    ("count", "count(\"Product Viewed\", \"7d\", it.category == \"shoes\")"),
    ("sum", "sum(\"Order Completed\", \"profit\", \"365d\")"),
    ("did", "did(\"Email Opened\", \"14d\")"),
    ("consent", "consent(\"email\", \"marketing\")"),
    ("reachable", "reachable(\"email\")"),
    ("money", "money(\"100.00\")"),
    ("ago", "last_order < ago(\"30d\")"),
    ("timestamp", "timestamp(\"2026-01-31T00:00:00Z\")"),
    ("in_segment", "in_segment(\"vip\")"),
    ("startsWith", "traits.city.startsWith(\"San\")"),
    ("endsWith", "traits.city.endsWith(\"burg\")"),
    ("contains", "traits.city.contains(\"York\")"),
];

impl Checker<'_> {
    /// Checks a call of a function.
    pub fn function(&mut self, node: &Node, name: &str, method: bool, args: &[Node]) -> Checked {
        let test = match name {
            "startsWith" => Some(TextTest::StartsWith),
            "endsWith" => Some(TextTest::EndsWith),
            "contains" => Some(TextTest::Contains),
            _ => None,
        };
        let Some((_, example)) = FUNCTIONS.iter().find(|(it, _)| *it == name) else {
            let remedy = match (name, nearest(name, FUNCTIONS.iter().map(|it| it.0))) {
                ("since" | "duration" | "now", _) => "write last_order < ago(\"30d\")".to_owned(),
                (_, Some(meant)) => format!("did you mean {meant}()?"),
                _ => format!("there are {}", FUNCTIONS.map(|it| it.0).join(", ")),
            };
            return self.refuse(&node.span, format!("no such function as {name}(); {remedy}"));
        };
        if method != test.is_some() {
            return self.refuse(&node.span, format!("{name}() is written like {example}"));
        }
        if let Some(test) = test {
            return self.text_test(test, args, node, example);
        }
        if self.filter && !matches!(name, "money" | "timestamp") {
            return self.refuse(
                &node.span,
                format!("{name}() has no place in a filter, which sees only it.…: move it out"),
            );
        }
        match (name, args) {
            ("count" | "did", [event, window]) => self.aggregate(name, event, None, window, None),
            ("count" | "did", [event, window, filter]) => {
                self.aggregate(name, event, None, window, Some(filter))
            }
            ("sum", [event, property, window]) => self.aggregate(name, event, Some(property), window, None),
            ("sum", [event, property, window, filter]) => {
                self.aggregate(name, event, Some(property), window, Some(filter))
            }
            ("consent", [channel, purpose]) => {
                let channel = self.channel(channel);
                let purpose_word = self.text(purpose)?;
                match Purpose::parse(purpose_word) {
                    Some(purpose) => Some((Expr::Consent(channel?, purpose), Type::Bool)),
                    None => self
                        .refuse(&purpose.span, "no such purpose: write \"marketing\" or \"transactional\""),
                }
            }
            ("reachable", [channel]) => Some((Expr::Reachable(self.channel(channel)?), Type::Bool)),
            ("money", [amount]) => {
                let text = match &amount.kind {
                    NodeKind::Number(it) => it.to_string(),
                    _ => self.text(amount)?.to_owned(),
                };
                match self.vocabulary.currency.minor_units(&text) {
                    Ok(minor) => Some((Expr::Money(minor), Type::Money)),
                    Err(error) => self.refuse(&amount.span, error.to_string()),
                }
            }
            ("ago", [window]) => Some((Expr::Ago(self.window(window)?), Type::Instant)),
            ("timestamp", [at]) => match instant(self.text(at)?) {
                Some(at) => Some((Expr::Instant(at), Type::Instant)),
                None => self.refuse(&at.span, "no instant: write \"2026-01-31T00:00:00Z\""),
            },
            ("in_segment", [segment]) => self.in_segment(segment),
            _ => self.refuse(&node.span, format!("{name}() is written like {example}")),
        }
    }

    fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.kind {
            NodeKind::Text(it) => Some(it),
            _ => {
                let words = self.words(node);
                self.refuse(
                    &node.span,
                    format!("write it as text in quotes: \"{}\"", words.trim_matches('"')),
                )
            }
        }
    }

    fn channel(&mut self, node: &Node) -> Option<Channel> {
        let word = self.text(node)?;
        match Channel::parse(word) {
            Some(channel) => Some(channel),
            None => {
                let all = ["email", "sms", "push", "webhook", "on_site"];
                let remedy = nearest(word, all).map_or_else(
                    || format!("there are {}", all.join(", ")),
                    |it| format!("did you mean \"{it}\"?"),
                );
                self.refuse(&node.span, format!("no such channel; {remedy}"))
            }
        }
    }

    fn window(&mut self, node: &Node) -> Option<i64> {
        match window::parse(self.text(node)?) {
            Ok(micros) => Some(micros),
            Err(problem) => self.refuse(&node.span, problem),
        }
    }

    fn in_segment(&mut self, node: &Node) -> Checked {
        let name = self.text(node)?;
        if self.vocabulary.stages.is_empty() {
            return self.refuse(&node.span, "a stage's rule cannot ask for a segment: ask for what makes it");
        }
        let segments = &self.vocabulary.segments;
        if segments.contains(name) {
            return Some((Expr::InSegment(name.to_owned()), Type::Bool));
        }
        let remedy = match nearest(name, segments.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "create it first".to_owned(),
        };
        let count = segments.len();
        self.refuse(&node.span, format!("no such segment in {count} known; {remedy}"))
    }

    fn text_test(&mut self, test: TextTest, args: &[Node], node: &Node, example: &str) -> Checked {
        let [value_node, piece] = args else {
            return self.refuse(&node.span, format!("it is written like {example}"));
        };
        let value = self.part(value_node);
        let piece = self.text(piece)?.to_owned();
        match value? {
            (value, Type::Text | Type::Open) => {
                Some((Expr::Matches(test, Box::new(value), piece), Type::Bool))
            }
            (_, found) => {
                let text = format!("{} is {}, not text", self.words(value_node), found.words());
                self.refuse(&value_node.span, text)
            }
        }
    }

    fn aggregate(
        &mut self,
        function: &str,
        event_node: &Node,
        property: Option<&Node>,
        window: &Node,
        filter: Option<&Node>,
    ) -> Checked {
        let event = self.event(event_node);
        let window = self.window(window);
        let filter = match filter {
            None => Some(None),
            Some(filter) => {
                self.filter = true;
                let checked = self.condition(filter);
                self.filter = false;
                checked.map(Some)
            }
        };
        let of_orders = event.as_deref().is_some_and(|it| ORDER_PLACED.contains(&it));
        let measure = match property {
            None if of_orders => Some((Measure::Order, Type::Number)),
            None => Some((Measure::Event, Type::Number)),
            Some(node) => self.property(node, of_orders),
        };
        let (measure, kind) = measure?;
        let aggregate = Box::new(Aggregate::new(event?, filter?, measure, window?));
        Some(match function {
            "count" => (Expr::Count(aggregate), kind),
            "did" => (Expr::Did(aggregate), Type::Bool),
            _ => (Expr::Sum(aggregate), kind),
        })
    }

    fn property(&mut self, node: &Node, of_orders: bool) -> Option<(Measure, Type)> {
        let name = self.text(node)?;
        let money = match name {
            "revenue" => OrderMoney::Revenue,
            "profit" => OrderMoney::Profit,
            "discount" => OrderMoney::Discount,
            _ if of_orders => {
                return self
                    .refuse(&node.span, "of orders there are \"revenue\", \"profit\" and \"discount\"");
            }
            _ => return Some((Measure::Property(name.to_owned()), Type::Number)),
        };
        let measure = if of_orders { Measure::OrderMoney(money) } else { Measure::Property(name.to_owned()) };
        Some((measure, if of_orders { Type::Money } else { Type::Number }))
    }

    fn event(&mut self, node: &Node) -> Option<String> {
        let name = self.text(node)?;
        let known = &self.vocabulary.events;
        if known.contains(name) || (self.vocabulary.any_event && !name.is_empty()) {
            return Some(name.to_owned());
        }
        let remedy = match known.like(name) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "send one first, or set allow_unknown_events".to_owned(),
        };
        self.refuse(&node.span, format!("no such event in {} known; {remedy}", known.len()))
    }
}
