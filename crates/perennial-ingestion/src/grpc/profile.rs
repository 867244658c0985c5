//! Profiles: who a person is, how to reach it, what happened to it.

use perennial_api::feed::v1::Record;
use perennial_api::profile::v1 as wire;
use perennial_api::profile::v1::profile_service_server::ProfileService;
use perennial_rpc::{Field, Invalid, Page, resource, time, workspace};
use perennial_types::{Identifier, ProfileId, Properties, Workspace, from_micros};
use prost::Message;
use std::collections::BTreeSet;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Edge;
use crate::app::profile_key;
use crate::domain::settings::Settings;
use crate::error::Error;
use crate::store::events::Key;
use crate::store::profiles::Profile;

type Answer<T> = Result<Response<T>, Status>;

/// Most profiles that are read by their names at once.
const AT_ONCE: usize = 1_000;

/// How long a profile that was read is kept, unless it changes before.
const KEPT: std::time::Duration = std::time::Duration::from_secs(60);

#[tonic::async_trait]
impl ProfileService for Edge {
    async fn get_profile(&self, request: Request<wire::GetProfileRequest>) -> Answer<wire::Profile> {
        let message = request.into_inner();
        let (workspace, id) = named("name", &message.name)?;
        Ok(Response::new(self.read(&workspace, id).await?))
    }

    async fn lookup_profile(&self, request: Request<wire::LookupProfileRequest>) -> Answer<wire::Profile> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        if message.identifier.trim().is_empty() {
            return Err(Invalid::new("identifier", "is missing: set it").into());
        }
        let id = self.app.lookup(&workspace, &message.identifier).await?;
        Ok(Response::new(self.read(&workspace, id).await?))
    }

    async fn list_profiles(
        &self,
        request: Request<wire::ListProfilesRequest>,
    ) -> Answer<wire::ListProfilesResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let query = ["ListProfiles", message.parent.as_str()];
        let page = Page::<Uuid>::parse(message.page_size, &message.page_token, &query)?;
        let found = self.app.profiles(&workspace, page.after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.0.id.0);
        let settings = self.app.shown_by(&workspace).await?;
        let profiles = found.iter().map(|(profile, merged)| shown(&settings, profile, merged)).collect();
        Ok(Response::new(wire::ListProfilesResponse { profiles, next_page_token }))
    }

    async fn batch_get_profiles(
        &self,
        request: Request<wire::BatchGetProfilesRequest>,
    ) -> Answer<wire::BatchGetProfilesResponse> {
        let message = request.into_inner();
        let (parent, asked) = all_named(&message.parent, &message.names)?;
        let found = self.app.some_profiles(&parent, asked).await?;
        let settings = self.app.shown_by(&parent).await?;
        let profiles = found.iter().map(|(profile, merged)| shown(&settings, profile, merged)).collect();
        Ok(Response::new(wire::BatchGetProfilesResponse { profiles }))
    }

    async fn batch_get_contacts(
        &self,
        request: Request<wire::BatchGetContactsRequest>,
    ) -> Answer<wire::BatchGetContactsResponse> {
        let message = request.into_inner();
        let (parent, asked) = all_named(&message.parent, &message.names)?;
        let found = self.app.contacts(&parent, asked).await?;
        let settings = self.app.shown_by(&parent).await?;
        let contact = |it: &crate::app::Contact| {
            let Profile { id, person, identifiers, .. } = &it.profile;
            wire::Contact {
                name: resource_name(&parent, it.asked),
                current_name: resource_name(&parent, *id),
                email: person.email(identifiers).unwrap_or_default(),
                phone: person.phone(identifiers).unwrap_or_default(),
                traits_json: json(&person.traits(true)),
                time_zone: person.zone(&settings.time_zone).0,
                locale: person.locale(&settings.locale).0,
            }
        };
        Ok(Response::new(wire::BatchGetContactsResponse { contacts: found.iter().map(contact).collect() }))
    }

    async fn read_facts(&self, request: Request<wire::ReadFactsRequest>) -> Answer<wire::ReadFactsResponse> {
        let message = request.into_inner();
        let (workspace, id) = named("name", &message.name)?;
        let up_to = message.up_to_seq.to_string();
        let query = ["ReadFacts", message.name.as_str(), up_to.as_str()];
        let size = if message.page_size == 0 { 1_000 } else { message.page_size };
        let page = Page::<Key>::parse(size, &message.page_token, &query)?;
        let facts =
            self.app.facts(&workspace, id, message.up_to_seq, page.after, u64::from(page.size)).await?;
        let next_page_token = facts.next.map(|it| page.token(&it)).unwrap_or_default();
        let records = facts.records.into_iter().map(|it| Record::from(it).encode_to_vec()).collect();
        Ok(Response::new(wire::ReadFactsResponse { records, next_page_token }))
    }
}

