//! Scores of one customer at an instant, by the model in force, or by counted facts while there is none.

use perennial_clv::{Given, Interval, Model, Summary, Valuation, Value, continuous_rate};
use perennial_types::{Timestamp, from_micros, micros};

use super::calendar::Calendar;
use super::customer::{Customer, Figures, PurchaseDay};
use super::edges::Rfm;
use super::ledger::{DAYS_PER_WEEK, Days, earned, spend};
use super::lens::{Lens, PLAIN};
use super::model::{Fitted, InForce, Population};
use super::portrait::{Seen, Traits};

/// Weeks of a year.
pub const YEAR: f64 = 365.25 / DAYS_PER_WEEK;
/// Days of a year.
const YEAR_DAYS: f64 = 365.25;
/// What stands for "without end" where an interval needs an end, in years.
const LONG: f64 = 75.0;
const DAY_MICROS: f64 = 86_400e6;

/// What the business decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// A customer is overdue after this much silence at the latest, days.
    pub max_overdue_days: f64,
    /// A customer has lapsed after this much silence at the latest, days.
    pub max_silence_days: f64,
    /// A customer is overdue when the next order should have come with this probability.
    pub overdue_quantile: f64,
    /// A customer has lapsed when P(alive) falls below this.
    pub lapse_below: f64,
    /// Discount a year: 0.10 for ten percent.
    pub yearly_discount: f64,
    /// How many purchases of the population's mean value and margin a customer's own margin is mixed with.
    pub margin_prior_purchases: f64,
}

/// Which rule fixed the overdue instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The quantile of the next interval, by the model.
    Rhythm,
    /// The population's time to the second order.
    SecondOrder,
    /// The maximum.
    Maximum,
}

/// Instants that are known at the last order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instants {
    /// Overdue from here on.
    pub overdue: Timestamp,
    /// Why then.
    pub cause: Cause,
    /// Lapsed from here on.
    pub lapse: Timestamp,
}

/// What goes into the feed with every change.
#[derive(Clone, Debug, PartialEq)]
pub struct Brief {
    /// P(alive); 0 without a model or an order.
    pub p_alive: f64,
    /// Expected orders in 90 days.
    pub orders_90d: f64,
    /// Expected profit in 90 days, minor units.
    pub profit_90d: i64,
    /// Predicted CLV over 12 months with its 80 % interval, minor units; none without a model.
    pub clv: Option<(i64, i64, i64)>,
    /// Its percentile.
    pub percentile: f64,
    /// Its tenth, 1 to 10; none without edges.
    pub decile: Option<u8>,
    /// Known with an order.
    pub instants: Option<Instants>,
    /// Known once edges are published.
    pub rfm: Option<Rfm>,
}

/// Expected discounted profit within a horizon, minor units.
#[derive(Clone, Debug, PartialEq)]
pub struct Worth {
    /// Months ahead; none for no end.
    pub months: Option<i32>,
    /// The expectation.
    pub expected: i64,
    /// Expected orders.
    pub orders: f64,
    /// Predictive intervals: level, low, high.
    pub intervals: Vec<(f64, i64, i64)>,
}

/// When the next order comes if the customer is alive.
#[derive(Clone, Debug, PartialEq)]
pub struct NextOrder {
    /// The 0.1, 0.5 and 0.9 quantiles; none where fewer ever come.
    pub at: [Option<Timestamp>; 3],
    /// The probability that none comes.
    pub never: f64,
}

/// Judges customers by the model in force.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// What the business decided.
    pub rules: &'a Rules,
    /// Its days.
    pub calendar: &'a Calendar,
    /// The model; none while nothing is published.
    pub force: Option<&'a InForce>,
}

