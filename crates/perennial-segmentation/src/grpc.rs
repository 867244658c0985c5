//! The edge: parse, ask, answer. The only place that knows tonic and the generated code.

mod read;
mod wire;

use perennial_api::segmentation::v1::segmentation_service_server::SegmentationService;
use perennial_api::segmentation::v1::{
    CheckMembershipRequest, CheckMembershipResponse, CreateSegmentRequest, DeleteSegmentRequest,
    GetSegmentRequest, GetStageRequest, ListMembersRequest, ListMembersResponse, ListSegmentsRequest,
    ListSegmentsResponse, ProfileStage, Segment, SegmentSummary, StageSummary, SummarizeSegmentsRequest,
    SummarizeSegmentsResponse, SummarizeStagesRequest, SummarizeStagesResponse, UpdateSegmentRequest,
};
use perennial_cache::Looked;
use perennial_rpc::{Page, resource, status, time, workspace};
use perennial_types::{ProfileId, Workspace};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::worker::forget::{member_key, stage_key};

/// How long an answer is kept, unless it changes before.
const KEPT: Duration = Duration::from_secs(60);

/// Serves the API.
pub struct Edge {
    app: Arc<App>,
}

impl Edge {
    /// An edge of `app`.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// Keeps an answer until the feed tells that it changed.
    async fn keep(&self, looked: &Looked, answer: &impl Message) {
        self.app.cache.fill(looked, [(0, answer.encode_to_vec().into())], KEPT).await;
    }
}

