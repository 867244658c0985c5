//! The service on the wire. The only place that knows tonic.

mod wire;

use std::sync::Arc;

use perennial_api::scoring::v1 as api;
use perennial_api::scoring::v1::scoring_service_server::ScoringService;
use perennial_rpc::{Field, Invalid, Page, request_id, resource, status, workspace};
use perennial_types::{ProfileId, Workspace};
use tonic::{Request, Response, Status};

use crate::app::{App, FitRequest};
use crate::config::kind_of;
use crate::domain::calendar::day_of_text;
use crate::error::Error;

/// Profiles of one request, at most.
const MOST_PROFILES: usize = 1_000;

/// The gRPC edge.
pub struct Edge {
    app: Arc<App>,
}

impl Edge {
    /// The edge of some use cases.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

fn refuse(error: Error) -> Status {
    status(&error)
}

/// The version in `{kind}@{version}` or `{version}`; nothing for `published`.
fn version(id: &str) -> Result<Option<i64>, Invalid> {
    if id == "published" {
        return Ok(None);
    }
    let number = id.rsplit_once('@').map_or(id, |it| it.1);
    let parsed = number.parse::<i64>();
    parsed.map(Some).map_err(|_| "is no model: use the form pareto-nbd@17, or published").field("name")
}

fn profile(field: &str, name: &str) -> Result<(Workspace, ProfileId), Invalid> {
    let (workspace, id) = resource(field, name, "profiles")?;
    Ok((workspace, ProfileId::parse(id).field(field)?))
}

#[tonic::async_trait]
impl ScoringService for Edge {
    async fn fit_model(
        &self,
        request: Request<api::FitModelRequest>,
    ) -> Result<Response<api::Model>, Status> {
        let request = request.into_inner();
        let mut invalid = Invalid::default();
        let workspace = invalid.take(workspace("parent", &request.parent));
        let kind = match request.kind.as_str() {
            "" | "auto" => None,
            name => invalid.take(kind_of(name).field("kind")),
        };
        let cutoff = match request.cutoff_date.as_str() {
            "" => None,
            text => invalid.take(day_of_text(text).field("cutoff_date")),
        };
        let id = invalid.take(request_id(&request.request_id));
        let (Some(workspace), Some(id), ()) = (workspace, id, invalid.into_result()?) else {
            return Err(Invalid::new("parent", "is missing: set it").into());
        };
        let ask = FitRequest { kind, cutoff, publish: request.publish, scheduled: false, id };
        let model = self.app.fit_now(&workspace, ask).await.map_err(refuse)?;
        Ok(Response::new(wire::model(&workspace, &model)))
    }

    async fn list_models(
        &self,
        request: Request<api::ListModelsRequest>,
    ) -> Result<Response<api::ListModelsResponse>, Status> {
        let request = request.into_inner();
        let workspace = workspace("parent", &request.parent)?;
        let query = ["ListModels", workspace.as_str()];
        let page = Page::<i64>::parse(request.page_size, &request.page_token, &query)?;
        let before = page.after.unwrap_or(i64::MAX);
        let models = self.app.models(&workspace, before, page.limit()).await.map_err(refuse)?;
        let (models, next_page_token) = page.cut(models, |it| it.version);
        let models = models.iter().map(|it| wire::model(&workspace, it)).collect();
        Ok(Response::new(api::ListModelsResponse { models, next_page_token }))
    }

    async fn get_model(
        &self,
        request: Request<api::GetModelRequest>,
    ) -> Result<Response<api::Model>, Status> {
        let (workspace, id) = resource("name", &request.get_ref().name, "models")?;
        let model = self.app.model(&workspace, version(id)?).await.map_err(refuse)?;
        Ok(Response::new(wire::model(&workspace, &model)))
    }

    async fn get_score(
        &self,
        request: Request<api::GetScoreRequest>,
    ) -> Result<Response<api::Score>, Status> {
        let (workspace, profile) = profile("name", &request.get_ref().name)?;
        let score = self.app.score(&workspace, profile).await.map_err(refuse)?;
        Ok(Response::new(wire::score(&workspace, &score)))
    }

    async fn batch_get_scores(
        &self,
        request: Request<api::BatchGetScoresRequest>,
    ) -> Result<Response<api::BatchGetScoresResponse>, Status> {
        let request = request.into_inner();
        let workspace = workspace("parent", &request.parent)?;
        let mut invalid = Invalid::default();
        if request.names.len() > MOST_PROFILES {
            invalid.add("names", format!("are {}: ask for at most {MOST_PROFILES}", request.names.len()));
        }
        let mut profiles = Vec::with_capacity(request.names.len().min(MOST_PROFILES));
        for (index, name) in request.names.iter().take(MOST_PROFILES).enumerate() {
            let field = format!("names[{index}]");
            if let Some((of, id)) = invalid.take(profile(&field, name)) {
                if of == workspace {
                    profiles.push(id);
                } else {
                    invalid.add(field, "is of another workspace: ask for one workspace at a time");
                }
            }
        }
        invalid.into_result()?;
        let scores = self.app.scores(&workspace, &profiles).await.map_err(refuse)?;
        let scores = scores.iter().map(|it| wire::score(&workspace, it)).collect();
        Ok(Response::new(api::BatchGetScoresResponse { scores }))
    }

    async fn summarize_scores(
        &self,
        request: Request<api::SummarizeScoresRequest>,
    ) -> Result<Response<api::ScoreSummary>, Status> {
        let workspace = workspace("parent", &request.get_ref().parent)?;
        let summary = self.app.summarize(&workspace).await.map_err(refuse)?;
        Ok(Response::new(wire::summary(summary)))
    }
}
