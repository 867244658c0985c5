//! The settings that the browser library loads before it sends anything.

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, header};
use serde_json::json;

use super::answer::{fault, json as answer, unauthorised};
use crate::app::App;

/// Settings that send everything here and nothing elsewhere.
pub async fn get(State(app): State<App>, Path(key): Path<String>, headers: HeaderMap) -> Response {
    match app.workspace_of_key(&[&key]).await {
        Ok(Some(_)) => {}
        Ok(None) => return unauthorised(),
        Err(error) => return fault(&error),
    }
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let host = text("x-forwarded-host").or(text(header::HOST.as_str())).unwrap_or("localhost");
    let protocol = text("x-forwarded-proto").filter(|it| *it == "https").unwrap_or("http");
    let enabled = json!({ "__default": { "enabled": true, "integrations": {} } });
    answer(&json!({
        "integrations": {
            "Segment.io": {
                "apiKey": key,
                "apiHost": format!("{host}/v1"),
                "protocol": protocol,
                "unbundledIntegrations": [],
                "addBundledMetadata": false,
                "maybeBundledConfigIds": {},
                "versionSettings": { "version": "4.4.7", "componentTypes": ["browser"] },
            },
        },
        "plan": { "track": enabled, "identify": enabled, "group": enabled },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": { "sampleRate": 0 },
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    }))
}