/// The answer that was found; nothing also if another version of us kept it in another form.
fn kept<T: Message + Default>(looked: &Looked) -> Option<T> {
    T::decode(looked.values.first()?.clone()?).ok()
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        status(&error)
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn profile(field: &str, name: &str) -> Result<(Workspace, ProfileId), Status> {
    let (workspace, id) = resource(field, name, "profiles")?;
    // Whatever is no id of ours names no profile.
    let profile = ProfileId::parse(id).map_err(|_| Error::NoProfile(id.chars().take(80).collect()))?;
    Ok((workspace, profile))
}

#[tonic::async_trait]
impl SegmentationService for Edge {
    async fn create_segment(&self, request: Request<CreateSegmentRequest>) -> Answer<Segment> {
        let (workspace, ask, retry) = read::create(&request.into_inner())?;
        let saved = self.app.save_segment(&workspace, ask, retry).await?;
        Ok(Response::new(wire::segment(&workspace, saved)))
    }

    async fn get_segment(&self, request: Request<GetSegmentRequest>) -> Answer<Segment> {
        let message = request.into_inner();
        let (workspace, name) = resource("name", &message.name, "segments")?;
        let found = self.app.segment(&workspace, name).await?;
        Ok(Response::new(wire::segment(&workspace, found)))
    }

    async fn list_segments(&self, request: Request<ListSegmentsRequest>) -> Answer<ListSegmentsResponse> {
        let message = request.into_inner();
        let parent = workspace("parent", &message.parent)?;
        let page = Page::<String>::parse(
            message.page_size,
            &message.page_token,
            &["ListSegments", parent.as_str()],
        )?;
        let after = page.after.clone().unwrap_or_default();
        let found = self.app.segments(&parent, &after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.definition.name.clone());
        let segments = found.into_iter().map(|it| wire::segment(&parent, it)).collect();
        Ok(Response::new(ListSegmentsResponse { segments, next_page_token }))
    }

    async fn update_segment(&self, request: Request<UpdateSegmentRequest>) -> Answer<Segment> {
        let (workspace, ask, retry) = read::update(&request.into_inner())?;
        let saved = self.app.save_segment(&workspace, ask, retry).await?;
        Ok(Response::new(wire::segment(&workspace, saved)))
    }

    async fn delete_segment(&self, request: Request<DeleteSegmentRequest>) -> Answer<()> {
        let message = request.into_inner();
        let retry = read::retry("DeleteSegment", &message.request_id, &message)?;
        let (workspace, name) = resource("name", &message.name, "segments")?;
        let etag = read::etag("etag", &message.etag)?;
        self.app.delete_segment(&workspace, name, etag, message.allow_missing, retry).await?;
        Ok(Response::new(()))
    }

    async fn check_membership(
        &self,
        request: Request<CheckMembershipRequest>,
    ) -> Answer<CheckMembershipResponse> {
        let message = request.into_inner();
        let (workspace, segment) = resource("segment", &message.segment, "segments")?;
        let (home, profile) = profile("name", &message.name)?;
        if home != workspace {
            return Err(Error::NoProfile(profile.to_string()).into());
        }
        let as_of = message.as_of.as_ref().map(|it| time::from_wire(it, "as_of")).transpose()?;
        if as_of.is_some() {
            let standing = self.app.check_membership(&workspace, profile, segment, as_of).await?;
            return Ok(Response::new(wire::standing(standing)));
        }
        let looked = self.app.cache.look(&workspace, &[member_key(profile, segment)]).await;
        if let Some(answer) = kept(&looked) {
            return Ok(Response::new(answer));
        }
        let through = self.app.complete_through(profile).await?;
        let standing = self.app.check_membership(&workspace, profile, segment, None).await?;
        let mut answer = wire::standing(standing);
        answer.complete_through = Some(time::to_wire(through));
        self.keep(&looked, &answer).await;
        Ok(Response::new(answer))
    }

    async fn list_members(&self, request: Request<ListMembersRequest>) -> Answer<ListMembersResponse> {
        let message = request.into_inner();
        let (workspace, segment) = resource("parent", &message.parent, "segments")?;
        let page =
            Page::<Uuid>::parse(message.page_size, &message.page_token, &["ListMembers", &message.parent])?;
        let after = page.after.unwrap_or(Uuid::nil());
        let found = self.app.members(&workspace, segment, after, page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |it| it.0.0);
        let members = found.into_iter().map(|it| wire::member(&workspace, it)).collect();
        Ok(Response::new(ListMembersResponse { members, next_page_token }))
    }

    async fn get_stage(&self, request: Request<GetStageRequest>) -> Answer<ProfileStage> {
        let message = request.into_inner();
        let (workspace, profile) = profile("name", &message.name)?;
        let looked = self.app.cache.look(&workspace, &[stage_key(profile)]).await;
        if let Some(answer) = kept(&looked) {
            return Ok(Response::new(answer));
        }
        let through = self.app.complete_through(profile).await?;
        let mut answer = wire::stage(&workspace, self.app.stage(&workspace, profile).await?);
        answer.complete_through = Some(time::to_wire(through));
        // What it was merged into has a place of its own, and news of it do not reach this one.
        if answer.profile == message.name {
            self.keep(&looked, &answer).await;
        }
        Ok(Response::new(answer))
    }

    async fn summarize_stages(
        &self,
        request: Request<SummarizeStagesRequest>,
    ) -> Answer<SummarizeStagesResponse> {
        let workspace = workspace("parent", &request.into_inner().parent)?;
        let counts = self.app.stages(&workspace).await?;
        let profiles = counts.iter().map(|it| it.members).sum();
        let stages =
            counts.into_iter().map(|it| StageSummary { stage: it.stage, members: it.members }).collect();
        Ok(Response::new(SummarizeStagesResponse { stages, profiles }))
    }

    async fn summarize_segments(
        &self,
        request: Request<SummarizeSegmentsRequest>,
    ) -> Answer<SummarizeSegmentsResponse> {
        let workspace = workspace("parent", &request.into_inner().parent)?;
        let counts = self.app.segment_counts(&workspace).await?;
        let profiles = self.app.profiles(&workspace).await?;
        let segment = |it: crate::app::SegmentCount| SegmentSummary {
            segment: format!("{}/segments/{}", workspace.resource(), it.name),
            members: it.members,
            state: wire::state(it.live).into(),
        };
        Ok(Response::new(SummarizeSegmentsResponse {
            segments: counts.into_iter().map(segment).collect(),
            profiles,
        }))
    }
}