impl Judge<'_> {
    fn fitted(&self) -> Option<&Fitted> {
        self.force?.finding.fitted.as_ref()
    }

    /// How the model is looked through.
    #[must_use]
    pub fn lens(&self) -> &Lens {
        self.force.map_or(&PLAIN, |it| it.finding.lens())
    }

    /// The model of one customer.
    #[must_use]
    pub fn model(&self, fitted: &Fitted, traits: Option<&Traits>) -> Model {
        self.lens().model(&fitted.orders.model, traits.map(Traits::seen).as_ref())
    }

    fn population(&self) -> Population {
        self.force.map_or_else(Population::default, |it| it.finding.population)
    }

    /// When a customer with these purchases, the last at `last`, becomes overdue and lapses.
    #[must_use]
    pub fn instants(
        &self,
        days: &[PurchaseDay],
        traits: Option<&Traits>,
        last: Timestamp,
    ) -> Option<Instants> {
        let (lens, day) = (self.lens(), days.last()?.day);
        let it = lens.summary(days, day)?;
        let rules = self.rules;
        let (mut overdue, mut cause) = (rules.max_overdue_days, Cause::Maximum);
        let mut lapse = rules.max_silence_days;
        if it.x() == 0
            && let Some(second) = self.population().second_purchase_days.filter(|it| *it < overdue)
        {
            (overdue, cause) = (second, Cause::SecondOrder);
        }
        if let Some(fitted) = self.fitted() {
            let model = self.model(fitted, traits);
            // An instant is sought only where it comes before the one that holds anyway: most do not.
            let by_then = model.order_within(&it, lens.weeks(day, overdue), Given::Alive);
            if by_then >= rules.overdue_quantile {
                let rhythm = model.next_order_quantile(&it, rules.overdue_quantile, Given::Alive);
                if let Some(days) = rhythm.map(|it| lens.days(day, it)).filter(|it| *it < overdue) {
                    (overdue, cause) = (days, Cause::Rhythm);
                }
            }
            let silent = it.at_age(it.t_x() + lens.weeks(day, lapse));
            if silent.is_none_or(|it| model.p_alive(&it) <= rules.lapse_below)
                && let Some(weeks) = model.lapse_after(&it, rules.lapse_below)
            {
                lapse = lapse.min(lens.days(day, weeks));
            }
        }
        Some(Instants { overdue: later(last, overdue), cause, lapse: later(last, lapse) })
    }

    /// Whether the latest order came after the lapse instant that the orders before it had fixed.
    #[must_use]
    pub fn reactivated(&self, customer: &Customer) -> bool {
        let instants = customer.instants();
        let [before @ .., last] = instants.as_slice() else { return false };
        let Some(previous) = before.last() else { return false };
        let mut days: Vec<PurchaseDay> = Vec::new();
        for at in before {
            let day = self.calendar.day(*at);
            if days.last().is_none_or(|it| it.day != day) {
                days.push(PurchaseDay { day, orders: 1, revenue: 0, profit: 0 });
            }
        }
        self.instants(&days, customer.traits(), *previous).is_some_and(|it| it.lapse <= *last)
    }

    /// The customer as the model reads it at an instant; never before the last purchase.
    #[must_use]
    pub fn history(&self, days: &[PurchaseDay], at: Timestamp) -> Option<(Summary, i32)> {
        let day = self.calendar.day(at).max(days.last()?.day);
        Some((self.lens().summary(days, day)?, day))
    }

    /// Profit per revenue for predictions: the customer's own, shrunk to the population's.
    #[must_use]
    pub fn margin(&self, days: &[PurchaseDay], day: i32) -> f64 {
        let (profit, revenue) = earned(days, day);
        let population = self.population();
        let prior = self.rules.margin_prior_purchases * population.mean_value.max(0.0);
        let revenue = revenue as f64;
        if revenue <= 0.0 && prior <= 0.0 {
            return population.margin;
        }
        (profit as f64 + prior * population.margin) / (revenue.max(0.0) + prior)
    }

    /// By how much more often this customer orders than the model expects, as the trees over it say.
    #[must_use]
    pub fn factor(&self, days: &[PurchaseDay], day: i32) -> f64 {
        let trees = self.force.and_then(|it| it.finding.boosted.as_ref());
        trees.and_then(|it| it.factor(&Days(days), day)).unwrap_or(1.0)
    }

    fn valuation(&self, fitted: &Fitted, traits: Option<&Traits>, weeks: f64) -> Option<Valuation> {
        let rate = continuous_rate(self.rules.yearly_discount, YEAR);
        let it = Valuation::new(self.model(fitted, traits), fitted.spend.model, weeks, rate).ok()?;
        let uncertain = self.force.and_then(|it| it.uncertain.as_ref());
        let Some(uncertain) = uncertain else { return Some(it) };
        Some(it.with_uncertainty(self.lens().model(uncertain, traits.map(Traits::seen).as_ref())))
    }

    /// Expected discounted profit of 12 months in minor units, without an interval: for edges.
    #[must_use]
    pub fn clv(&self, days: &[PurchaseDay], seen: Option<&Seen<'_>>, day: i32) -> Option<i64> {
        let (fitted, lens) = (self.fitted()?, self.lens());
        let it = lens.summary(days, day)?;
        let minor = self.force?.finding.minor_per_major();
        let rate = continuous_rate(self.rules.yearly_discount, YEAR);
        let model = lens.model(&fitted.orders.model, seen);
        let orders = model.discounted(&it, lens.weeks(day, YEAR_DAYS), rate);
        let value = fitted.spend.model.expected(&spend(days, day, minor));
        Some(to_minor(orders * self.factor(days, day) * value * self.margin(days, day), minor))
    }

    /// What the feed carries.
    #[must_use]
    pub fn brief(&self, figures: &Figures, at: Timestamp) -> Brief {
        let mut brief = Brief {
            p_alive: 0.0,
            orders_90d: 0.0,
            profit_90d: 0,
            clv: None,
            percentile: 0.0,
            decile: None,
            instants: figures
                .last
                .and_then(|last| self.instants(&figures.days, figures.traits.as_ref(), last)),
            rfm: self.rfm(figures),
        };
        let (Some(fitted), Some((it, day)), Some(force)) =
            (self.fitted(), self.history(&figures.days, at), self.force)
        else {
            return brief;
        };
        let (lens, traits) = (self.lens(), figures.traits.as_ref());
        let Some(year) = self.valuation(fitted, traits, lens.weeks(day, YEAR_DAYS)) else { return brief };
        let factor = self.factor(&figures.days, day);
        let minor = force.finding.minor_per_major();
        let spent = spend(&figures.days, day, minor);
        let margin = self.margin(&figures.days, day);
        let value = year.value_raised(&it, &spent, margin, factor);
        let clv = to_minor(value.profit, minor);
        let (low, high) = interval(&value, 0.8).map_or((clv, clv), |it| ends(it, minor));
        brief.p_alive = value.p_alive;
        brief.orders_90d = factor * year.orders.expected(&it, lens.weeks(day, 90.0));
        brief.profit_90d = to_minor(brief.orders_90d * value.spend * margin, minor);
        brief.clv = Some((clv, low, high));
        brief.percentile = force.edges.percentile(clv).unwrap_or(0.0);
        brief.decile = force.edges.decile(clv);
        brief
    }

    /// The RFM scores against the edges in force.
    #[must_use]
    pub fn rfm(&self, figures: &Figures) -> Option<Rfm> {
        let orders = i64::from(figures.orders);
        let mean = figures.revenue.checked_div_euclid(orders)?;
        self.force?.edges.rfm(micros(figures.last?), orders, mean)
    }

    /// CLV over 12, 24 and 36 months and without end.
    #[must_use]
    pub fn values(&self, figures: &Figures, at: Timestamp) -> Vec<Worth> {
        let (Some(fitted), Some((it, day)), Some(force)) =
            (self.fitted(), self.history(&figures.days, at), self.force)
        else {
            return Vec::new();
        };
        let minor = force.finding.minor_per_major();
        let spent = spend(&figures.days, day, minor);
        let margin = self.margin(&figures.days, day);
        // Without discount an endless future has no finite value.
        let has_end = self.rules.yearly_discount <= 0.0;
        let horizons = [(Some(12), 1.0), (Some(24), 2.0), (Some(36), 3.0), (None, LONG)];
        let (lens, traits) = (self.lens(), figures.traits.as_ref());
        let factor = self.factor(&figures.days, day);
        let mut values = Vec::new();
        for (months, years) in horizons.into_iter().filter(|it| it.0.is_some() || !has_end) {
            let Some(valuation) = self.valuation(fitted, traits, lens.weeks(day, years * YEAR_DAYS)) else {
                continue;
            };
            let value = valuation.value_raised(&it, &spent, margin, factor);
            let endless = || factor * valuation.orders.discounted(&it, f64::INFINITY, valuation.rate);
            let profit = if months.is_some() { value.profit } else { endless() * value.spend * margin };
            let intervals = value.intervals.iter().map(|it| {
                let (low, high) = ends(it, minor);
                (it.level, low, high)
            });
            let intervals = intervals.collect();
            values.push(Worth { months, expected: to_minor(profit, minor), orders: value.orders, intervals });
        }
        values
    }

    /// When the next order is to be expected.
    #[must_use]
    pub fn next_order(&self, figures: &Figures, at: Timestamp) -> Option<NextOrder> {
        let model = self.model(self.fitted()?, figures.traits.as_ref());
        let (it, day) = self.history(&figures.days, at)?;
        let from = figures.last?.max(at);
        let quantile = |q: f64| {
            let weeks = model.next_order_quantile(&it, q, Given::Alive)?;
            Some(later(from, self.lens().days(day, weeks)))
        };
        let never = model.never_orders(&it, Given::History);
        Some(NextOrder { at: [quantile(0.1), quantile(0.5), quantile(0.9)], never })
    }
}

fn interval(value: &Value, level: f64) -> Option<&Interval> {
    value.intervals.iter().find(|it| (it.level - level).abs() < 1e-9)
}

fn ends(it: &Interval, minor: f64) -> (i64, i64) {
    (to_minor(it.low, minor), to_minor(it.high, minor))
}

fn to_minor(value: f64, minor: f64) -> i64 {
    (value * minor).round() as i64
}

/// An instant some days later, to the microsecond.
fn later(from: Timestamp, days: f64) -> Timestamp {
    from_micros(micros(from).saturating_add((days * DAY_MICROS).round() as i64))
}
