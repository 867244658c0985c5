//! Templates: Liquid that is checked before launch and bounded when rendered.
//!
//! Every variable a template names must exist (see [`shape::ROOT`], or be declared under `variables`), in branches that
//! are rarely taken too; what a particular customer lacks is empty, never an error. HTML is escaped unless a filter
//! chain ends in `raw`. `{% stop "reason" %}` refuses to send.

mod filters;
mod limits;
mod scan;
mod shape;

use std::sync::{Arc, OnceLock};

use liquid_core::runtime::RuntimeBuilder;
use liquid_core::{Language, Object, Renderable, Runtime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use filters::escape;
pub use scan::Reference;

use limits::{MAX_OUTPUT, Meter, Output};

/// Bytes of one part of a template's source.
const MAX_SOURCE: usize = 128 << 10;

/// A message as a marketer writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its bare name.
    pub name: String,
    /// The subject line.
    pub subject: String,
    /// The plain text, which every message has.
    pub text: String,
    /// The HTML, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Names of further data that campaigns pass to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// How a part's output is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it is.
    Text,
    /// Escaped for HTML.
    Html,
}

/// What is wrong with a template's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    line: usize,
    problem: String,
}

impl Problem {
    fn syntax(line: usize, problem: String) -> Self {
        Self { line, problem }
    }
}

/// A template that cannot be used, or a rendering that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The source is wrong.
    #[error("template {template}: {part}, line {line}: {problem}")]
    Source {
        /// The template's bare name.
        template: String,
        /// `subject`, `text` or `html`.
        part: &'static str,
        /// The line within the part, from 1.
        line: usize,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// The file is no template.
    #[error("template file: {0}")]
    File(String),
    /// It cannot be rendered with this customer's data.
    #[error("template {template}: {part}: {problem}")]
    Render {
        /// The template's bare name.
        template: String,
        /// `subject`, `text` or `html`.
        part: &'static str,
        /// What went wrong.
        problem: String,
    },
    /// It refused to be sent.
    #[error("the template stopped it: {0}")]
    Stopped(String),
}

impl Template {
    /// Reads the YAML form; `kind: Template` may stand in it.
    ///
    /// # Errors
    /// [`TemplateError::File`] naming line and field.
    pub fn from_yaml(yaml: &str) -> Result<Self, TemplateError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            kind: Option<String>,
            #[serde(flatten)]
            rest: Map<String, Value>,
        }
        let file: File = serde_saphyr::from_str(yaml).map_err(|it| TemplateError::File(it.to_string()))?;
        if let Some(kind) = file.kind.filter(|it| it != "Template") {
            return Err(TemplateError::File(format!("kind is {kind:?}: a template needs kind: Template")));
        }
        serde_json::from_value(Value::Object(file.rest)).map_err(|it| TemplateError::File(it.to_string()))
    }

    /// Checks every variable, filter and limit, and compiles it.
    ///
    /// # Errors
    /// [`TemplateError::Source`] naming the part, line, what is wrong and what to write instead.
    pub fn compile(&self) -> Result<Compiled, TemplateError> {
        let slug = perennial_types::Workspace::parse(&self.name);
        if slug.is_err() {
            let problem =
                format!("name {:?} is not 1–63 of a–z, 0–9 and -, starting with a letter", self.name);
            return Err(TemplateError::File(problem));
        }
        if self.subject.trim().is_empty() || self.text.trim().is_empty() {
            return Err(TemplateError::File(format!("template {} needs a subject and a text", self.name)));
        }
        let subject = self.part("subject", &self.subject, Mode::Text)?;
        let text = self.part("text", &self.text, Mode::Text)?;
        let html = self.html.as_deref().map(|it| self.part("html", it, Mode::Html)).transpose()?;
        let names_link = |part: &Part| {
            part.references
                .iter()
                .any(|it| matches!(it.path.first(), Some(shape::Step::Field(it)) if it == "unsubscribe_url"))
        };
        let text_has_link = names_link(&text);
        let html_has_link = html.as_ref().is_some_and(names_link);
        Ok(Compiled { name: self.name.clone(), subject, text, html, text_has_link, html_has_link })
    }

    fn part(&self, part: &'static str, source: &str, mode: Mode) -> Result<Part, TemplateError> {
        let refused =
            |line, problem| TemplateError::Source { template: self.name.clone(), part, line, problem };
        if source.len() > MAX_SOURCE {
            return Err(refused(1, format!("it is longer than {MAX_SOURCE} bytes")));
        }
        let scan = scan::scan(source, mode).map_err(|it| refused(it.line, it.problem))?;
        for reference in &scan.references {
            shape::check(reference, &self.variables)
                .map_err(|it| refused(reference.line, format!("{}: {it}", reference.written)))?;
        }
        for (filter, line) in &scan.filters {
            if language().filters.get(filter).is_none() {
                let known = language().filters.plugin_names().filter(|it| !it.starts_with("__"));
                return Err(refused(
                    *line,
                    format!("there is no filter {filter:?}{}", did_you_mean(filter, known)),
                ));
            }
        }
        let parsed = liquid_core::parser::parse(&scan.rewritten, language()).map_err(|it| {
            let text = it.to_string();
            let line = text.lines().find(|it| !it.trim().is_empty()).unwrap_or("it does not parse");
            refused(1, line.trim().trim_start_matches("liquid: ").trim().to_owned())
        })?;
        Ok(Part { template: Arc::new(liquid_core::Template::new(parsed)), references: scan.references })
    }
}

