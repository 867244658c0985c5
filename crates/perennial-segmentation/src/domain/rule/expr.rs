//! The typed form of a rule: what is evaluated. Made by [`super::check()`] only, so that every part has its right type.

use perennial_types::{Channel, Purpose, Scalar};

/// A checked part of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A constant.
    Bool(bool),
    /// A constant.
    Number(f64),
    /// A constant, minor units of the workspace's currency.
    Money(i64),
    /// A constant.
    Text(String),
    /// A constant instant, in microseconds.
    Instant(i64),
    /// `now − micros`: stands only as one side of a comparison.
    Ago(i64),
    /// All hold.
    All(Vec<Expr>),
    /// One holds.
    Any(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// A comparison; with something unknown on either side it is false, and `!=` true.
    Compare(Comparison, Box<(Expr, Expr)>),
    /// Numbers with numbers, money with money, money with a factor.
    Compute(Arithmetic, Box<(Expr, Expr)>),
    /// Equals one of these constants.
    OneOf(Box<Expr>, Vec<Expr>),
    /// A test of text.
    Matches(TextTest, Box<Expr>, String),
    /// A trait, by its dotted name.
    Trait(String),
    /// Whether a trait is set.
    HasTrait(String),
    /// A property of the event a filter looks at.
    Property(String),
    /// Whether that event has the property.
    HasProperty(String),
    /// Consent given.
    Consent(Channel, Purpose),
    /// An address is known.
    Reachable(Channel),
    /// A user id, e-mail or phone is known.
    Identified,
    /// The lifecycle stage.
    Stage,
    /// A number or amount that scoring keeps.
    Score(ScoreField),
    /// The latest order's instant.
    LastOrder,
    /// Past the overdue instant.
    Overdue,
    /// Past the lapse instant.
    Lapsed,
    /// The latest order came after the lapse instant.
    Reactivated,
    /// How often, within a window.
    Count(Box<Aggregate>),
    /// At least once within a window.
    Did(Box<Aggregate>),
    /// A sum over a window.
    Sum(Box<Aggregate>),
    /// Whether the profile is in another segment.
    InSegment(String),
}

/// What scoring keeps of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreField {
    /// Orders not wholly cancelled or refunded.
    Orders,
    /// Revenue after refunds.
    Revenue,
    /// Profit to date.
    Profit,
    /// Probability of being alive.
    PAlive,
    /// Share of the population at or below.
    Percentile,
    /// Expected profit of the next 90 days.
    ExpectedProfit90d,
    /// Expected profit of the next 12 months, discounted.
    ExpectedProfit12m,
    /// Recency score, 1–5.
    Recency,
    /// Frequency score, 1–5.
    Frequency,
    /// Monetary score, 1–5.
    Monetary,
}

/// `==`, `<`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// `+`, `-`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; by zero it is unknown.
    Divide,
}

/// Tests of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTest {
    /// `startsWith`
    StartsWith,
    /// `endsWith`
    EndsWith,
    /// `contains`
    Contains,
}

/// Names the entries that answer an aggregate: a hash of event, filter and summed property, the same in every process.
pub type SeriesKey = u64;

/// What is counted or summed.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The event's name.
    pub event: String,
    /// Only events for which this holds.
    pub filter: Option<Expr>,
    /// What each adds.
    pub measure: Measure,
    /// How far back, in microseconds: an event at `a` counts at every `t < a + window`.
    pub window: i64,
    /// The entries that answer it.
    pub series: SeriesKey,
}

/// What each event adds.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// One.
    Event,
    /// A numeric property.
    Property(String),
    /// One for each order, by its id, unless it was wholly cancelled or refunded.
    Order,
    /// What remains of each order after refunds, in minor units.
    OrderMoney(OrderMoney),
}

/// Amounts of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderMoney {
    /// Net revenue.
    Revenue,
    /// Net profit.
    Profit,
    /// Discounts given.
    Discount,
}

impl Aggregate {
    /// What `measure` of `event` adds up over `window` (microseconds), where `filter` holds.
    pub fn new(event: String, filter: Option<Expr>, measure: Measure, window: i64) -> Self {
        let property = match &measure {
            Measure::Property(name) => name.as_str(),
            _ => "",
        };
        let series = fnv(&format!("{event}\u{0}{filter:?}\u{0}{property}"));
        Self { event, filter, measure, window, series }
    }

    /// Whether entries are orders rather than events.
    pub fn of_orders(&self) -> bool {
        matches!(self.measure, Measure::Order | Measure::OrderMoney(_))
    }
}

/// FNV-1a: stable across processes and releases, unlike the standard library's hash.
pub fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The answer to a part of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Not known.
    Unknown,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Minor units of the workspace's currency.
    Money(i64),
    /// Text.
    Text(&'a str),
    /// An instant in microseconds.
    Instant(i64),
    /// A trait or property: what it is shows when it is compared.
    Scalar(&'a Scalar),
}

impl Expr {
    /// Walks this part and all parts in it, filters of aggregates excepted.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|it| it.walk(visit)),
            Self::Not(part) | Self::OneOf(part, _) | Self::Matches(_, part, _) => part.walk(visit),
            Self::Compare(_, sides) | Self::Compute(_, sides) => {
                sides.0.walk(visit);
                sides.1.walk(visit);
            }
            _ => {}
        }
    }

    /// The aggregate this part asks for, if it is one.
    pub fn aggregate(&self) -> Option<&Aggregate> {
        match self {
            Self::Count(it) | Self::Did(it) | Self::Sum(it) => Some(it),
            _ => None,
        }
    }
}
