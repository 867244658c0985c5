//! The edge: requests become values, values become answers. The only file that knows tonic.

use std::sync::Arc;

use perennial_api::campaign::v1 as wire;
use perennial_api::campaign::v1::campaign_service_server::CampaignService;
use perennial_rpc::{Field, Page, page_size, resource, status, time, workspace};
use perennial_types::{ProfileId, Workspace, from_micros};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::app::{App, Change, Reported, Update};
use crate::domain::Lifecycle;
use crate::domain::definition::Campaign;
use crate::domain::stats::{Arm, Effect};
use crate::error::Error;
use crate::store::campaigns::Stored;
use crate::store::decisions::Logged;
use crate::store::pauses::Pause;

/// Serves the campaign service.
pub struct Edge(pub Arc<App>);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        status(&error)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CampaignService for Edge {
    async fn get_campaign(&self, request: Request<wire::GetCampaignRequest>) -> Answer<wire::Campaign> {
        let request = request.into_inner();
        let (workspace, name) = resource("name", &request.name, "campaigns")?;
        let (stored, campaign) = self.0.get(&workspace, name).await?;
        Ok(Response::new(campaign_to_wire(&workspace, stored, &campaign)))
    }

    async fn list_campaigns(
        &self,
        request: Request<wire::ListCampaignsRequest>,
    ) -> Answer<wire::ListCampaignsResponse> {
        let request = request.into_inner();
        let workspace = workspace("parent", &request.parent)?;
        let page = Page::<String>::parse(
            request.page_size,
            &request.page_token,
            &["ListCampaigns", &request.parent],
        )?;
        let after = page.after.clone().unwrap_or_default();
        let rows = self.0.list(&workspace, &after, page.limit()).await?;
        let (rows, next_page_token) = page.cut(rows, |(stored, _)| stored.name.clone());
        let campaigns =
            rows.into_iter().map(|(stored, it)| campaign_to_wire(&workspace, stored, &it)).collect();
        Ok(Response::new(wire::ListCampaignsResponse { campaigns, next_page_token }))
    }

    async fn update_campaign(
        &self,
        request: Request<wire::UpdateCampaignRequest>,
    ) -> Answer<wire::UpdateCampaignResponse> {
        let request = request.into_inner();
        let campaign = request.campaign.field("campaign")?;
        let (workspace, name) = resource("campaign.name", &campaign.name, "campaigns")?;
        let update = Update {
            name,
            definition: &campaign.definition,
            lifecycle: lifecycle(campaign.state()),
            allow_missing: request.allow_missing,
            validate_only: request.validate_only,
        };
        let (stored, definition, change, warnings) = self.0.update(&workspace, update).await?;
        let change = match change {
            Change::Created => wire::update_campaign_response::Change::Created,
            Change::Updated => wire::update_campaign_response::Change::Updated,
            Change::Unchanged => wire::update_campaign_response::Change::Unchanged,
        };
        Ok(Response::new(wire::UpdateCampaignResponse {
            campaign: Some(campaign_to_wire(&workspace, stored, &definition)),
            change: change.into(),
            warnings,
        }))
    }

    async fn enter_existing(
        &self,
        request: Request<wire::EnterExistingRequest>,
    ) -> Answer<wire::EnterExistingResponse> {
        let request = request.into_inner();
        let (workspace, name) = resource("name", &request.name, "campaigns")?;
        let (found, at) =
            self.0.enter_existing(&workspace, name, &request.definition, request.validate_only).await?;
        Ok(Response::new(wire::EnterExistingResponse {
            as_of_time: Some(time::to_wire(at)),
            profiles: found.profiles,
            matching: found.matching,
            entering: found.entering,
            held_out: found.held_out,
            inside: found.inside,
            entered_before: found.entered_before,
            not_entitled: found.not_entitled,
        }))
    }

    async fn pause_workspace(
        &self,
        request: Request<wire::PauseWorkspaceRequest>,
    ) -> Answer<wire::WorkspacePause> {
        let request = request.into_inner();
        let workspace = workspace("parent", &request.parent)?;
        let reason: String = request.reason.chars().take(500).collect();
        Ok(Response::new(self.0.pause(&workspace, true, &reason).await?.into()))
    }

    async fn resume_workspace(
        &self,
        request: Request<wire::ResumeWorkspaceRequest>,
    ) -> Answer<wire::WorkspacePause> {
        let workspace = workspace("parent", &request.into_inner().parent)?;
        Ok(Response::new(self.0.pause(&workspace, false, "").await?.into()))
    }

    async fn get_workspace_pause(
        &self,
        request: Request<wire::GetWorkspacePauseRequest>,
    ) -> Answer<wire::WorkspacePause> {
        let workspace = workspace("parent", &request.into_inner().parent)?;
        Ok(Response::new(self.0.pause_of(&workspace).await?.into()))
    }