fn language() -> &'static Language {
    static LANGUAGE: OnceLock<Language> = OnceLock::new();
    LANGUAGE.get_or_init(filters::language)
}

#[derive(Clone, Debug)]
struct Part {
    template: Arc<liquid_core::Template>,
    references: Vec<Reference>,
}

/// A template ready to render.
#[derive(Clone, Debug)]
pub struct Compiled {
    name: String,
    subject: Part,
    text: Part,
    html: Option<Part>,
    /// Whether the text places the unsubscribe link itself.
    pub text_has_link: bool,
    /// Whether the HTML places the unsubscribe link itself.
    pub html_has_link: bool,
}

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML, if the template has any.
    pub html: Option<String>,
}

impl Compiled {
    /// Renders it with `data`, whose roots are those of [`shape::ROOT`] and the template's own.
    ///
    /// # Errors
    /// [`TemplateError::Stopped`] if it refuses, [`TemplateError::Render`] past a limit or on data it cannot use.
    pub fn render(&self, data: &Map<String, Value>) -> Result<Rendered, TemplateError> {
        let subject = self.render_part("subject", &self.subject, data)?;
        Ok(Rendered {
            // A line break in a subject would begin a header of somebody else's choosing.
            subject: subject.split_whitespace().collect::<Vec<_>>().join(" "),
            text: self.render_part("text", &self.text, data)?,
            html: self.html.as_ref().map(|it| self.render_part("html", it, data)).transpose()?,
        })
    }

    fn render_part(
        &self,
        part: &'static str,
        it: &Part,
        data: &Map<String, Value>,
    ) -> Result<String, TemplateError> {
        let failed = |problem: String| TemplateError::Render { template: self.name.clone(), part, problem };
        let mut data = data.clone();
        shape::complete(&mut data, &it.references);
        let globals: Object = data.into_iter().map(|(name, value)| (name.into(), liquid(value))).collect();
        let runtime = RuntimeBuilder::new().set_globals(&globals).build();
        let mut output = Output::default();
        let result = it.template.render_to(&mut output, &runtime);
        let mut meter = runtime.registers().get_mut::<Meter>();
        if let Some(reason) = meter.stopped.take() {
            return Err(TemplateError::Stopped(reason));
        }
        if let Some(limit) = meter.exceeded.take() {
            return Err(failed(format!("{limit}: shorten its loops")));
        }
        drop(meter);
        result.map_err(|it| {
            if output.full {
                return failed(format!("it renders to more than {MAX_OUTPUT} bytes: shorten it"));
            }
            let text = it.to_string();
            let lines = text.lines().map(str::trim).filter(|it| !it.is_empty()).take(4);
            failed(lines.collect::<Vec<_>>().join(" ").trim_start_matches("liquid: ").to_owned())
        })?;
        String::from_utf8(output.bytes)
            .map_err(|_| failed("it renders to something that is not text".to_owned()))
    }
}

fn liquid(value: Value) -> liquid_core::Value {
    match value {
        Value::Null => liquid_core::Value::Nil,
        Value::Bool(it) => liquid_core::Value::scalar(it),
        Value::Number(it) => match it.as_i64() {
            Some(it) => liquid_core::Value::scalar(it),
            // A protobuf Struct knows doubles only: whole ones are whole numbers to a template.
            None => match it.as_f64() {
                #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
                Some(it) if it.fract() == 0.0 && it.abs() < 9_007_199_254_740_992.0 => {
                    liquid_core::Value::scalar(it as i64)
                }
                it => liquid_core::Value::scalar(it.unwrap_or_default()),
            },
        },
        Value::String(it) => liquid_core::Value::scalar(it),
        Value::Array(items) => liquid_core::Value::Array(items.into_iter().map(liquid).collect()),
        Value::Object(object) => {
            liquid_core::Value::Object(object.into_iter().map(|(key, it)| (key.into(), liquid(it))).collect())
        }
    }
}

/// `; did you mean "x"?` if a known name is close, else the known names.
fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let near = known.iter().map(|it| (distance(name, it), *it)).min();
    match near {
        Some((distance, near)) if distance <= 1 + near.len() / 4 => format!("; did you mean {near:?}?"),
        _ => format!("; there are {}", known.join(", ")),
    }
}

/// Edits (insert, delete, replace) from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
