//! The settings that browser and mobile libraries load before they send anything.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, header};
use serde_json::json;

use super::answer::{fault, json as answer, unauthorised};
use super::auth;
use crate::app::App;
use crate::domain::intake::Envelope;

/// Settings of Segment's libraries that send everything here and nothing elsewhere.
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

/// Settings of RudderStack's browser and mobile libraries, likewise: a source that is on and has no destination besides us.
pub async fn source(State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let keys = auth::Keys::of(&headers, query.as_deref(), None);
    let workspace = match auth::by_workspace(&app, &keys, &Envelope::default()).await {
        Ok(found) => found.into_keys().next(),
        Err(error) => return fault(&error),
    };
    let Some(workspace) = workspace else { return unauthorised() };
    let off = json!({ "enabled": false });
    answer(&json!({
        "isHosted": false,
        "source": {
            "id": workspace.as_str(),
            "name": workspace.as_str(),
            "workspaceId": workspace.as_str(),
            "enabled": true,
            "updatedAt": "2026-01-01T00:00:00.000Z",
            "config": { "statsCollection": { "errors": off, "metrics": off } },
            "destinations": [],
            "connections": [],
        },
    }))
}