    async fn explain_decision(
        &self,
        request: Request<wire::ExplainDecisionRequest>,
    ) -> Answer<wire::ExplainDecisionResponse> {
        let request = request.into_inner();
        let (workspace, profile) = resource("profile", &request.profile, "profiles")?;
        let profile =
            ProfileId::parse(profile).map_err(|error| format!("is wrong: {error}")).field("profile")?;
        let limit = match request.page_size {
            0 => 100,
            size => page_size(size)?,
        };
        let rows = self.0.explain(&workspace, profile, &request.campaign, limit).await?;
        let entries = rows.into_iter().map(|it| decision(&workspace, it)).collect();
        Ok(Response::new(wire::ExplainDecisionResponse { entries }))
    }

    async fn list_decisions(
        &self,
        request: Request<wire::ListDecisionsRequest>,
    ) -> Answer<wire::ListDecisionsResponse> {
        let request = request.into_inner();
        let workspace = workspace("parent", &request.parent)?;
        let query = ["ListDecisions", &request.parent, &request.campaign, &request.outcome];
        let page = Page::<(i64, Uuid)>::parse(request.page_size, &request.page_token, &query)?;
        let rows = self
            .0
            .decisions(&workspace, &request.campaign, &request.outcome, page.after, page.limit())
            .await?;
        let (rows, next_page_token) = page.cut(rows, |it| (it.at, it.id));
        let decisions = rows.into_iter().map(|it| decision(&workspace, it)).collect();
        Ok(Response::new(wire::ListDecisionsResponse { decisions, next_page_token }))
    }

    async fn get_campaign_report(
        &self,
        request: Request<wire::GetCampaignReportRequest>,
    ) -> Answer<wire::CampaignReport> {
        let request = request.into_inner();
        let (workspace, name) = resource("name", &request.name, "campaigns")?;
        let found = self.0.report(&workspace, name).await?;
        Ok(Response::new(report(request.name.clone(), found)))
    }
}

fn lifecycle(state: wire::campaign::State) -> Option<Lifecycle> {
    match state {
        wire::campaign::State::Unspecified => None,
        wire::campaign::State::Draft => Some(Lifecycle::Draft),
        wire::campaign::State::Live => Some(Lifecycle::Live),
        wire::campaign::State::Paused => Some(Lifecycle::Paused),
        wire::campaign::State::Stopped => Some(Lifecycle::Stopped),
    }
}

fn campaign_to_wire(workspace: &Workspace, stored: Stored, campaign: &Campaign) -> wire::Campaign {
    let state = match stored.lifecycle {
        Lifecycle::Draft => wire::campaign::State::Draft,
        Lifecycle::Live => wire::campaign::State::Live,
        Lifecycle::Paused => wire::campaign::State::Paused,
        Lifecycle::Stopped => wire::campaign::State::Stopped,
    };
    wire::Campaign {
        name: format!("{}/campaigns/{}", workspace.resource(), stored.name),
        definition: stored.definition,
        state: state.into(),
        version: stored.version,
        description: campaign.description.clone(),
        create_time: Some(time::to_wire(stored.created)),
        update_time: Some(time::to_wire(stored.updated)),
    }
}

impl From<Pause> for wire::WorkspacePause {
    fn from(it: Pause) -> Self {
        Self { paused: it.paused, reason: it.reason, update_time: it.updated.map(time::to_wire) }
    }
}

fn decision(workspace: &Workspace, it: Logged) -> wire::Decision {
    wire::Decision {
        decision_id: it.id.to_string(),
        profile: format!("{}/profiles/{}", workspace.resource(), it.profile),
        campaign: it.campaign,
        version: it.version,
        occurrence: it.occurrence,
        step: it.step,
        decide_time: Some(time::to_wire(from_micros(it.at))),
        outcome: it.outcome,
        reasons: it.reasons.into_iter().map(|it| wire::Reason { code: it.code, text: it.text }).collect(),
        runner_up: it.runner_up,
        priority: it.priority,
        runner_up_priority: it.runner_up_priority,
        delivery: it.delivery,
        delivery_reason: it.delivery_reason,
    }
}

fn report(name: String, found: Reported) -> wire::CampaignReport {
    let Reported { treated, held_out, open, sent, report, at } = found;
    wire::CampaignReport {
        name,
        as_of_time: Some(time::to_wire(at)),
        treated: Some(arm(&treated)),
        held_out: Some(arm(&held_out)),
        open,
        conversions: Some(effect(report.conversions)),
        revenue: Some(effect(report.revenue)),
        profit: Some(effect(report.profit)),
        roi: report.roi,
        sent,
        sample_ratio_alarm: report.ratio_alarm,
        sample_ratio_p_value: report.ratio_p_value,
        verdict: report.verdict.to_owned(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums of whole numbers that fit; a cast from a double saturates"
)]
fn arm(arm: &Arm) -> wire::ArmReport {
    wire::ArmReport {
        customers: arm.profit.n as u64,
        conversions: arm.conversions.y as u64,
        revenue_minor: arm.revenue.y as i64,
        profit_minor: arm.profit.y as i64,
        incentive_minor: arm.incentive as i64,
    }
}

fn effect(it: Effect) -> wire::Effect {
    wire::Effect {
        estimate: it.estimate,
        low: it.low,
        high: it.high,
        proven: it.proven,
        per_customer: it.per_customer,
        variance_reduction: it.reduction,
    }
}
