//! How profiles came to be one person, and how that is undone.

use perennial_api::profile::v1 as wire;
use perennial_api::profile::v1::identity_service_server::IdentityService;
use perennial_rpc::{Page, request_id, time};
use perennial_types::{Workspace, micros};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Edge;
use super::profile::{identifiers, named, resource_name, shown};
use crate::app::{Part, Parted};
use crate::domain::settings::Settings;
use crate::store::merges::Journalled;
use crate::store::profiles::Profile;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl IdentityService for Edge {
    async fn list_merges(
        &self,
        request: Request<wire::ListMergesRequest>,
    ) -> Answer<wire::ListMergesResponse> {
        let message = request.into_inner();
        let (workspace, profile) = named("parent", &message.parent)?;
        let query = ["ListMerges", message.parent.as_str()];
        let page = Page::<(i64, Uuid)>::parse(message.page_size, &message.page_token, &query)?;
        let found = self.app.merges(&workspace, profile, page.after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |(it, _)| (micros(it.at), it.id.0));
        let merges = found.iter().map(|(it, who)| merge(&workspace, it, who.as_ref())).collect();
        Ok(Response::new(wire::ListMergesResponse { merges, next_page_token }))
    }

    async fn unmerge_profile(&self, request: Request<wire::UnmergeProfileRequest>) -> Answer<wire::Unmerge> {
        let message = request.into_inner();
        let (workspace, profile) = named("name", &message.name)?;
        // What was undone stays so: a repeated request needs no memory of its own.
        request_id(&message.request_id)?;
        let parted = match message.validate_only {
            true => self.app.preview_unmerge(&workspace, profile).await?,
            false => self.app.unmerge(&workspace, profile).await?,
        };
        let settings = self.app.shown_by(&workspace).await?;
        Ok(Response::new(unmerge(&settings, &parted)))
    }
}

fn merge(workspace: &Workspace, it: &Journalled, who: Option<&Profile>) -> wire::Merge {
    wire::Merge {
        profile: resource_name(workspace, it.from),
        survivor: resource_name(workspace, it.into),
        merge_time: Some(time::to_wire(it.at)),
        event: it.event.to_string(),
        event_name: it.event_name.clone(),
        historical: it.historical,
        identifiers: who.map(|it| identifiers(&it.identifiers)).unwrap_or_default(),
        undo_time: it.undone.map(time::to_wire),
    }
}

fn unmerge(settings: &Settings, it: &Parted) -> wire::Unmerge {
    let part = |it: &Part| wire::UnmergedPart {
        profile: Some(shown(settings, &it.profile, &it.leaves)),
        event_count: it.share.events,
        order_count: it.share.orders,
    };
    wire::Unmerge {
        returned: Some(part(&it.back)),
        survivor: it.stays.as_ref().map(part),
        merge_time: it.merged.map(time::to_wire),
        undo_time: it.undone.map(time::to_wire),
    }
}
