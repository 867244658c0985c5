//! From a tree to a typed expression: every name known, every comparison possible.

use perennial_types::{Channel, Currency, Purpose};

use super::ExprError;
use super::parse::{Kind, Node, Operator, parse};
use crate::domain::duration;

/// An expression that type-checked; this is what is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// True or false.
    Bool(bool),
    /// A number; money as minor units.
    Number(f64),
    /// Text.
    Text(String),
    /// Nothing.
    Null,
    /// Something known of the profile.
    Field(Field),
    /// A property of the triggering event.
    It(String),
    /// A trait.
    Trait(String),
    /// Consent given for channel and purpose.
    Consent(Channel, Purpose),
    /// An address for the channel is known.
    Reachable(Channel),
    /// Member of a segment.
    Segment(String),
    /// The event was seen within the last so many microseconds.
    Did(String, i64),
    /// The opposite.
    Not(Box<Expr>),
    /// Minus.
    Negate(Box<Expr>),
    /// Both.
    And(Box<Expr>, Box<Expr>),
    /// Either.
    Or(Box<Expr>, Box<Expr>),
    /// A comparison.
    Compare(Operator, Box<Expr>, Box<Expr>),
    /// One of a list.
    In(Box<Expr>, Vec<Expr>),
    /// A calculation.
    Calculate(Operator, Box<Expr>, Box<Expr>),
}

/// What an expression can see of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Orders,
    Revenue,
    Profit,
    Margin,
    /// Only where an offer stands beside it.
    MarginAfterDiscount,
    DaysSinceOrder,
    Stage,
    Overdue,
    Lapsed,
    Identified,
    CartItems,
    CartValue,
    ClvPercentile,
    ClvValue12m,
    ClvExpectedProfit90d,
    ClvExpectedOrders90d,
    ClvPAlive,
    RfmRecency,
    RfmFrequency,
    RfmMonetary,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Bool,
    Number,
    Money,
    Text,
    /// Known only when it is looked at.
    Any,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Bool => "a condition",
            Self::Number => "a number",
            Self::Money => "money",
            Self::Text => "text",
            Self::Any => "a value",
        }
    }
}

const FIELDS: &[(&str, Field, Type)] = &[
    ("orders", Field::Orders, Type::Number),
    ("revenue", Field::Revenue, Type::Money),
    ("profit", Field::Profit, Type::Money),
    ("margin", Field::Margin, Type::Number),
    ("margin_after_discount", Field::MarginAfterDiscount, Type::Number),
    ("days_since_order", Field::DaysSinceOrder, Type::Number),
    ("stage", Field::Stage, Type::Text),
    ("overdue", Field::Overdue, Type::Bool),
    ("lapsed", Field::Lapsed, Type::Bool),
    ("identified", Field::Identified, Type::Bool),
    ("cart.items", Field::CartItems, Type::Number),
    ("cart.value", Field::CartValue, Type::Money),
    ("clv.percentile", Field::ClvPercentile, Type::Number),
    ("clv.value_12m", Field::ClvValue12m, Type::Money),
    ("clv.expected_profit_90d", Field::ClvExpectedProfit90d, Type::Money),
    ("clv.expected_orders_90d", Field::ClvExpectedOrders90d, Type::Number),
    ("clv.p_alive", Field::ClvPAlive, Type::Number),
    ("rfm.recency", Field::RfmRecency, Type::Number),
    ("rfm.frequency", Field::RfmFrequency, Type::Number),
    ("rfm.monetary", Field::RfmMonetary, Type::Number),
];

/// Reads and type-checks a condition; `money("8.00")` is read in `currency`.
///
/// # Errors
/// Where it is wrong, why, and what to write instead.
pub fn check(text: &str, currency: Currency) -> Result<Expr, ExprError> {
    checked(text, Checker { currency, offer: false })
}

/// The same for the condition of an offer, which may ask what the offer leaves.
///
/// # Errors
/// As for [`check`].
pub fn check_offer(text: &str, currency: Currency) -> Result<Expr, ExprError> {
    checked(text, Checker { currency, offer: true })
}

fn checked(text: &str, checker: Checker) -> Result<Expr, ExprError> {
    let node = parse(text)?;
    let (expr, kind) = checker.walk(&node)?;
    match kind {
        Type::Bool | Type::Any => Ok(expr),
        other => Err(ExprError::at(node.at, format!("this is {}: compare it with something", other.word()))),
    }
}

struct Checker {
    currency: Currency,
    offer: bool,
}

type Typed = Result<(Expr, Type), ExprError>;

