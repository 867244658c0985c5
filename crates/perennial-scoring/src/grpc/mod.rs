//! The service on the wire. The only place that knows tonic.

mod reports;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use perennial_api::scoring::v1 as api;
use perennial_api::scoring::v1::scoring_service_server::ScoringService;
use perennial_cache::Cache;
use perennial_rpc::{Field, Invalid, Page, request_id, resource, status, time, workspace};
use perennial_types::{ProfileId, Timestamp, Workspace};
use prost::Message;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::app::{App, FitRequest, TestRequest, Tested, unknown};
use crate::config::{candidate_of, kind_of};
use crate::domain::calendar::day_of_text;
use crate::domain::refine::Candidate;
use crate::error::Error;

/// Profiles of one request, at most.
const MOST_PROFILES: usize = 1_000;

/// Days a backtest forecasts, at most: ten years.
const MOST_HORIZON: i32 = 3_660;

/// How long a score is kept: the day it is of ends before.
const KEPT: Duration = Duration::from_secs(86_400);

/// The gRPC edge.
pub struct Edge {
    app: Arc<App>,
    cache: Cache,
}

impl Edge {
    /// The edge of some use cases.
    #[must_use]
    pub fn new(app: Arc<App>, cache: Cache) -> Self {
        Self { app, cache }
    }

    /// Scores of some profiles: kept ones where nothing they depend on has changed, each as of the instant it was worked
    /// out, on the same day; those of the past are worked out anew.
    async fn scored(
        &self,
        workspace: &Workspace,
        profiles: &[ProfileId],
        as_of: Option<Timestamp>,
    ) -> Result<Vec<api::Score>, Error> {
        let mut known = self.app.known(workspace, profiles, as_of).await?;
        if as_of.is_some() {
            let scores = self.app.judge(known).await?;
            return Ok(scores.iter().map(|it| wire::score(workspace, it)).collect());
        }
        let keys = self.app.prints(&known);
        let kept = self.cache.get_many(workspace, &keys).await;
        let mut scores: Vec<Option<api::Score>> =
            kept.into_iter().map(|it| api::Score::decode(it?).ok()).collect();
        let missing: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].is_none()).collect();
        known.retain(|i| scores[i].is_none());
        let fresh = self.app.judge(known).await?;
        let mut puts = Vec::with_capacity(fresh.len());
        for (i, score) in missing.into_iter().zip(&fresh) {
            let score = wire::score(workspace, score);
            puts.push(self.cache.put(workspace, &keys[i], score.encode_to_vec(), KEPT));
            scores[i] = Some(score);
        }
        futures::future::join_all(puts).await;
        Ok(scores.into_iter().flatten().collect())
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

/// Reads what to fit.
fn fit_request(request: api::FitModelRequest) -> Result<(Workspace, FitRequest), Status> {
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
    let refine = match request.grouping.as_str() {
        "" => None,
        "none" => Some(Vec::new()),
        "auto" => Some(Candidate::all()),
        name => invalid.take(candidate_of(name).field("grouping")).map(|it| vec![it]),
    };
    let id = invalid.take(request_id(&request.request_id));
    let (Some(workspace), Some(id), ()) = (workspace, id, invalid.into_result()?) else {
        return Err(Invalid::new("parent", "is missing: set it").into());
    };
    let publish = request.publish;
    let ask =
        FitRequest { kind, cutoff, publish, scheduled: false, refine, keeps: false, occasion: None, id };
    Ok((workspace, ask))
}

/// Reads the name of a fit.
fn fit_name(name: &str) -> Result<(Workspace, Uuid), Status> {
    let (workspace, id) = resource("name", name, "fits")?;
    let id = Uuid::parse_str(id)
        .map_err(|_| Invalid::new("name", "is no fit: use the name that StartFit answered"))?;
    Ok((workspace, id))
}

/// Reads the name of a backtest.
fn backtest_name(name: &str) -> Result<(Workspace, Uuid), Status> {
    let (workspace, id) = resource("name", name, "backtests")?;
    let id = Uuid::parse_str(id)
        .map_err(|_| Invalid::new("name", "is no backtest: use the name that StartBacktest answered"))?;
    Ok((workspace, id))
}

/// Reads what to test.
fn test_request(request: &api::BacktestRequest) -> Result<(Workspace, TestRequest), Status> {
    let mut invalid = Invalid::default();
    let workspace = invalid.take(workspace("parent", &request.parent));
    let cutoff = invalid.take(day_of_text(&request.cutoff_date).field("cutoff_date"));
    let horizon = request.horizon_days;
    if !(1..=MOST_HORIZON).contains(&horizon) {
        invalid.add("horizon_days", format!("is {horizon}: forecast between 1 and {MOST_HORIZON} days"));
    }
    let (Some(workspace), Some(cutoff), ()) = (workspace, cutoff, invalid.into_result()?) else {
        return Err(Invalid::new("parent", "is missing: set it").into());
    };
    Ok((workspace, TestRequest { cutoff, horizon }))
}

