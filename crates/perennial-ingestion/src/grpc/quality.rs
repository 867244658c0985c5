//! The tracking plan, and the mending of what was refused.

use perennial_api::ingestion::v1 as wire;
use perennial_api::ingestion::v1::fix_rejected_events_request::Patch as Asked;
use perennial_api::ingestion::v1::quality_service_server::QualityService;
use perennial_api::ingestion::v1::update_tracking_plan_response::Change;
use perennial_rpc::{Invalid, Page, resource, time, workspace};
use perennial_types::{Workspace, micros};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Edge;
use crate::app::{Patch, Planned};
use crate::store::plans::Kept;
use crate::store::rejected::{Chosen, Rejected};

type Answer<T> = Result<Response<T>, Status>;

/// Most events that are mended or replayed at once.
const AT_ONCE: i32 = 1_000;

#[tonic::async_trait]
impl QualityService for Edge {
    async fn get_tracking_plan(
        &self,
        request: Request<wire::GetTrackingPlanRequest>,
    ) -> Answer<wire::TrackingPlan> {
        let workspace = of_plan("name", &request.into_inner().name)?;
        Ok(Response::new(plan(&workspace, self.app.plan(&workspace).await?)))
    }

    async fn update_tracking_plan(
        &self,
        request: Request<wire::UpdateTrackingPlanRequest>,
    ) -> Answer<wire::UpdateTrackingPlanResponse> {
        let wire::UpdateTrackingPlanRequest { tracking_plan, validate_only } = request.into_inner();
        let wanted = tracking_plan.ok_or_else(|| Invalid::new("tracking_plan", "is missing: set it"))?;
        let workspace = of_plan("tracking_plan.name", &wanted.name)?;
        let Planned { kept, before, events, enforced } =
            self.app.make_plan(&workspace, &wanted.definition, validate_only).await?;
        let change = match before {
            None => Change::Created,
            Some(before) if before == kept.version => Change::Unchanged,
            Some(_) => Change::Updated,
        };
        Ok(Response::new(wire::UpdateTrackingPlanResponse {
            tracking_plan: Some(plan(&workspace, kept)),
            change: change.into(),
            event_count: i32::try_from(events).unwrap_or(i32::MAX),
            enforced_count: i32::try_from(enforced).unwrap_or(i32::MAX),
        }))
    }

    async fn delete_tracking_plan(
        &self,
        request: Request<wire::DeleteTrackingPlanRequest>,
    ) -> Answer<wire::DeleteTrackingPlanResponse> {
        let workspace = of_plan("name", &request.into_inner().name)?;
        self.app.end_plan(&workspace).await?;
        Ok(Response::new(wire::DeleteTrackingPlanResponse {}))
    }

    async fn summarize_plan_violations(
        &self,
        request: Request<wire::SummarizePlanViolationsRequest>,
    ) -> Answer<wire::SummarizePlanViolationsResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let limit = u64::from(perennial_rpc::page_size(message.page_size)?);
        let found = self.app.violations(&workspace, limit).await?.into_iter();
        let violations = found.map(|it| wire::PlanViolation {
            event: it.event,
            field: it.field,
            reason: it.reason,
            count: it.count,
            first_time: Some(time::to_wire(it.first)),
            last_time: Some(time::to_wire(it.last)),
        });
        Ok(Response::new(wire::SummarizePlanViolationsResponse { violations: violations.collect() }))
    }

    async fn summarize_rejections(
        &self,
        request: Request<wire::SummarizeRejectionsRequest>,
    ) -> Answer<wire::SummarizeRejectionsResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let limit = u64::from(perennial_rpc::page_size(message.page_size)?);
        let found = self.app.causes(&workspace, limit).await?.into_iter();
        let causes = found.map(|it| wire::RejectionCause {
            name: cause_name(&workspace, &it.id),
            event: it.event,
            field: it.problem.field,
            reason: it.problem.reason,
            remedy: it.problem.remedy,
            count: it.count,
            fixed_count: it.fixed,
            first_time: Some(time::to_wire(it.first)),
            last_time: Some(time::to_wire(it.last)),
        });
        Ok(Response::new(wire::SummarizeRejectionsResponse { causes: causes.collect() }))
    }

    async fn fix_rejected_events(
        &self,
        request: Request<wire::FixRejectedEventsRequest>,
    ) -> Answer<wire::FixRejectedEventsResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        if message.cause.is_empty() && message.names.is_empty() {
            return Err(Invalid::new("cause", "is missing: name a cause, or the events in names").into());
        }
        let chosen = chosen(&workspace, &message.cause, &message.names)?;
        let patch = match &message.patch {
            None => Patch::TakeBack,
            Some(Asked::JsonPatch(text)) => Patch::operations(text)?,
            Some(Asked::MergePatch(text)) => Patch::merge(text)?,
        };
        let query = ["FixRejectedEvents", message.parent.as_str(), message.cause.as_str()];
        let (events, next_page_token) =
            self.page(&workspace, &chosen, message.page_size, &message.page_token, &query).await?;
        let fixed = self.app.fix(&workspace, events, &patch, message.validate_only).await?;
        let samples = fixed.samples.into_iter().map(|it| wire::Mended {
            name: format!("{}/rejectedEvents/{}", workspace.resource(), it.id),
            body: it.body,
            problem: it.problem.unwrap_or_default(),
        });
        Ok(Response::new(wire::FixRejectedEventsResponse {
            good_count: fixed.good,
            bad_count: fixed.bad,
            skipped_count: fixed.skipped,
            samples: samples.collect(),
            next_page_token,
        }))
    }

    async fn replay_rejected_events(
        &self,
        request: Request<wire::ReplayRejectedEventsRequest>,
    ) -> Answer<wire::ReplayRejectedEventsResponse> {
        let message = request.into_inner();
        let workspace = workspace("parent", &message.parent)?;
        let chosen = chosen(&workspace, &message.cause, &message.names)?;
        let query = ["ReplayRejectedEvents", message.parent.as_str(), message.cause.as_str()];
        let (events, next_page_token) =
            self.page(&workspace, &chosen, message.page_size, &message.page_token, &query).await?;
        let replayed = self.app.replay(&workspace, events).await?;
        Ok(Response::new(wire::ReplayRejectedEventsResponse {
            accepted_count: replayed.accepted,
            duplicate_count: replayed.duplicate,
            rejected_count: replayed.rejected,
            blocked_count: replayed.blocked,
            next_page_token,
        }))
    }
}

