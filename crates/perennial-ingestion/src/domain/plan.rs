//! The tracking plan: what events are agreed to look like, as JSON Schemas, and what happens to those that do not.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};

use super::commerce::known;
use super::problem::{Problem, shortened};

/// The longest definition, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// The deepest nesting of a definition.
const MAX_DEPTH: usize = 64;
/// At most this many violations of one event are told.
const TOLD: usize = 8;

/// What a violation comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is counted, and the event taken.
    #[default]
    Observe,
    /// The event is refused, and kept to be mended.
    Enforce,
}

/// What an event that no schema is for comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Allow,
    Observe,
    Enforce,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "kind", default)]
    _kind: String,
    #[serde(rename = "name", default)]
    _name: String,
    #[serde(rename = "description", default)]
    _description: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    unknown_events: Unknown,
    #[serde(default)]
    events: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "description", default)]
    _description: String,
    mode: Option<Mode>,
    schema: Option<Value>,
}

/// Why a definition is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct PlanFault {
    /// The line it stands on, from 1.
    pub line: u64,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// A plan, ready to be asked.
pub struct Plan {
    unknown: Unknown,
    events: HashMap<String, Rule>,
}

struct Rule {
    mode: Mode,
    schema: Option<Validator>,
}

/// What a plan says of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What it is refused for.
    pub refused: Option<Problem>,
    /// What it is taken in spite of.
    pub observed: Vec<Problem>,
}

impl Plan {
    /// Reads a definition.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn parse(text: &str) -> Result<Self, PlanFault> {
        if text.len() > MAX_BYTES {
            let problem = format!("the plan is longer than {MAX_BYTES} bytes: shorten its schemas");
            return Err(PlanFault { line: 1, problem });
        }
        let options = serde_saphyr::options! { budget: serde_saphyr::budget! { max_depth: MAX_DEPTH } };
        let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |it| it.line());
            let problem = error.to_string();
            let problem = problem.lines().next().unwrap_or_default();
            // The place is told already.
            let bare = problem.split_once("column ").and_then(|(_, rest)| rest.split_once(": "));
            PlanFault { line, problem: bare.map_or(problem, |(_, rest)| rest).to_owned() }
        })?;
        let mut events = HashMap::with_capacity(file.events.len());
        for (name, entry) in file.events {
            let line = line_of(text, &name);
            let refused = |problem: String| PlanFault { line, problem: format!("events.{name}: {problem}") };
            let schema = entry.schema.as_ref().map(compiled).transpose().map_err(&refused)?;
            let rule = Rule { mode: entry.mode.unwrap_or(file.mode), schema };
            if events.insert(canonical(&name).to_owned(), rule).is_some() {
                return Err(refused("another entry is about the same event: leave one".to_owned()));
            }
        }
        Ok(Self { unknown: file.unknown_events, events })
    }

    /// How many events it has entries for, and for how many of them a violation refuses.
    pub fn counts(&self) -> (usize, usize) {
        let enforced = self.events.values().filter(|it| it.mode == Mode::Enforce).count();
        (self.events.len(), enforced)
    }

    /// Holds an event against the plan: its name in the words of the specification, whether it is a `track`, and the event
    /// as it was sent.
    pub fn judge(&self, name: &str, is_track: bool, json: &str) -> Verdict {
        let Some(rule) = self.events.get(name) else { return self.of_unknown(is_track) };
        let Some(schema) = &rule.schema else { return Verdict::default() };
        let (field, told) = told(name, is_track, json);
        let found: Vec<Problem> =
            schema.iter_errors(&told).take(TOLD).map(|it| problem(field, &it)).collect();
        match rule.mode {
            Mode::Observe => Verdict { refused: None, observed: found },
            Mode::Enforce => Verdict { refused: found.into_iter().next(), observed: Vec::new() },
        }
    }

    fn of_unknown(&self, is_track: bool) -> Verdict {
        // Calls that are no events of the shop's own naming are known to everybody.
        if !is_track || self.unknown == Unknown::Allow {
            return Verdict::default();
        }
        let problem = Problem::new(
            "event",
            "the tracking plan does not know it",
            "correct its name, or add it to the tracking plan",
        );
        match self.unknown {
            Unknown::Enforce => Verdict { refused: Some(problem), observed: Vec::new() },
            _ => Verdict { refused: None, observed: vec![problem] },
        }
    }
}

/// The name facts have, so that `completed_order` and `Order Completed` are one.
fn canonical(name: &str) -> &str {
    known(name).map_or(name, |(name, _)| name)
}

fn compiled(schema: &Value) -> Result<Validator, String> {
    // Nothing is fetched, and patterns run in linear time: a plan cannot make taking events slow.
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| {
        let place = error.instance_path().to_string();
        format!(
            "schema{}: {}: correct the JSON Schema",
            place.replace('/', "."),
            shortened(&error.to_string(), 200)
        )
    })
}