/// Reads the instant of a score; none for now.
fn as_of(time: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    let Some(time) = time else { return Ok(None) };
    Ok(Some(time::required(Some(time), "as_of_time")?))
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
        let (workspace, ask) = fit_request(request.into_inner())?;
        let model = self.app.fit_now(&workspace, ask, Box::new(|_| false)).await.map_err(refuse)?;
        Ok(Response::new(wire::model(&workspace, &model)))
    }

    async fn start_fit(
        &self,
        request: Request<api::StartFitRequest>,
    ) -> Result<Response<api::FitOperation>, Status> {
        let fit = request.into_inner().fit;
        let (workspace, ask) = fit_request(fit.ok_or_else(|| Invalid::new("fit", "is missing: set it"))?)?;
        let standing = self.app.start_fit(&workspace, ask).await.map_err(refuse)?;
        Ok(Response::new(reports::operation(&workspace, &standing)))
    }

    async fn get_fit(
        &self,
        request: Request<api::GetFitRequest>,
    ) -> Result<Response<api::FitOperation>, Status> {
        let (workspace, id) = fit_name(&request.get_ref().name)?;
        let standing = self.app.fit_standing(&workspace, id).await.map_err(refuse)?;
        Ok(Response::new(reports::operation(&workspace, &standing)))
    }

    async fn cancel_fit(
        &self,
        request: Request<api::CancelFitRequest>,
    ) -> Result<Response<api::FitOperation>, Status> {
        let (workspace, id) = fit_name(&request.get_ref().name)?;
        let standing = self.app.cancel_fit(&workspace, id).await.map_err(refuse)?;
        Ok(Response::new(reports::operation(&workspace, &standing)))
    }

    async fn backtest(
        &self,
        request: Request<api::BacktestRequest>,
    ) -> Result<Response<api::BacktestResponse>, Status> {
        let (workspace, ask) = test_request(request.get_ref())?;
        let found = self.app.backtest(&workspace, ask, Box::new(|_| false)).await.map_err(refuse)?;
        Ok(Response::new(reports::backtest(&found)))
    }

    async fn start_backtest(
        &self,
        request: Request<api::StartBacktestRequest>,
    ) -> Result<Response<api::BacktestOperation>, Status> {
        let asked = request.into_inner().backtest;
        let asked = asked.ok_or_else(|| Invalid::new("backtest", "is missing: set it"))?;
        let (workspace, ask) = test_request(&asked)?;
        let render = |it: &Tested| reports::backtest(it).encode_to_vec();
        let run = self.app.start_backtest(&workspace, ask, render).await.map_err(refuse)?;
        Ok(Response::new(reports::testing(&workspace, &run)))
    }

    async fn get_backtest(
        &self,
        request: Request<api::GetBacktestRequest>,
    ) -> Result<Response<api::BacktestOperation>, Status> {
        let (workspace, id) = backtest_name(&request.get_ref().name)?;
        let run = self.app.backtest_standing(&workspace, id).await.map_err(refuse)?;
        Ok(Response::new(reports::testing(&workspace, &run)))
    }

    async fn cancel_backtest(
        &self,
        request: Request<api::CancelBacktestRequest>,
    ) -> Result<Response<api::BacktestOperation>, Status> {
        let (workspace, id) = backtest_name(&request.get_ref().name)?;
        let run = self.app.cancel_backtest(&workspace, id).await.map_err(refuse)?;
        Ok(Response::new(reports::testing(&workspace, &run)))
    }

    async fn get_drift(
        &self,
        request: Request<api::GetDriftRequest>,
    ) -> Result<Response<api::Drift>, Status> {
        let workspace = workspace("parent", &request.get_ref().parent)?;
        let found = self.app.drift(&workspace).await.map_err(refuse)?;
        Ok(Response::new(reports::drift(&found)))
    }

    async fn explain_score(
        &self,
        request: Request<api::ExplainScoreRequest>,
    ) -> Result<Response<api::ScoreExplanation>, Status> {
        let request = request.get_ref();
        let (workspace, profile) = profile("name", &request.name)?;
        let at = as_of(request.as_of_time.as_ref())?;
        let found = self.app.explain(&workspace, profile, at).await.map_err(refuse)?;
        Ok(Response::new(reports::explanation(&workspace, &found)))
    }

    type ExportScoresStream = BoxStream<'static, Result<api::ExportScoresResponse, Status>>;

    async fn export_scores(
        &self,
        request: Request<api::ExportScoresRequest>,
    ) -> Result<Response<Self::ExportScoresStream>, Status> {
        let request = request.into_inner();
        let workspace = workspace("parent", &request.parent)?;
        let at = as_of(request.as_of_time.as_ref())?;
        let app = self.app.clone();
        let pages = futures::stream::try_unfold(Some(ProfileId(Uuid::nil())), move |after| {
            let (app, workspace) = (app.clone(), workspace.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let profiles = app.profiles_after(&workspace, after).await.map_err(refuse)?;
                let scores = app.scores(&workspace, &profiles, at).await.map_err(refuse)?;
                // Who had not ordered by then had no score.
                let scores = scores.iter().filter(|it| it.figures.orders > 0);
                let scores = scores.map(|it| wire::score(&workspace, it)).collect();
                let next = profiles.last().copied();
                Ok::<_, Status>(next.map(|next| (api::ExportScoresResponse { scores }, Some(next))))
            }
        });
        Ok(Response::new(pages.boxed()))
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
        let at = as_of(request.get_ref().as_of_time.as_ref())?;
        let score = self.scored(&workspace, &[profile], at).await.map_err(refuse)?.pop();
        score.map(Response::new).ok_or_else(|| refuse(unknown(&workspace, profile)))
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
        let scores = self.scored(&workspace, &profiles, None).await.map_err(refuse)?;
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
