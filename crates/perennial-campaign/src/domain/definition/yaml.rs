//! YAML as a tree whose every part knows its line, and the reader that takes fields out of it one by one.

use serde::Deserialize;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::DefinitionError;

/// The longest definition, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The deepest nesting of maps and lists.
const MAX_DEPTH: usize = 24;

/// A part of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its line, from 1.
    pub line: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a part of the file is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing was written.
    Null,
    /// A single value, as text, and whether it was written as true or false.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// Fields in the order of the file.
    Map(Vec<(String, Node)>),
}

/// Reads a file.
pub fn read(text: &str) -> Result<Node, DefinitionError> {
    if text.len() > MAX_BYTES {
        return Err(DefinitionError::new(
            1,
            "",
            format!("the file is longer than {MAX_BYTES} bytes: split it"),
        ));
    }
    // Flow brackets nest without line breaks, so their depth is counted before anything recurses over them.
    let mut depth = 0_usize;
    for it in text.bytes() {
        depth = match it {
            b'[' | b'{' => depth + 1,
            b']' | b'}' => depth.saturating_sub(1),
            _ => depth,
        };
        if depth > MAX_DEPTH {
            return Err(DefinitionError::new(1, "", format!("nested deeper than {MAX_DEPTH}: simplify it")));
        }
    }
    let raw: Spanned<Raw> = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |it| it.line());
        let mut problem = error.to_string();
        if let Some(end) = problem.find('\n') {
            problem.truncate(end);
        }
        match problem.split_once("duplicate mapping key: ").and_then(|(_, it)| it.split_once(',')) {
            Some((name, _)) => DefinitionError::new(line, name, "written twice: keep one"),
            None => DefinitionError::new(line, "", format!("not valid YAML: {problem}")),
        }
    })?;
    node(raw, 0)
}

fn node(raw: Spanned<Raw>, depth: usize) -> Result<Node, DefinitionError> {
    let line = raw.referenced.line();
    if depth > MAX_DEPTH {
        return Err(DefinitionError::new(line, "", format!("nested deeper than {MAX_DEPTH}: simplify it")));
    }
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Scalar(it) => Kind::Scalar(it),
        Raw::List(list) => {
            Kind::List(list.into_iter().map(|it| node(it, depth + 1)).collect::<Result<_, _>>()?)
        }
        Raw::Map(map) => {
            let read = |(name, value)| Ok((name, node(value, depth + 1)?));
            Kind::Map(map.into_iter().map(read).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node { line, kind })
}

enum Raw {
    Null,
    Scalar(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(String, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value, a list or fields")
    }

    fn visit_bool<E>(self, it: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(it.to_string()))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(it.to_string()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(it.to_string()))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(it.to_string()))
    }

    fn visit_str<E>(self, it: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(it.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, it: D) -> Result<Raw, D::Error> {
        Raw::deserialize(it)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(it) = access.next_element()? {
            list.push(it);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(name) = access.next_key::<String>()? {
            map.push((name, access.next_value()?));
        }
        Ok(Raw::Map(map))
    }
}

/// Fields of one map, taken out by name; what is left over is an error.
pub struct Fields {
    /// The map's line.
    pub line: u64,
    path: String,
    left: Vec<(String, Node)>,
}

impl Fields {
    /// The fields of a map at `path`.
    pub fn of(node: Node, path: &str) -> Result<Self, DefinitionError> {
        match node.kind {
            Kind::Map(left) => Ok(Self { line: node.line, path: path.to_owned(), left }),
            _ => Err(DefinitionError::new(node.line, path, "fields belong here: write name: value")),
        }
    }

    /// The dotted path of a field.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Takes a field, if it is there.
    pub fn take(&mut self, name: &str) -> Option<Node> {
        let position = self.left.iter().position(|(it, _)| it == name)?;
        Some(self.left.remove(position).1)
    }

    /// Takes a field that has to be there.
    pub fn need(&mut self, name: &str, remedy: &str) -> Result<Node, DefinitionError> {
        self.take(name)
            .ok_or_else(|| DefinitionError::new(self.line, &self.path(name), format!("is missing: {remedy}")))
    }

    /// Takes a field and reads it with `read`; an error names the field and its line.
    pub fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, DefinitionError> {
        let path = self.path(name);
        self.take(name).map(|it| scalar(&it, &path, read)).transpose()
    }

    /// Takes a field's text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, DefinitionError> {
        self.read(name, |it| Ok(it.to_owned()))
    }

    /// Whether a field is there.
    pub fn has(&self, name: &str) -> bool {
        self.left.iter().any(|(it, _)| it == name)
    }

    /// Refuses what is left over; `known` are the names that may be written here.
    pub fn done(self, known: &[&str]) -> Result<(), DefinitionError> {
        match self.left.first() {
            None => Ok(()),
            Some((name, node)) => {
                let near = known.iter().find(|it| similar(it, name));
                let remedy = near
                    .map_or_else(|| format!("use {}", known.join(", ")), |it| format!("did you mean {it}?"));
                Err(DefinitionError::new(node.line, &self.path(name), format!("no such field: {remedy}")))
            }
        }
    }
}

/// Reads a single value; an error names its field and line.
pub fn scalar<T>(
    node: &Node,
    path: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, DefinitionError> {
    let Kind::Scalar(text) = &node.kind else {
        return Err(DefinitionError::new(node.line, path, "a single value belongs here"));
    };
    read(text).map_err(|problem| DefinitionError::new(node.line, path, problem))
}

/// Whether two names differ by at most two changed, missing or added letters.
fn similar(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().take(40).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let swap = before + usize::from(x != y);
            before = row[j + 1];
            row[j + 1] = swap.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()] <= 2
}
