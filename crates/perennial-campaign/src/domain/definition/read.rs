//! From the YAML file to a [`Campaign`]: every field checked, every error with line, field, reason and remedy.

use perennial_types::{Currency, Purpose};

use super::steps::Compiler;
use super::yaml::{Fields, Kind, Node, scalar};
use super::{Campaign, DefinitionError, Goal, InstanceKey, Message, Op, Priority, Reenter, Trigger, yaml};
use crate::domain::duration::{self, DAY, HOUR};
use crate::domain::expr::{self, Expr};

const FIELDS: &[&str] = &[
    "kind",
    "name",
    "description",
    "trigger",
    "entry",
    "instance",
    "reenter",
    "retrigger",
    "goal",
    "attribution",
    "holdout",
    "priority",
    "purpose",
    "budget",
    "grace",
    "late",
    "steps",
];

type Result<T> = std::result::Result<T, DefinitionError>;

/// Reads a campaign's file. Amounts in it (`money("8.00")`) are of `currency`, the workspace's own.
///
/// # Errors
/// The first thing that is wrong, with line, field, reason and remedy.
pub fn read(text: &str, currency: Currency) -> Result<Campaign> {
    let mut file = Fields::of(yaml::read(text)?, "")?;
    file.read("kind", |it| match it {
        "Campaign" => Ok(()),
        _ => Err(format!("{it:?} is not a campaign: write kind: Campaign")),
    })?
    .ok_or_else(|| DefinitionError::new(file.line, "kind", "is missing: write kind: Campaign"))?;
    let name = scalar(&file.need("name", "give it a name such as welcome")?, "name", slug)?;
    let description = file.text("description")?.unwrap_or_default();
    let purpose = file.read("purpose", purpose)?.unwrap_or(Purpose::Marketing);
    let trigger =
        trigger(file.need("trigger", "say what starts it, such as { event: Order Completed }")?, currency)?;
    let entry = condition(&mut file, "entry", currency)?;
    let instance = file.read("instance", instance)?.unwrap_or(InstanceKey::Profile);
    let reenter = file.read("reenter", reenter)?;
    let restart = file
        .read("retrigger", |it| match it {
            "restart" => Ok(true),
            "ignore" => Ok(false),
            _ => Err(format!("{it:?} is not known: use restart or ignore")),
        })?
        .unwrap_or(false);
    let (goal, within) = match file.take("goal") {
        Some(node) => goal(node, currency)?,
        None => (None, None),
    };
    let attribution = file.read("attribution", duration::parse)?;
    let holdout = file.read("holdout", share)?.unwrap_or(0.05);
    let priority = match file.take("priority") {
        Some(node) => priority(node, currency)?,
        None => Priority::Number(0.0),
    };
    let budget = match file.take("budget") {
        Some(node) => Some(budget(node, currency)?),
        None => None,
    };
    let grace = file.read("grace", duration::parse)?.unwrap_or(HOUR);
    let send_late = file.read("late", late)?.unwrap_or(true);
    let steps = file.need("steps", "list what it does, such as - message: { template: welcome }")?;
    file.done(FIELDS)?;
    let program = Compiler::new(currency, purpose, send_late).compile(steps)?;
    let offers = |it: &Op| matches!(it, Op::Message(Message { offer: Some(_), .. }));
    if let Some((_, line)) = budget.filter(|_| !program.iter().any(offers)) {
        let problem = "no step gives anything away: remove it, or add an offer to a step";
        return Err(DefinitionError::new(line, "budget", problem));
    }
    // A key names one occasion, such as one cart: it comes back only if the file says so.
    let reenter = reenter.unwrap_or(match instance {
        InstanceKey::Profile => Reenter::Always,
        InstanceKey::Property(_) => Reenter::Never,
    });
    let window = attribution.or(within).unwrap_or(14 * DAY);
    Ok(Campaign {
        name,
        description,
        trigger,
        entry,
        instance,
        reenter,
        restart,
        goal,
        window,
        holdout,
        priority,
        purpose,
        budget: budget.map(|(minor, _)| minor),
        grace,
        program,
    })
}

/// Takes a condition and type-checks it.
pub fn condition(fields: &mut Fields, name: &str, currency: Currency) -> Result<Option<Expr>> {
    fields.read(name, |it| expr::check(it, currency).map_err(|error| error.to_string()))
}

/// A bare name.
pub fn slug(text: &str) -> std::result::Result<String, String> {
    let fits = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '_';
    if !text.is_empty() && text.len() <= 63 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name: use 1–63 of a–z, 0–9, - and _"))
    }
}

/// Why it is sent.
pub fn purpose(text: &str) -> std::result::Result<Purpose, String> {
    Purpose::parse(text)
        .ok_or_else(|| format!("{text:?} is not a purpose: use marketing, transactional or compliance"))
}

/// Whether a message is sent after a wait that ended too late.
pub fn late(text: &str) -> std::result::Result<bool, String> {
    match text {
        "send" => Ok(true),
        "skip" => Ok(false),
        _ => Err(format!("{text:?} is not known: use send or skip")),
    }
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let refused = || format!("{text:?} is not a share: write a percentage from 0% to 90%, such as 5%");
    let value: f64 = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| refused())? / 100.0,
        None => {
            return Err(refused());
        }
    };
    if (0.0..=0.9).contains(&value) { Ok(value) } else { Err(refused()) }
}

fn instance(text: &str) -> std::result::Result<InstanceKey, String> {
    match text {
        "profile" => Ok(InstanceKey::Profile),
        name if name.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '.'))
            && !name.is_empty() =>
        {
            Ok(InstanceKey::Property(name.to_owned()))
        }
        _ => Err(format!("{text:?} is not known: use profile, or a property of the event such as cart_id")),
    }
}

