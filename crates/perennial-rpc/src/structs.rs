//! Protobuf structs, JSON, and the flat scalars that rules see.

use perennial_types::{Properties, Scalar};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number};

/// The largest whole number up to which every double is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// JSON of a protobuf struct. Whole numbers up to 2^53 become integers, as JSON clients write them.
#[must_use]
pub fn to_json(wire: Struct) -> Map<String, serde_json::Value> {
    wire.fields.into_iter().map(|(name, value)| (name, value_to_json(value))).collect()
}

/// JSON of a protobuf value.
#[must_use]
pub fn value_to_json(wire: Value) -> serde_json::Value {
    match wire.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(it)) => it.into(),
        Some(Kind::StringValue(it)) => it.into(),
        Some(Kind::NumberValue(it)) => match whole(it) {
            Some(whole) => whole.into(),
            // Infinity and NaN have no JSON.
            None => Number::from_f64(it).map_or(serde_json::Value::Null, serde_json::Value::Number),
        },
        Some(Kind::StructValue(it)) => serde_json::Value::Object(to_json(it)),
        Some(Kind::ListValue(it)) => it.values.into_iter().map(value_to_json).collect(),
    }
}

/// A protobuf struct of JSON. Numbers become doubles.
#[must_use]
pub fn from_json(json: Map<String, serde_json::Value>) -> Struct {
    Struct { fields: json.into_iter().map(|(name, value)| (name, value_from_json(value))).collect() }
}

/// A protobuf value of JSON.
#[must_use]
pub fn value_from_json(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(it) => Kind::BoolValue(it),
        serde_json::Value::Number(it) => Kind::NumberValue(it.as_f64().unwrap_or_default()),
        serde_json::Value::String(it) => Kind::StringValue(it),
        serde_json::Value::Array(it) => {
            Kind::ListValue(ListValue { values: it.into_iter().map(value_from_json).collect() })
        }
        serde_json::Value::Object(it) => Kind::StructValue(from_json(it)),
    };
    Value { kind: Some(kind) }
}

/// The scalars of a JSON object by their dotted names (`address.city`). Lists and nulls are dropped. Where a name is
/// there twice, once dotted and once nested, the outer one counts.
#[must_use]
pub fn flatten(json: &Map<String, serde_json::Value>) -> Properties {
    flatten_with_nulls(json).0
}

/// Like [`flatten`], and the names of the nulls besides: in traits a null removes what was there.
#[must_use]
pub fn flatten_with_nulls(json: &Map<String, serde_json::Value>) -> (Properties, Vec<String>) {
    let mut found = (Properties::new(), Vec::new());
    collect("", json, &mut found);
    let (set, mut nulls) = found;
    nulls.retain(|name| !set.contains_key(name));
    nulls.sort();
    nulls.dedup();
    (set, nulls)
}

fn collect(prefix: &str, json: &Map<String, serde_json::Value>, found: &mut (Properties, Vec<String>)) {
    let path = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    for (name, value) in json {
        match value {
            serde_json::Value::Null => found.1.push(path(name)),
            serde_json::Value::Object(_) | serde_json::Value::Array(_) => {}
            _ => {
                if let Some(scalar) = scalar(value) {
                    found.0.entry(path(name)).or_insert(scalar);
                }
            }
        }
    }
    for (name, value) in json {
        if let serde_json::Value::Object(inner) = value {
            collect(&path(name), inner, found);
        }
    }
}

/// The scalar of a JSON value; nothing for a null, a list or an object. Whole numbers up to 2^53 are integers however
/// they are written, so that `2` and `2.0` mean the same.
#[must_use]
pub fn scalar(json: &serde_json::Value) -> Option<Scalar> {
    match json {
        serde_json::Value::Bool(it) => Some(Scalar::Bool(*it)),
        serde_json::Value::String(it) => Some(Scalar::Text(it.clone())),
        serde_json::Value::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(whole), _) => Some(Scalar::Int(whole)),
            (None, Some(number)) => Some(whole(number).map_or(Scalar::Float(number), Scalar::Int)),
            (None, None) => None,
        },
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole, and at most 2^53")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object(json: serde_json::Value) -> Map<String, serde_json::Value> {
        json.as_object().cloned().unwrap()
    }

    #[test]
    fn nested_objects_are_flattened_and_lists_dropped() {
        let json = object(json!({
            "plan": "pro", "seats": 3, "rate": 0.5, "ok": true, "gone": null, "tags": ["a"],
            "address": { "city": "Oslo", "geo": { "lat": 59.9 }, "zip": null }, "address.city": "Bergen",
        }));
        let (set, nulls) = flatten_with_nulls(&json);
        let names: Vec<_> = set.keys().map(String::as_str).collect();
        assert_eq!(names, ["address.city", "address.geo.lat", "ok", "plan", "rate", "seats"]);
        assert_eq!(set["address.city"], Scalar::from("Bergen"));
        assert_eq!(set["seats"], Scalar::Int(3));
        assert_eq!(nulls, ["address.zip", "gone"]);
    }

    #[test]
    fn a_number_means_the_same_over_json_and_grpc() {
        let json = object(json!({ "two": 2.0, "half": 0.5, "huge": 1e300 }));
        let over_grpc = to_json(from_json(json.clone()));
        assert_eq!(flatten(&over_grpc), flatten(&json));
        assert_eq!(flatten(&json)["two"], Scalar::Int(2));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            (-9_007_199_254_740_992_i64..=9_007_199_254_740_992).prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|it| serde_json::Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_back_through_a_struct(json in any_json()) {
            prop_assert_eq!(value_to_json(value_from_json(json.clone())), json);
        }
    }
}