impl Edge {
    /// A profile as it is now, or was less than a minute ago.
    async fn read(&self, workspace: &Workspace, id: ProfileId) -> Result<wire::Profile, Error> {
        let looked = self.app.cache().look(workspace, &[profile_key(id)]).await;
        let kept = looked.values.first().cloned().flatten();
        if let Some(found) = kept.and_then(|it| wire::Profile::decode(it).ok()) {
            return Ok(found);
        }
        let now = self.app.now();
        let (profile, merged) = self.app.profile(workspace, id).await?;
        let settings = self.app.shown_by(workspace).await?;
        let mut found = shown(&settings, &profile, &merged);
        found.complete_through = Some(time::to_wire(now));
        // What it was merged into has a place of its own, and news of it do not reach this one.
        if profile.id == id {
            self.app.cache().fill(&looked, [(0, found.encode_to_vec().into())], KEPT).await;
        }
        Ok(found)
    }
}

/// A workspace and profiles of it.
fn all_named(parent: &str, names: &[String]) -> Result<(Workspace, Vec<ProfileId>), Invalid> {
    let workspace = workspace("parent", parent)?;
    if names.len() > AT_ONCE {
        let problem = format!("holds {}: ask for at most {AT_ONCE} at once", names.len());
        return Err(Invalid::new("names", problem));
    }
    let mut asked = Vec::with_capacity(names.len());
    for (n, name) in names.iter().enumerate() {
        let field = format!("names[{n}]");
        let (of, id) = named(&field, name)?;
        if of != workspace {
            return Err(Invalid::new(field, format!("is not of {parent}: ask in its own workspace")));
        }
        asked.push(id);
    }
    Ok((workspace, asked))
}

pub fn named(field: &str, name: &str) -> Result<(Workspace, ProfileId), Invalid> {
    let (workspace, id) = resource(field, name, "profiles")?;
    let id = ProfileId::parse(id).map_err(|problem| format!("is wrong: {problem}")).field(field)?;
    Ok((workspace, id))
}

pub fn resource_name(workspace: &Workspace, id: ProfileId) -> String {
    format!("{}/profiles/{id}", workspace.resource())
}

/// Traits are scalars, so JSON can always hold them.
fn json(traits: &Properties) -> String {
    serde_json::to_string(traits).unwrap_or_default()
}

/// Identifiers on the wire.
pub(super) fn identifiers(of: &BTreeSet<Identifier>) -> Vec<wire::Identifier> {
    let shown =
        |it: &Identifier| wire::Identifier { kind: it.kind.as_str().to_owned(), value: it.value.clone() };
    of.iter().map(shown).collect()
}

/// A profile on the wire.
pub(super) fn shown(settings: &Settings, profile: &Profile, merged: &[ProfileId]) -> wire::Profile {
    let workspace = &settings.workspace;
    let (time_zone, source) = profile.person.zone(&settings.time_zone);
    let (locale, locale_source) = profile.person.locale(&settings.locale);
    let (region, region_source) = profile.person.region();
    let consents = profile.person.consents(&settings.consent_rules).into_iter();
    let consents = consents.map(|(channel, purpose, it)| wire::Consent {
        channel: channel.as_str().to_owned(),
        purpose: purpose.as_str().to_owned(),
        granted: it.granted,
        source: it.by.as_ref().map_or_else(|| format!("default:{region}"), |it| it.source.clone()),
        update_time: it.by.as_ref().map(|it| time::to_wire(from_micros(it.at))),
        wording: it.by.as_ref().and_then(|it| it.wording.clone()).unwrap_or_default(),
        proof: it.by.and_then(|it| it.proof).unwrap_or_default(),
        request_time: it.asked.map(|it| time::to_wire(from_micros(it))),
        confirmed: it.confirmed,
    });
    let consents: Vec<_> = consents.collect();
    wire::Profile {
        name: resource_name(workspace, profile.id),
        identifiers: identifiers(&profile.identifiers),
        traits_json: json(&profile.person.traits(false)),
        time_zone,
        time_zone_source: source.as_str().to_owned(),
        locale,
        locale_source: locale_source.as_str().to_owned(),
        region,
        region_source: region_source.as_str().to_owned(),
        consents,
        create_time: Some(time::to_wire(profile.created)),
        last_seen_time: Some(time::to_wire(profile.last_seen)),
        merged_profiles: merged.iter().map(|it| resource_name(workspace, *it)).collect(),
        complete_through: None,
    }
}
