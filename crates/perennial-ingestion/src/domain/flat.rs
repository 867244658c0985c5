//! Reads a JSON object straight into flat scalars, without building a tree in between.

use perennial_types::{Properties, Scalar};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The largest whole number up to which every double is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An object's scalars by dotted name, and the names that were null.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flat {
    /// Scalars; lists are not kept.
    pub values: Properties,
    /// Names that were set to null.
    pub nulls: Vec<String>,
}

impl Flat {
    /// Reads the JSON of an object. An empty list is one, too: that is how PHP writes it.
    ///
    /// # Errors
    /// The parser's message if it is anything else.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let mut flat = Self::default();
        if is_empty_list(json) {
            return Ok(flat);
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        Object { into: &mut flat, prefix: "" }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(flat)
    }

    /// Adds what is told of names that are not there yet.
    pub fn add(&mut self, other: Self) {
        for name in other.nulls {
            if !self.values.contains_key(&name) && !self.nulls.contains(&name) {
                self.nulls.push(name);
            }
        }
        for (name, value) in other.values {
            if !self.nulls.contains(&name) {
                self.values.entry(name).or_insert(value);
            }
        }
    }

    /// The first of `names` that is there and not empty text.
    pub fn first(&self, names: &[&str]) -> Option<&Scalar> {
        names.iter().find_map(|it| self.values.get(*it)).filter(|it| it.text() != Some(""))
    }

    /// The first of `names` that is there, as text; numbers are written out.
    pub fn word(&self, names: &[&str]) -> Option<String> {
        self.first(names).map(ToString::to_string).filter(|it| !it.trim().is_empty())
    }
}

/// Whether JSON is a list of nothing.
pub fn is_empty_list(json: &str) -> bool {
    json.trim().strip_prefix('[').is_some_and(|it| it.trim_start() == "]")
}

struct Object<'a> {
    into: &'a mut Flat,
    prefix: &'a str,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let name = if self.prefix.is_empty() { key } else { format!("{}.{key}", self.prefix) };
            map.next_value_seed(Member { into: self.into, name })?;
        }
        Ok(())
    }
}

/// One value of an object: a scalar, another object, or something that is not kept.
struct Member<'a> {
    into: &'a mut Flat,
    name: String,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl Member<'_> {
    fn put<E>(self, value: Scalar) -> Result<(), E> {
        self.into.values.insert(self.name, value);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put(Scalar::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        #[expect(clippy::cast_precision_loss, reason = "a number no 64-bit integer holds")]
        let scalar = i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Int);
        self.put(scalar)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // `2.0` and `2` mean the same, over HTTP as over gRPC.
        #[expect(clippy::cast_possible_truncation, reason = "whole, and at most 2^53")]
        let whole = (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64);
        self.put(whole.map_or(Scalar::Float(value), Scalar::Int))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        // A zero byte is legal JSON text, but no database keeps it.
        let text = if value.contains('\0') { value.replace('\0', "") } else { value.to_owned() };
        self.put(Scalar::Text(text))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.into.nulls.push(self.name);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Object { into: self.into, prefix: &self.name }.visit_map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_scalars_get_dotted_names_and_lists_are_left_out() {
        let flat = Flat::parse(r#"{"a":{"b":1,"c":null},"d":[1,{"e":2}],"f":"x","g":1.5,"h":true}"#).unwrap();
        let names: Vec<_> = flat.values.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.b", "f", "g", "h"]);
        assert_eq!(flat.nulls, ["a.c"]);
        assert_eq!(Flat::parse(" [ ] ").unwrap(), Flat::default());
        assert!(Flat::parse("[1]").is_err());
        assert!(Flat::parse("{} x").is_err());
    }
}
