//! A request that is wrong and will stay wrong: which fields, why, and what to do.

use std::fmt;

use perennial_types::{Detail, Fault, Kind};

/// Fields of a request that are wrong. One answer names all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalid {
    reason: Option<&'static str>,
    fields: Vec<(String, String)>,
    /// A name that does not exist for this caller: then nothing else that is wrong is told.
    unknown: Option<String>,
}

impl Invalid {
    /// One wrong field: its dotted path from the request's root, and the problem with its remedy, to be read on after
    /// the field's name (`is negative: send 0 or more`).
    #[must_use]
    pub fn new(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        let mut invalid = Self::default();
        invalid.add(field, problem);
        invalid
    }

    /// A field that names a workspace of others: to this caller it does not exist.
    pub(crate) fn unknown(workspace: &str) -> Self {
        Self { unknown: Some(workspace.to_owned()), ..Self::default() }
    }

    /// Adds another wrong field.
    pub fn add(&mut self, field: impl Into<String>, problem: impl fmt::Display) {
        self.fields.push((field.into(), problem.to_string()));
    }

    /// Adds what is wrong in a nested message, as found by its own parser, under the name of its field.
    pub fn add_within(&mut self, field: &str, inner: Self) {
        self.unknown = self.unknown.take().or(inner.unknown);
        for (name, problem) in inner.fields {
            let path = if name.is_empty() { field.to_owned() } else { format!("{field}.{name}") };
            self.fields.push((path, problem));
        }
    }

    /// Says a more particular reason than `INVALID_ARGUMENT`.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Keeps the value of a field, or notes what is wrong with it and goes on, so that one answer names every field.
    pub fn take<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(other) => {
                self.fields.extend(other.fields);
                self.unknown = self.unknown.take().or(other.unknown);
                None
            }
        }
    }

    /// Nothing if no field is wrong.
    ///
    /// # Errors
    /// Itself, if a field is.
    pub fn into_result(self) -> Result<(), Self> {
        if self.fields.is_empty() && self.unknown.is_none() { Ok(()) } else { Err(self) }
    }

    /// The fields and their problems.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, problem)| (name.as_str(), problem.as_str()))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(workspace) = &self.unknown {
            return write!(f, "{workspace} is not known to this key: use names of the key's own workspace");
        }
        for (n, (name, problem)) in self.fields.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{name} {problem}")?;
        }
        if self.fields.is_empty() { f.write_str("the request is not valid") } else { Ok(()) }
    }
}

impl std::error::Error for Invalid {}

impl Fault for Invalid {
    fn kind(&self) -> Kind {
        if self.unknown.is_some() { Kind::NotFound } else { Kind::Invalid }
    }

    fn reason(&self) -> &'static str {
        if self.unknown.is_some() { "WORKSPACE_NOT_FOUND" } else { self.reason.unwrap_or("INVALID_ARGUMENT") }
    }

    fn details(&self) -> Vec<Detail> {
        if let Some(name) = &self.unknown {
            return vec![Detail::Resource { kind: "Workspace", name: name.clone() }];
        }
        let field = |(name, problem): &(String, String)| Detail::Field {
            name: name.clone(),
            problem: problem.clone(),
        };
        self.fields.iter().map(field).collect()
    }
}

impl From<Invalid> for tonic::Status {
    fn from(fault: Invalid) -> Self {
        crate::status(&fault)
    }
}

/// Turns a value that could not be read, or is missing, into an [`Invalid`] that names its field.
pub trait Field<T> {
    /// The value, or what is wrong with the field of this dotted path.
    ///
    /// # Errors
    /// [`Invalid`] naming the field.
    fn field(self, name: &str) -> Result<T, Invalid>;
}

impl<T, E: fmt::Display> Field<T> for Result<T, E> {
    fn field(self, name: &str) -> Result<T, Invalid> {
        self.map_err(|problem| Invalid::new(name, problem))
    }
}

impl<T> Field<T> for Option<T> {
    fn field(self, name: &str) -> Result<T, Invalid> {
        self.ok_or_else(|| Invalid::new(name, "is missing: set it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_names_every_field_with_its_path() {
        let mut inner = Invalid::new("rule", "has no closing bracket at 12: add one");
        inner.add("display_name", "is empty: give it a name");
        let mut invalid = Invalid::default();
        invalid.add_within("segment", inner);
        assert_eq!(invalid.take(None::<u8>.field("segment_id")), None);
        let fault = invalid.into_result().unwrap_err();
        assert_eq!(
            fault.to_string(),
            "segment.rule has no closing bracket at 12: add one; segment.display_name is empty: give it a name; \
             segment_id is missing: set it"
        );
        assert_eq!(fault.details().len(), 3);
        assert_eq!(fault.because("RULE_INVALID").reason(), "RULE_INVALID");
    }
}
