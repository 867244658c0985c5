//! The definitions in force in one workspace, indexed by what can change their answers.

use perennial_types::{Channel, Currency};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::rule::{Aggregate, Expr, Measure, SeriesKey};
use super::stage::Stage;

/// How many segments may ask for one another in a row.
const MAX_CHAIN: usize = 16;

/// A segment in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its number in states: never reused, so that a new segment of an old name starts empty.
    pub number: u32,
    /// Its bare name.
    pub name: String,
    /// Its rule, checked.
    pub expr: Expr,
    /// The version of the rule.
    pub version: u64,
    /// The workspace's revision since which this version is in force.
    pub revision: u64,
}

/// What can change an answer besides time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// An event of this name.
    Event(String),
    /// Anything about an order.
    Orders,
    /// A trait.
    Trait(String),
    /// A consent on this channel.
    Consent(Channel),
    /// Addresses and identity.
    Profile,
    /// Scores.
    Score,
}

/// What a need concerns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Affected {
    /// Segments, by place.
    pub segments: Vec<usize>,
    /// The stage.
    pub stage: bool,
}

/// Entries that must be kept for a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Their key.
    pub key: SeriesKey,
    /// Only events for which this holds.
    pub filter: Option<Expr>,
    /// The property that is summed, if any.
    pub property: Option<String>,
    /// The longest window over them, in microseconds.
    pub horizon: i64,
}

/// All rules of one workspace.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The segments; each stands behind those it asks for.
    pub segments: Vec<Segment>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// The workspace's currency.
    pub currency: Currency,
    /// Changes with every edit; at least 1.
    pub revision: u64,
    by_name: HashMap<String, usize>,
    by_number: HashMap<u32, usize>,
    affected: HashMap<Need, Affected>,
    /// Series of events and of orders, by the event's name.
    pub events: HashMap<String, Vec<Series>>,
    /// Series of orders, by the event's name.
    pub orders: HashMap<String, Vec<Series>>,
    /// The longest window over orders, in microseconds.
    pub order_horizon: i64,
}

/// Segments that cannot be in force together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesFault {
    /// They ask for one another in a circle.
    #[error("{0} ask for one another in a circle: take one in_segment(…) out")]
    Circle(String),
    /// One asks for a segment that does not exist.
    #[error("segment {segment:?} asks for {missing:?}, which does not exist: create it first")]
    Missing {
        /// The segment that asks.
        segment: String,
        /// What it asks for.
        missing: String,
    },
    /// Too many in a row.
    #[error("{0:?} asks for segments more than {MAX_CHAIN} in a row: shorten the chain")]
    TooDeep(String),
}

/// The segments a rule asks for.
pub fn references(expr: &Expr) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    expr.walk(&mut |part| {
        if let Expr::InSegment(name) = part {
            names.insert(name.as_str());
        }
    });
    names
}

impl Rules {
    /// Puts definitions in force.
    ///
    /// # Errors
    /// They ask for one another in a circle, for missing ones, or too many in a row.
    pub fn new(
        currency: Currency,
        stages: Vec<Stage>,
        segments: Vec<Segment>,
        revision: u64,
    ) -> Result<Self, RulesFault> {
        let segments = in_order(segments)?;
        let by_name = segments.iter().enumerate().map(|(at, it)| (it.name.clone(), at)).collect();
        let by_number = segments.iter().enumerate().map(|(at, it)| (it.number, at)).collect();
        let mut rules = Self {
            segments,
            stages,
            currency,
            revision: revision.max(1),
            by_name,
            by_number,
            affected: HashMap::new(),
            events: HashMap::new(),
            orders: HashMap::new(),
            order_horizon: 0,
        };
        rules.index();
        Ok(rules)
    }

    fn index(&mut self) {
        let stage_needs: BTreeSet<Need> = self.stages.iter().flat_map(|it| needs(&it.expr)).collect();
        let mut all: Vec<BTreeSet<Need>> = Vec::new();
        for segment in &self.segments {
            let mut of_segment = needs(&segment.expr);
            let mut asks_stage = false;
            segment.expr.walk(&mut |it| asks_stage |= matches!(it, Expr::Stage));
            if asks_stage {
                of_segment.extend(stage_needs.iter().cloned());
            }
            for name in references(&segment.expr) {
                if let Some(asked) = self.by_name.get(name).and_then(|at| all.get(*at)) {
                    of_segment.extend(asked.iter().cloned());
                }
            }
            all.push(of_segment);
        }
        for (at, of_segment) in all.into_iter().enumerate() {
            for need in of_segment {
                self.affected.entry(need).or_default().segments.push(at);
            }
        }
        for need in stage_needs {
            self.affected.entry(need).or_default().stage = true;
        }
        let exprs = self.segments.iter().map(|it| &it.expr).chain(self.stages.iter().map(|it| &it.expr));
        let mut found: BTreeMap<(bool, &str, SeriesKey), Series> = BTreeMap::new();
        for expr in exprs {
            expr.walk(&mut |part| {
                let Some(aggregate) = part.aggregate() else { return };
                let key = (aggregate.of_orders(), aggregate.event.as_str(), aggregate.series);
                let series = found.entry(key).or_insert_with(|| series(aggregate));
                series.horizon = series.horizon.max(aggregate.window);
            });
        }
        let (mut events, mut orders): (HashMap<String, Vec<Series>>, HashMap<String, Vec<Series>>) =
            Default::default();
        for ((of_orders, event, _), series) in found {
            if of_orders {
                self.order_horizon = self.order_horizon.max(series.horizon);
            }
            let map = if of_orders { &mut orders } else { &mut events };
            map.entry(event.to_owned()).or_default().push(series);
        }
        self.events = events;
        self.orders = orders;
    }

