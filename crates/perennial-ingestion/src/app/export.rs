//! All that this service knows of a person, for the person.

use perennial_feed::exported_rows;
use perennial_types::{ProfileId, Workspace, micros};
use serde_json::json;
use std::collections::BTreeSet;

use super::App;
use crate::domain::mention::Wanted;
use crate::domain::settings::Settings;
use crate::error::Result;
use crate::store::profiles::{self, Profile};
use crate::store::{events, rejected};

/// A table and its rows, as JSON objects.
pub type Part = (&'static str, Vec<String>);

impl App {
    /// Everything about a person, by table.
    ///
    /// # Errors
    /// [`crate::error::Error::NoProfile`] if it is not known; if the database refuses.
    pub async fn export(&self, workspace: &Workspace, id: ProfileId) -> Result<Vec<Part>> {
        let (person, merged) = self.profile(workspace, id).await?;
        let settings = self.book.settings(workspace).await?;
        let others = profiles::load(self.store.read(), workspace, merged, false).await?;
        let family: Vec<&Profile> = [&person].into_iter().chain(&others).collect();
        let ids: Vec<ProfileId> = family.iter().map(|it| it.id).collect();
        let identifiers = family.iter().flat_map(|it| it.identifiers.iter().cloned()).collect();
        let wanted = Wanted::new(identifiers, ids.iter().copied());
        let refused: BTreeSet<_> =
            self.refused_events(self.store.read(), workspace, &wanted).await?.into_iter().collect();
        let mut parts = vec![("profile", family.iter().map(|it| shown(it, &settings)).collect())];
        for leaf in ids {
            parts.push((
                "event",
                exported_rows(self.store.read(), &events::EVENTS, workspace, &[leaf]).await?,
            ));
        }
        let refused = rejected::find(self.store.read(), workspace, refused).await?;
        let refused = refused.iter().map(|it| {
            json!({
                "id": it.id, "received": micros(it.received), "name": it.name, "field": it.problem.field,
                "reason": it.problem.reason, "body": nested(&it.body),
            })
        });
        parts.push(("rejected", refused.map(|it| it.to_string()).collect()));
        parts.retain(|it| !it.1.is_empty());
        Ok(parts)
    }
}

fn nested(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

fn shown(it: &Profile, settings: &Settings) -> String {
    let identifiers: Vec<_> =
        it.identifiers.iter().map(|it| json!({ "kind": it.kind.as_str(), "value": it.value })).collect();
    let consents = it.person.consents(&settings.consent_rules).into_iter().map(|(channel, purpose, it)| {
        let by = it.by.as_ref();
        json!({
            "channel": channel.as_str(), "purpose": purpose.as_str(), "granted": it.granted,
            "source": by.map(|it| &it.source), "at": by.map(|it| it.at), "asked": it.asked,
            "wording": by.and_then(|it| it.wording.as_ref()), "proof": by.and_then(|it| it.proof.as_ref()),
        })
    });
    json!({
        "id": it.id.to_string(), "created": micros(it.created), "last_seen": micros(it.last_seen),
        "merged_into": it.merged_into.map(|it| it.to_string()), "identifiers": identifiers,
        "email": it.person.email(&it.identifiers), "phone": it.person.phone(&it.identifiers),
        "traits": it.person.traits(true), "consents": consents.collect::<Vec<_>>(),
        "time_zone": it.person.zone(&settings.time_zone).0, "locale": it.person.locale(&settings.locale).0,
        "region": it.person.region().0, "draw_key": it.draw_key,
        // All of it once more as it is kept, earlier statements included.
        "kept": serde_json::to_value(&it.person).unwrap_or_default(),
    })
    .to_string()
}
