//! A model as JSON; reading it back checks every parameter.

use super::Model;
use crate::error::InvalidValue;
use crate::kind::Kind;
use crate::stack::Stack;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
pub(super) struct Raw {
    kind: Kind,
    #[serde(default)]
    params: BTreeMap<String, f64>,
    /// Of a stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<RawMember>,
}

#[derive(Serialize, Deserialize)]
struct RawMember {
    weight: f64,
    model: Model,
}

impl TryFrom<Raw> for Model {
    type Error = InvalidValue;

    fn try_from(raw: Raw) -> Result<Self, InvalidValue> {
        if raw.kind == Kind::Stack {
            let members: Vec<(f64, Self)> = raw.members.into_iter().map(|it| (it.weight, it.model)).collect();
            return Ok(Self::Stack(Stack::new(&members)?));
        }
        Self::from_params(raw.kind, raw.params.iter().map(|(name, value)| (name.as_str(), *value)))
    }
}

impl From<Model> for Raw {
    fn from(it: Model) -> Self {
        let params = it.params().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let members = match it {
            Model::Stack(it) => it.members().map(|(weight, model)| RawMember { weight, model }).collect(),
            _ => Vec::new(),
        };
        Self { kind: it.kind(), params, members }
    }
}