    /// What a change of this kind concerns.
    pub fn affected(&self, need: &Need) -> Option<&Affected> {
        self.affected.get(need)
    }

    /// A segment's place by its bare name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A segment by its number.
    pub fn numbered(&self, number: u32) -> Option<&Segment> {
        self.by_number.get(&number).map(|at| &self.segments[*at])
    }

    /// Whether these rules need entries of events that `before` did not keep, or not for as long. `seen` says whether an
    /// event of a name ever came: of one that never did there is nothing to keep.
    pub fn lacks(&self, before: &Self, seen: impl Fn(&str) -> bool) -> bool {
        let kept = |known: &HashMap<String, Vec<Series>>, event: &str, series: &Series| {
            let known = known.get(event).into_iter().flatten();
            known.into_iter().any(|it| it.key == series.key && it.horizon >= series.horizon)
        };
        let lacking = |own: &HashMap<String, Vec<Series>>, known: &HashMap<String, Vec<Series>>| {
            own.iter().any(|(event, all)| seen(event) && all.iter().any(|it| !kept(known, event, it)))
        };
        lacking(&self.events, &before.events)
            || lacking(&self.orders, &before.orders)
            || (!self.orders.is_empty()
                && self.order_horizon > before.order_horizon
                && seen("Order Completed"))
    }

    /// The keys of all series, of events and of orders.
    pub fn series(&self) -> BTreeSet<SeriesKey> {
        self.events.values().chain(self.orders.values()).flatten().map(|it| it.key).collect()
    }
}

fn series(aggregate: &Aggregate) -> Series {
    let property = match &aggregate.measure {
        Measure::Property(name) => Some(name.clone()),
        _ => None,
    };
    Series { key: aggregate.series, filter: aggregate.filter.clone(), property, horizon: 0 }
}

fn needs(expr: &Expr) -> BTreeSet<Need> {
    let mut needs = BTreeSet::new();
    expr.walk(&mut |part| {
        let need = match part {
            Expr::Trait(name) | Expr::HasTrait(name) => Need::Trait(name.clone()),
            Expr::Consent(channel, _) => Need::Consent(*channel),
            Expr::Reachable(_) | Expr::Identified => Need::Profile,
            Expr::Score(_) | Expr::LastOrder | Expr::Overdue | Expr::Lapsed | Expr::Reactivated => {
                Need::Score
            }
            Expr::Count(it) | Expr::Did(it) | Expr::Sum(it) if it.of_orders() => Need::Orders,
            Expr::Count(it) | Expr::Did(it) | Expr::Sum(it) => Need::Event(it.event.clone()),
            _ => return,
        };
        needs.insert(need);
    });
    needs
}

/// Sorts segments so that each stands behind those it asks for; by number where that leaves a choice.
fn in_order(mut segments: Vec<Segment>) -> Result<Vec<Segment>, RulesFault> {
    segments.sort_by_key(|it| it.number);
    let names: BTreeSet<String> = segments.iter().map(|it| it.name.clone()).collect();
    for segment in &segments {
        if let Some(missing) = references(&segment.expr).into_iter().find(|it| !names.contains(*it)) {
            return Err(RulesFault::Missing { segment: segment.name.clone(), missing: missing.to_owned() });
        }
    }
    let mut depth: HashMap<String, usize> = HashMap::new();
    let mut sorted: Vec<Segment> = Vec::with_capacity(segments.len());
    while !segments.is_empty() {
        let before = segments.len();
        let mut waiting = Vec::new();
        for segment in segments {
            let asked = references(&segment.expr).into_iter().map(|it| depth.get(it).copied());
            match asked.collect::<Option<Vec<_>>>() {
                Some(depths) => {
                    let own = depths.into_iter().max().unwrap_or(0) + 1;
                    if own > MAX_CHAIN {
                        return Err(RulesFault::TooDeep(segment.name));
                    }
                    depth.insert(segment.name.clone(), own);
                    sorted.push(segment);
                }
                None => waiting.push(segment),
            }
        }
        if waiting.len() == before {
            let names: Vec<_> = waiting.into_iter().map(|it| it.name).collect();
            return Err(RulesFault::Circle(names.join(", ")));
        }
        segments = waiting;
    }
    Ok(sorted)
}