impl Checker {
    fn walk(&self, node: &Node) -> Typed {
        Ok(match &node.kind {
            Kind::Bool(it) => (Expr::Bool(*it), Type::Bool),
            Kind::Number(it) => (Expr::Number(*it), Type::Number),
            Kind::Text(it) => (Expr::Text(it.clone()), Type::Text),
            Kind::Null => (Expr::Null, Type::Any),
            Kind::Name(name) => match name_of(node.at, name)? {
                (Expr::Field(Field::MarginAfterDiscount), _) if !self.offer => {
                    let problem =
                        "margin_after_discount asks what an offer leaves: write it into the when of an offer";
                    return Err(ExprError::at(node.at, problem));
                }
                found => found,
            },
            Kind::Call(name, arguments) => self.call(node.at, name, arguments)?,
            Kind::List(_) => return Err(ExprError::at(node.at, "a list belongs after in")),
            Kind::Not(inner) => (Expr::Not(Box::new(self.condition(inner)?)), Type::Bool),
            Kind::Negate(inner) => {
                let (expr, kind) = self.walk(inner)?;
                if !matches!(kind, Type::Number | Type::Money | Type::Any) {
                    return Err(ExprError::at(inner.at, format!("{} has no minus", kind.word())));
                }
                (Expr::Negate(Box::new(expr)), kind)
            }
            Kind::Binary(operator, left, right) => self.binary(node.at, *operator, left, right)?,
        })
    }

    fn condition(&self, node: &Node) -> Result<Expr, ExprError> {
        match self.walk(node)? {
            (expr, Type::Bool | Type::Any) => Ok(expr),
            (_, other) => {
                Err(ExprError::at(node.at, format!("this is {}, but a condition belongs here", other.word())))
            }
        }
    }

    fn binary(&self, at: usize, operator: Operator, left: &Node, right: &Node) -> Typed {
        match operator {
            Operator::And | Operator::Or => {
                let (a, b) = (Box::new(self.condition(left)?), Box::new(self.condition(right)?));
                Ok((if operator == Operator::And { Expr::And(a, b) } else { Expr::Or(a, b) }, Type::Bool))
            }
            Operator::In => {
                let (a, kind) = self.walk(left)?;
                let Kind::List(items) = &right.kind else {
                    return Err(ExprError::at(right.at, "a list such as [\"a\", \"b\"] belongs after in"));
                };
                let mut list = Vec::new();
                for item in items {
                    let (expr, other) = self.walk(item)?;
                    comparable(item.at, kind, other, Operator::Equal)?;
                    list.push(expr);
                }
                Ok((Expr::In(Box::new(a), list), Type::Bool))
            }
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide => {
                let ((a, left), (b, right)) = (self.walk(left)?, self.walk(right)?);
                let result = calculated(operator, left, right).ok_or_else(|| {
                    let (a, b) = (left.word(), right.word());
                    ExprError::at(at, format!("{a} {} {b} has no meaning", operator.symbol()))
                })?;
                Ok((Expr::Calculate(operator, Box::new(a), Box::new(b)), result))
            }
            _ => {
                let ((a, left), (b, right)) = (self.walk(left)?, self.walk(right)?);
                comparable(at, left, right, operator)?;
                Ok((Expr::Compare(operator, Box::new(a), Box::new(b)), Type::Bool))
            }
        }
    }

    fn call(&self, at: usize, name: &str, arguments: &[Node]) -> Typed {
        let text = |position: usize| match arguments.get(position).map(|it| &it.kind) {
            Some(Kind::Text(text)) => Ok(text.as_str()),
            _ => Err(ExprError::at(at, usage(name))),
        };
        let exactly = |count: usize| match arguments.len() == count {
            true => Ok(()),
            false => Err(ExprError::at(at, usage(name))),
        };
        let channel = |word: &str| {
            Channel::parse(word).ok_or_else(|| {
                ExprError::at(at, format!("no channel {word:?}: use email, sms, push, webhook or on_site"))
            })
        };
        Ok(match name {
            "consent" => {
                exactly(2)?;
                let purpose = Purpose::parse(text(1)?)
                    .ok_or_else(|| ExprError::at(at, "no such purpose: use marketing or transactional"))?;
                (Expr::Consent(channel(text(0)?)?, purpose), Type::Bool)
            }
            "reachable" => {
                exactly(1)?;
                (Expr::Reachable(channel(text(0)?)?), Type::Bool)
            }
            "in_segment" => {
                exactly(1)?;
                (Expr::Segment(text(0)?.to_owned()), Type::Bool)
            }
            "did" => {
                exactly(2)?;
                let window = duration::parse(text(1)?).map_err(|it| ExprError::at(at, it))?;
                (Expr::Did(text(0)?.to_owned(), window), Type::Bool)
            }
            "has" => {
                exactly(1)?;
                let (expr, _) = self.walk(&arguments[0])?;
                if !matches!(expr, Expr::It(_) | Expr::Trait(_)) {
                    return Err(ExprError::at(at, usage(name)));
                }
                (Expr::Compare(Operator::Unequal, Box::new(expr), Box::new(Expr::Null)), Type::Bool)
            }
            "money" => {
                exactly(1)?;
                let minor =
                    self.currency.minor_units(text(0)?).map_err(|it| ExprError::at(at, it.to_string()))?;
                #[expect(clippy::cast_precision_loss, reason = "amounts in a rule are far below 2^53")]
                let minor = minor as f64;
                (Expr::Number(minor), Type::Money)
            }
            other => {
                return Err(ExprError::at(
                    at,
                    format!("no function {other}: use consent, reachable, in_segment, did, has or money"),
                ));
            }
        })
    }
}