impl Edge {
    /// A page of the events that were chosen, and the token of the next.
    async fn page(
        &self,
        workspace: &Workspace,
        chosen: &Chosen,
        size: i32,
        token: &str,
        query: &[&str],
    ) -> Result<(Vec<Rejected>, String), Status> {
        let size = if size == 0 { AT_ONCE } else { size };
        let page = Page::<(i64, Uuid)>::parse(size, token, query)?;
        let found = self.app.waiting(workspace, chosen, page.after, page.limit()).await?;
        Ok(page.cut(found, |it| (micros(it.received), it.id)))
    }
}

fn plan(workspace: &Workspace, kept: Kept) -> wire::TrackingPlan {
    wire::TrackingPlan {
        name: format!("{}/trackingPlan", workspace.resource()),
        definition: kept.definition,
        version: kept.version,
        update_time: Some(time::to_wire(kept.updated)),
    }
}

fn of_plan(field: &str, name: &str) -> Result<Workspace, Invalid> {
    let parent = name.strip_suffix("/trackingPlan");
    let parent = parent
        .ok_or_else(|| Invalid::new(field, "is wrong: use the form workspaces/{workspace}/trackingPlan"))?;
    workspace(field, parent)
}

/// The resource name of a cause; empty for what was refused before causes were kept.
pub fn cause_name(workspace: &Workspace, cause: &str) -> String {
    if cause.is_empty() { String::new() } else { format!("{}/rejectionCauses/{cause}", workspace.resource()) }
}

/// The cause of a resource name; none if the name is empty.
pub fn cause(workspace: &Workspace, name: &str) -> Result<Option<String>, Invalid> {
    if name.is_empty() {
        return Ok(None);
    }
    let (of, id) = resource("cause", name, "rejectionCauses")?;
    if of != *workspace {
        return Err(Invalid::new("cause", "is of another workspace: ask in its own"));
    }
    Ok(Some(id.to_owned()))
}

fn chosen(workspace: &Workspace, cause_name: &str, names: &[String]) -> Result<Chosen, Invalid> {
    if names.is_empty() {
        return Ok(cause(workspace, cause_name)?.map_or(Chosen::All, Chosen::Cause));
    }
    if !cause_name.is_empty() {
        return Err(Invalid::new("names", "are given besides a cause: leave one of the two out"));
    }
    if names.len() > usize::try_from(AT_ONCE).unwrap_or(usize::MAX) {
        return Err(Invalid::new("names", format!("holds {}: name at most {AT_ONCE} at once", names.len())));
    }
    let mut ids = Vec::with_capacity(names.len());
    for (n, name) in names.iter().enumerate() {
        let field = format!("names[{n}]");
        let (of, id) = resource(&field, name, "rejectedEvents")?;
        let id = Uuid::parse_str(id).ok().filter(|_| of == *workspace);
        ids.push(id.ok_or_else(|| Invalid::new(field, "is no rejected event of this workspace: list them"))?);
    }
    Ok(Chosen::Ids(ids))
}