/// The line on which an event's entry begins; 1 if it is written in no way we look for.
fn line_of(text: &str, name: &str) -> u64 {
    let is_entry = |line: &str| {
        let line = line.trim_start();
        let bare = line.trim_start_matches(['"', '\'']);
        bare.strip_prefix(name)
            .is_some_and(|it| it.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    text.lines().zip(1..).find(|(line, _)| is_entry(line)).map_or(1, |(_, number)| number)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told<'a> {
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    traits: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Around<'a> {
    #[serde(borrow)]
    traits: Option<&'a RawValue>,
}

/// What a schema is about: the properties, or for the calls about people and groups the traits, wherever they stand.
fn told(name: &str, is_track: bool, json: &str) -> (&'static str, Value) {
    let told: Told<'_> = serde_json::from_str(json).unwrap_or_default();
    let (field, raw) = if !is_track && matches!(name, "Identify" | "Group") {
        let around: Around<'_> =
            told.context.and_then(|it| serde_json::from_str(it.get()).ok()).unwrap_or_default();
        ("traits", told.traits.or(told.properties).or(around.traits))
    } else {
        ("properties", told.properties)
    };
    let value = raw.and_then(|it| serde_json::from_str(it.get()).ok());
    // Absent, null and PHP's empty list are an empty object, as everywhere.
    let value = value.filter(|it: &Value| !it.is_null() && it.as_array().is_none_or(|it| !it.is_empty()));
    (field, value.unwrap_or_else(|| Value::Object(serde_json::Map::new())))
}

/// A violation in the words of a problem. The value itself is left out: it may be about a person, and the same fault is to
/// read the same.
fn problem(field: &str, error: &jsonschema::ValidationError<'_>) -> Problem {
    let mut path = format!("{field}{}", error.instance_path().to_string().replace('/', "."));
    let reason = match error.kind() {
        ValidationErrorKind::Required { property } => {
            path = format!("{path}.{}", property.as_str().unwrap_or_default());
            "it is missing".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            path = format!("{path}.{}", unexpected.first().map(String::as_str).unwrap_or_default());
            "the schema does not know it".to_owned()
        }
        _ => shortened(&error.masked_with("it").to_string(), 200),
    };
    Problem::new(path, reason, "send what the tracking plan says, or change the plan")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
kind: TrackingPlan
mode: observe
unknown_events: enforce
events:
  completed_order:
    mode: enforce
    schema:
      type: object
      required: [order_id, currency]
      properties:
        currency: { type: string, pattern: "^[A-Z]{3}$" }
        products:
          type: array
          items: { type: object, properties: { price: { type: number } } }
  Identify:
    schema: { properties: { plan: { enum: [free, pro] } }, additionalProperties: false }
  Song Played: {}
"#;

    #[test]
    fn what_is_enforced_is_refused_and_what_is_observed_is_taken() {
        let plan = Plan::parse(PLAN).unwrap();
        assert_eq!(plan.counts(), (3, 1));
        let verdict = |name: &str, is_track, json: &str| plan.judge(name, is_track, json);
        let order = |properties: &str| {
            let refused =
                verdict("Order Completed", true, &format!(r#"{{"properties":{properties}}}"#)).refused;
            refused.map(|it| (it.field, it.reason))
        };
        assert_eq!(order(r#"{"order_id":"1","currency":"EUR"}"#), None);
        let missing = order(r#"{"order_id":"1"}"#).unwrap();
        assert_eq!(missing, ("properties.currency".to_owned(), "it is missing".to_owned()));
        let (field, reason) =
            order(r#"{"order_id":"1","currency":"EUR","products":[{},{"price":"1.90"}]}"#).unwrap();
        assert_eq!(field, "properties.products.1.price");
        assert!(!reason.contains("1.90"), "{reason}");
        assert!(order("null").is_some() && order("[]").is_some());
        let told = verdict("Identify", false, r#"{"context":{"traits":{"plan":"gold","age":7}}}"#);
        let fields: Vec<_> = told.observed.iter().map(|it| it.field.as_str()).collect();
        assert_eq!((told.refused.is_none(), fields), (true, vec!["traits.plan", "traits.age"]));
        assert_eq!(verdict("Song Played", true, "{}"), Verdict::default());
        assert_eq!(verdict("Page", false, "{}"), Verdict::default());
        assert_eq!(verdict("Songs Played", true, "{}").refused.unwrap().field, "event");
    }

    #[test]
    fn a_definition_that_is_no_plan_says_where() {
        for (text, line, word) in [
            ("kind: TrackingPlan\nmode: maybe\n", 2, "`maybe`"),
            ("events:\n  A:\n    schema: { type: what }\n", 2, "events.A: schema"),
            ("events:\n  A: {}\n  B:\n    schema: { $ref: \"https://example.com/x.json\" }\n", 3, "events.B"),
            ("events:\n  Order Completed: {}\n  completed_order: {}\n", 3, "the same event"),
            ("event: {}\n", 1, "event"),
        ] {
            let fault = Plan::parse(text).err().unwrap();
            assert!(fault.line == line && fault.problem.contains(word), "{text}: {fault}");
        }
        assert!(Plan::parse(&"[".repeat(1_000)).is_err());
        assert!(Plan::parse(&format!("events: {}", "- ".repeat(100_000))).is_err());
    }
}
