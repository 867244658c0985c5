//! Finding the write key, in every place that clients put it.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use perennial_types::Workspace;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use crate::app::App;
use crate::domain::intake::Envelope;
use crate::error::Error;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Keys of a request, in the order in which they count. Libraries send one in the body and one in a header, and some
/// mask the one in the body, so the first that is good is the one.
pub struct Keys(Vec<String>);

impl Keys {
    /// The keys in a request's body, headers and query.
    pub fn of(headers: &HeaderMap, query: Option<&str>, body: Option<&RawValue>) -> Self {
        let mut keys = Vec::new();
        keys.extend(body.and_then(|it| serde_json::from_str::<String>(it.get()).ok()));
        let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim);
        if let Some((scheme, value)) = text(header::AUTHORIZATION.as_str()).and_then(|it| it.split_once(' '))
        {
            let value = value.trim();
            if scheme.eq_ignore_ascii_case("basic") {
                // `key:`, or `key` without the colon; or the key itself, not encoded at all.
                let decoded = LENIENT.decode(value).ok().and_then(|it| String::from_utf8(it).ok());
                keys.extend(decoded.map(|it| it.split(':').next().unwrap_or_default().to_owned()));
            }
            keys.push(value.to_owned());
        }
        if let Some(value) = text("x-write-key") {
            keys.push(value.to_owned());
            keys.extend(value.split(':').map(str::to_owned));
        }
        let pairs = query.unwrap_or_default().split('&').filter_map(|it| it.split_once('='));
        keys.extend(pairs.filter(|(name, _)| *name == "writeKey").map(|(_, value)| value.to_owned()));
        keys.retain(|it| !it.is_empty());
        Self(keys)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    write_key: Option<String>,
}

/// Sorts the events by the workspace of their key. A batch's items may carry keys of their own.
///
/// # Errors
/// If keys cannot be looked up now.
pub async fn by_workspace<'a>(
    app: &App,
    keys: &Keys,
    envelope: &Envelope<'a>,
) -> Result<BTreeMap<Workspace, Vec<&'a str>>, Error> {
    let shared: Vec<&str> = keys.0.iter().map(String::as_str).collect();
    let default = app.workspace_of_key(&shared).await?;
    let mut sorted: BTreeMap<Workspace, Vec<&'a str>> = BTreeMap::new();
    for item in &envelope.items {
        let own = if item.contains("\"writeKey\"") {
            serde_json::from_str::<Item>(item).ok().and_then(|it| it.write_key)
        } else {
            None
        };
        let own = match own {
            Some(key) => app.workspace_of_key(&[&key]).await?,
            None => None,
        };
        if let Some(workspace) = own.or_else(|| default.clone()) {
            sorted.entry(workspace).or_default().push(item);
        }
    }
    if let (Some(workspace), true) = (default, envelope.items.is_empty()) {
        // An empty batch with a good key is a success.
        sorted.insert(workspace, Vec::new());
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &'static str, value: &str) -> Vec<String> {
        let value = http::HeaderValue::from_str(value).unwrap();
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), value)]);
        Keys::of(&headers, None, None).0
    }

    #[test]
    fn a_key_is_found_in_every_form() {
        // base64 of `wk_1:` and of `wk_1`.
        assert_eq!(keys("authorization", "Basic d2tfMTo=")[0], "wk_1");
        assert_eq!(keys("authorization", "basic d2tfMQ")[0], "wk_1");
        assert!(keys("authorization", "Basic wk_1").contains(&"wk_1".to_owned()));
        assert_eq!(keys("authorization", "Bearer wk_1"), ["wk_1"]);
        assert!(keys("x-write-key", "id:wk_1").contains(&"wk_1".to_owned()));
        let body = RawValue::from_string("\"wk_2\"".to_owned()).unwrap();
        let all = Keys::of(&HeaderMap::new(), Some("a=b&writeKey=wk_1"), Some(&body)).0;
        assert_eq!(all, ["wk_2", "wk_1"]);
    }
}