fn reenter(text: &str) -> std::result::Result<Reenter, String> {
    match text {
        "always" => Ok(Reenter::Always),
        "never" => Ok(Reenter::Never),
        other => match other.strip_prefix("after ") {
            Some(length) => duration::parse(length).map(Reenter::After),
            None => Err(format!("{text:?} is not known: use always, never or after 30d")),
        },
    }
}

fn trigger(node: Node, currency: Currency) -> Result<Trigger> {
    const KNOWN: &[&str] = &["event", "where", "segment", "change", "stage", "overdue", "date", "at", "days"];
    let mut fields = Fields::of(node, "trigger")?;
    let kinds: Vec<_> =
        ["event", "segment", "stage", "overdue", "date"].into_iter().filter(|it| fields.has(it)).collect();
    let [kind] = kinds[..] else {
        let problem = "name exactly one of event, segment, stage, overdue and date";
        return Err(DefinitionError::new(fields.line, "trigger", problem));
    };
    let trigger = match kind {
        "event" => Trigger::Event {
            name: fields.text("event")?.unwrap_or_default(),
            filter: condition(&mut fields, "where", currency)?,
        },
        "segment" => Trigger::Segment {
            name: fields.text("segment")?.unwrap_or_default(),
            entered: fields
                .read("change", |it| match it {
                    "enter" => Ok(true),
                    "leave" => Ok(false),
                    _ => Err(format!("{it:?} is not known: use enter or leave")),
                })?
                .unwrap_or(true),
        },
        "stage" => Trigger::Stage(fields.text("stage")?.unwrap_or_default()),
        "overdue" => {
            fields.read("overdue", |it| match it {
                "true" => Ok(()),
                _ => Err("write overdue: true".to_owned()),
            })?;
            Trigger::Overdue
        }
        _ => Trigger::Date {
            name: fields
                .read("date", |it| match it.strip_prefix("traits.") {
                    Some(name) if !name.is_empty() => Ok(name.to_owned()),
                    _ => Err(format!("{it:?} is no trait: write traits.birthday")),
                })?
                .unwrap_or_default(),
            at: fields
                .read("at", |it| {
                    it.parse().map_err(|_| format!("{it:?} is no local time: write one such as 09:00"))
                })?
                .unwrap_or(jiff::civil::time(9, 0, 0, 0)),
            days: fields
                .read("days", |it| match it.parse::<i32>() {
                    Ok(days) if (-180..=180).contains(&days) => Ok(days),
                    _ => Err(format!("{it:?} is no number of days: use −180 to 180")),
                })?
                .unwrap_or(0),
        },
    };
    fields.done(KNOWN)?;
    Ok(trigger)
}

fn goal(node: Node, currency: Currency) -> Result<(Option<Goal>, Option<i64>)> {
    let mut fields = Fields::of(node, "goal")?;
    let path = fields.path("event");
    let event = scalar(&fields.need("event", "name the event, such as Order Completed")?, &path, |it| {
        Ok(it.to_owned())
    })?;
    let filter = condition(&mut fields, "where", currency)?;
    let within = fields.read("within", duration::parse)?;
    fields.done(&["event", "where", "within"])?;
    Ok((Some(Goal { event, filter }), within))
}

/// What may be given away in a calendar month, minor units, and the line that says so.
fn budget(node: Node, currency: Currency) -> Result<(i64, u64)> {
    let line = node.line;
    let mut fields = Fields::of(node, "budget")?;
    let path = fields.path("incentive");
    let node = fields.need("incentive", "write one such as 2500 EUR per month")?;
    fields.done(&["incentive"])?;
    let minor = scalar(&node, &path, |text| {
        let refused = || format!("{text:?} is no budget: write one such as 2500 {currency} per month");
        let amount = text.trim().strip_suffix("per month").ok_or_else(refused)?;
        let (amount, unit) = amount.trim().rsplit_once(' ').ok_or_else(refused)?;
        if unit != currency.code() {
            return Err(format!("{text:?} is in another currency than the workspace's: use {currency}"));
        }
        match currency.minor_units(amount.trim()) {
            Ok(minor) if minor >= 0 => Ok(minor),
            _ => Err(refused()),
        }
    })?;
    Ok((minor, line))
}

fn priority(node: Node, currency: Currency) -> Result<Priority> {
    const REMEDY: &str = "use a number, or { expected_incremental_profit: { lift: 2% } }";
    if let Kind::Scalar(_) = node.kind {
        return scalar(&node, "priority", |it| match it {
            // Without a prior of its own a campaign is taken to lift expected profit by two per cent, free of charge.
            "expected_incremental_profit" => {
                Ok(Priority::ExpectedIncrementalProfit { lift: 0.02, incentive: 0, contact: 0 })
            }
            _ => match it.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Priority::Number(number)),
                _ => Err(format!("{it:?} is not a priority: {REMEDY}")),
            },
        });
    }
    let mut fields = Fields::of(node, "priority")?;
    let inner = fields.need("expected_incremental_profit", REMEDY)?;
    fields.done(&["expected_incremental_profit"])?;
    let mut fields = Fields::of(inner, "priority.expected_incremental_profit")?;
    let amount = |it: &str| currency.minor_units(it).map_err(|error| error.to_string());
    let lift = fields.read("lift", share)?.unwrap_or(0.02);
    let incentive = fields.read("incentive", amount)?.unwrap_or(0);
    let contact = fields.read("contact", amount)?.unwrap_or(0);
    fields.done(&["lift", "incentive", "contact"])?;
    Ok(Priority::ExpectedIncrementalProfit { lift, incentive, contact })
}