fn usage(name: &str) -> String {
    match name {
        "consent" => "write consent(\"email\", \"marketing\")",
        "reachable" => "write reachable(\"email\")",
        "in_segment" => "write in_segment(\"name\")",
        "did" => "write did(\"Event Name\", \"7d\")",
        "has" => "write has(traits.name) or has(it.name)",
        _ => "write money(\"8.00\")",
    }
    .to_owned()
}

fn name_of(at: usize, name: &str) -> Typed {
    if let Some(property) = name.strip_prefix("it.").filter(|it| !it.is_empty()) {
        let kind = if property == "cart_value" { Type::Money } else { Type::Any };
        return Ok((Expr::It(property.to_owned()), kind));
    }
    if let Some(it) = name.strip_prefix("traits.").filter(|it| !it.is_empty()) {
        return Ok((Expr::Trait(it.to_owned()), Type::Any));
    }
    if let Some((_, field, kind)) = FIELDS.iter().find(|(known, ..)| *known == name) {
        return Ok((Expr::Field(*field), *kind));
    }
    let known: Vec<_> = FIELDS.iter().map(|(name, ..)| *name).collect();
    Err(ExprError::at(
        at,
        format!("no name {name}: use {}, traits.<name> or it.<event property>", known.join(", ")),
    ))
}

fn comparable(at: usize, left: Type, right: Type, operator: Operator) -> Result<(), ExprError> {
    let equality = matches!(operator, Operator::Equal | Operator::Unequal);
    let fits = left == right || left == Type::Any || right == Type::Any;
    if fits && (equality || (left != Type::Bool && right != Type::Bool)) {
        return Ok(());
    }
    let hint = match (left, right) {
        (Type::Money, Type::Number) | (Type::Number, Type::Money) => ": write amounts as money(\"8.00\")",
        _ => ": compare things of one kind",
    };
    Err(ExprError::at(
        at,
        format!("{} {} {} cannot be compared{hint}", left.word(), operator.symbol(), right.word()),
    ))
}

fn calculated(operator: Operator, left: Type, right: Type) -> Option<Type> {
    let plain = |it: Type| matches!(it, Type::Number | Type::Any);
    match (operator, left, right) {
        (Operator::Add | Operator::Subtract, Type::Money, Type::Money) => Some(Type::Money),
        (Operator::Multiply, Type::Money, it) | (Operator::Multiply, it, Type::Money) if plain(it) => {
            Some(Type::Money)
        }
        (Operator::Divide, Type::Money, Type::Money) => Some(Type::Number),
        (Operator::Divide, Type::Money, it) if plain(it) => Some(Type::Money),
        (_, a, b) if plain(a) && plain(b) => Some(Type::Number),
        _ => None,
    }
}

impl Field {
    /// Its name in expressions, and whether it is money.
    pub fn name(self) -> (&'static str, bool) {
        let found = FIELDS.iter().find(|(_, field, _)| *field == self);
        found.map_or(("", false), |(name, _, kind)| (*name, *kind == Type::Money))
    }
}

impl Expr {
    /// What it asks of the profile, each once.
    pub fn fields(&self, found: &mut Vec<Field>) {
        match self {
            Self::Field(field) if !found.contains(field) => found.push(*field),
            Self::Not(a) | Self::Negate(a) => a.fields(found),
            Self::And(a, b) | Self::Or(a, b) | Self::Compare(_, a, b) | Self::Calculate(_, a, b) => {
                a.fields(found);
                b.fields(found);
            }
            Self::In(a, list) => {
                a.fields(found);
                list.iter().for_each(|it| it.fields(found));
            }
            _ => {}
        }
    }

    /// The events it asks about with `did`.
    pub fn events(&self, found: &mut std::collections::BTreeSet<String>) {
        match self {
            Self::Did(event, _) => {
                found.insert(event.clone());
            }
            Self::Not(a) | Self::Negate(a) => a.events(found),
            Self::And(a, b) | Self::Or(a, b) | Self::Compare(_, a, b) | Self::Calculate(_, a, b) => {
                a.events(found);
                b.events(found);
            }
            Self::In(a, list) => {
                a.events(found);
                list.iter().for_each(|it| it.events(found));
            }
            _ => {}
        }
    }
}
