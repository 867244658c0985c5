//! The shape of what templates may ask for: the names that exist, and what lies below them.

use serde_json::{Map, Value};

use super::{Reference, did_you_mean};

/// One step of a path into the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field by its name.
    Field(String),
    /// Each (or any one) of a list.
    Each,
}

/// What a value looks like.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Text, a number or a flag.
    Scalar,
    /// An object with exactly these fields.
    Object(&'static [(&'static str, Shape)]),
    /// An object with any fields, such as a profile's traits.
    Open,
    /// A list.
    List(&'static Shape),
}

const CART_LINE: Shape = Shape::Object(&[
    ("product_id", Shape::Scalar),
    ("name", Shape::Scalar),
    ("quantity", Shape::Scalar),
    ("price", Shape::Scalar),
    ("total", Shape::Scalar),
]);

const ORDER_LINE: Shape = Shape::Object(&[
    ("product_id", Shape::Scalar),
    ("name", Shape::Scalar),
    ("category", Shape::Scalar),
    ("quantity", Shape::Scalar),
    ("price", Shape::Scalar),
]);

const PRODUCT: Shape = Shape::Object(&[
    ("id", Shape::Scalar),
    ("name", Shape::Scalar),
    ("category", Shape::Scalar),
    ("price", Shape::Scalar),
    ("url", Shape::Scalar),
    ("image_url", Shape::Scalar),
]);

/// Every name a template may use at its root. Amounts are decimal, such as 12.30 (use the `money` filter), instants RFC
/// 3339 text in UTC (use the `date` filter).
pub const ROOT: &[(&str, Shape)] = &[
    ("profile", Shape::Open),
    ("event", Shape::Open),
    ("data", Shape::Open),
    ("campaign", Shape::Object(&[("name", Shape::Scalar), ("step", Shape::Scalar)])),
    ("shop", Shape::Object(&[("name", Shape::Scalar), ("url", Shape::Scalar), ("currency", Shape::Scalar)])),
    ("currency", Shape::Scalar),
    ("now", Shape::Scalar),
    ("unsubscribe_url", Shape::Scalar),
    (
        "cart",
        Shape::Object(&[
            ("id", Shape::Scalar),
            ("items", Shape::Scalar),
            ("lines", Shape::List(&CART_LINE)),
            ("total", Shape::Scalar),
            ("currency", Shape::Scalar),
        ]),
    ),
    (
        "coupon",
        Shape::Object(&[
            ("code", Shape::Scalar),
            ("offer", Shape::Scalar),
            ("percent", Shape::Scalar),
            ("amount", Shape::Scalar),
            ("free_shipping", Shape::Scalar),
            ("expires", Shape::Scalar),
        ]),
    ),
    (
        "order",
        Shape::Object(&[
            ("id", Shape::Scalar),
            ("revenue", Shape::Scalar),
            ("discount", Shape::Scalar),
            ("currency", Shape::Scalar),
            ("placed", Shape::Scalar),
            ("lines", Shape::List(&ORDER_LINE)),
        ]),
    ),
    ("product", PRODUCT),
    ("products", Shape::List(&PRODUCT)),
];

/// Why a path leads nowhere, and what to write instead; `extra` are the template's own declared names.
pub fn check(reference: &Reference, extra: &[String]) -> Result<(), String> {
    let mut steps = reference.path.iter();
    let Some(Step::Field(root)) = steps.next() else { return Ok(()) };
    if extra.iter().any(|it| it == root) {
        return Ok(());
    }
    let Some((_, shape)) = ROOT.iter().find(|(name, _)| name == root) else {
        let names = ROOT.iter().map(|(name, _)| *name).chain(extra.iter().map(String::as_str));
        return Err(format!(
            "there is no variable {root:?}{}; name data of your own under `variables`",
            did_you_mean(root, names)
        ));
    };
    let mut shape = shape;
    let mut so_far = root.clone();
    for step in steps {
        shape = match (shape, step) {
            (Shape::Open, _) => return Ok(()),
            (Shape::Object(fields), Step::Field(field)) => {
                match fields.iter().find(|(name, _)| name == field) {
                    Some((_, next)) => next,
                    None => {
                        let names = fields.iter().map(|(name, _)| *name);
                        return Err(format!("{so_far} has no {field:?}{}", did_you_mean(field, names)));
                    }
                }
            }
            (Shape::List(of), Step::Each) => of,
            (Shape::List(of), Step::Field(field)) if field == "first" || field == "last" => of,
            (Shape::List(_), Step::Field(field)) if field == "size" => &Shape::Scalar,
            (Shape::Scalar, Step::Field(field)) if field == "size" => &Shape::Scalar,
            (Shape::List(_), Step::Field(field)) => {
                return Err(format!(
                    "{so_far} is a list and has no {field:?}: loop over it with {{% for %}}"
                ));
            }
            (_, Step::Each) => return Err(format!("{so_far} is not a list")),
            (Shape::Scalar, Step::Field(field)) => {
                return Err(format!("{so_far} is a single value and has no {field:?}"));
            }
        };
        if let Step::Field(field) = step {
            so_far = format!("{so_far}.{field}");
        }
    }
    Ok(())
}

/// Adds what a template may ask for and the data lack, as empty values: a customer without a first name is no error.
pub fn complete(data: &mut Map<String, Value>, references: &[Reference]) {
    for (name, shape) in ROOT {
        if let Some(value) = data.get_mut(*name) {
            fill(value, shape);
        }
    }
    for reference in references {
        if let Some((Step::Field(root), rest)) = reference.path.split_first() {
            let value = data.entry(root.clone()).or_insert(Value::Null);
            ensure(value, rest);
        }
    }
}

fn fill(value: &mut Value, shape: &Shape) {
    match (shape, value) {
        (Shape::Object(fields), Value::Object(object)) => {
            for (name, shape) in *fields {
                fill(object.entry(*name).or_insert(Value::Null), shape);
            }
        }
        (Shape::List(of), Value::Array(items)) => items.iter_mut().for_each(|it| fill(it, of)),
        (Shape::List(_), value @ Value::Null) => *value = Value::Array(Vec::new()),
        _ => {}
    }
}

fn ensure(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    match step {
        Step::Field(field) => {
            if value.is_null() {
                *value = Value::Object(Map::new());
            }
            match value {
                Value::Object(object) => ensure(object.entry(field.clone()).or_insert(Value::Null), rest),
                Value::Array(items) if field == "first" => {
                    items.first_mut().into_iter().for_each(|it| ensure(it, rest))
                }
                Value::Array(items) if field == "last" => {
                    items.last_mut().into_iter().for_each(|it| ensure(it, rest))
                }
                _ => {}
            }
        }
        Step::Each => {
            if value.is_null() {
                *value = Value::Array(Vec::new());
            }
            if let Value::Array(items) = value {
                items.iter_mut().for_each(|it| ensure(it, rest));
            }
        }
    }
}
