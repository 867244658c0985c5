//! Fitting a model, registering it, and publishing it with everybody's new scores.

use std::sync::Arc;
use std::time::Instant;

use perennial_clv::Kind;
use perennial_store::{Backend, Store, StoreError};
use perennial_types::{Timestamp, Workspace};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::App;
use crate::config::Settings;
use crate::domain::edges::{Edges, fifths, shares};
use crate::domain::fit::{self, Ask, Outcome, Step, Unfit};
use crate::domain::ledger::Ledger;
use crate::domain::model::{InForce, Registered, Status};
use crate::domain::refine::{Candidate, Wish};
use crate::domain::score::Judge;
use crate::error::{Error, Result};
use crate::store::{self, Asked};
use crate::worker::PUBLISH;
use crate::{domain::model::Finding, metrics};

/// What to fit.
#[derive(Clone, Debug)]
pub struct FitRequest {
    /// The kind; none lets a hold-out choose.
    pub kind: Option<Kind>,
    /// The last day whose orders count; none for the day of the fit.
    pub cutoff: Option<i32>,
    /// Publish it if it passes.
    pub publish: bool,
    /// On schedule: the search starts at the model in force, and where no model ever passed, what can be counted is
    /// published.
    pub scheduled: bool,
    /// What may make it finer: none for what the settings say if kinds compete, else nothing.
    pub refine: Option<Vec<Candidate>>,
    /// Learn again what won before, without trial.
    pub keeps: bool,
    /// Why it is fitted, for people to read with the model.
    pub occasion: Option<String>,
    /// The idempotency key.
    pub id: Option<Uuid>,
}

/// Hears of each step of a fit, and may end it by answering `true`.
pub type Watch = Box<dyn FnMut(Step) -> bool + Send>;

/// A registered model, and who hears when everybody is re-scored by it.
pub type Fitted = (Registered, Vec<oneshot::Receiver<()>>);

struct Found {
    outcome: std::result::Result<Outcome, Unfit>,
    counted: Finding,
    ledger: Ledger,
}

impl App {
    /// Fits a model at the present instant and waits until it serves, if it is published.
    ///
    /// # Errors
    /// If there is nothing to learn from, or the database refuses.
    pub async fn fit_now(
        &self,
        workspace: &Workspace,
        request: FitRequest,
        watch: Watch,
    ) -> Result<Registered> {
        let now = self.clock.now();
        self.catch_up(now).await?;
        let (model, heard) = self.fit(workspace, request, now, watch).await?;
        for it in heard {
            // A reader that stops does not take the published model back.
            let _ = it.await;
        }
        Ok(model)
    }

    /// Fits a model as of an instant through which the scores are complete.
    ///
    /// # Errors
    /// As [`App::fit_now`].
    pub async fn fit(
        &self,
        workspace: &Workspace,
        request: FitRequest,
        at: Timestamp,
        watch: Watch,
    ) -> Result<Fitted> {
        let _one_at_a_time = self.fitting.lock().await;
        let asked = Asked {
            id: request.id,
            body: format!(
                "{:?} {:?} {}{}",
                request.kind.map(|it| it.to_string()),
                request.cutoff,
                request.publish,
                request.refine.as_ref().map(|it| format!(" {it:?}")).unwrap_or_default()
            ),
        };
        if let Some(id) = asked.id
            && let Some((model, body)) = store::by_request(self.store.read(), workspace, id).await?
        {
            return if body == asked.body { Ok((model, Vec::new())) } else { Err(Error::RequestReused(id)) };
        }
        let began = Instant::now();
        let result = self.fit_and_register(workspace, &request, asked, at, watch).await;
        let outcome = match &result {
            Ok((model, _)) => model.status.as_str(),
            Err(_) => "failed",
        };
        metrics::fitted(outcome, began.elapsed());
        result
    }

    async fn fit_and_register(
        &self,
        workspace: &Workspace,
        request: &FitRequest,
        asked: Asked,
        at: Timestamp,
        watch: Watch,
    ) -> Result<Fitted> {
        let db = self.store.read();
        let currency = store::currency(db, workspace).await?;
        let currency = currency.ok_or_else(|| Error::NoOrders(workspace.to_string()))?;
        let in_force = store::latest(db, workspace).await?;
        let start = in_force.as_ref().and_then(|it| {
            let serves = it.finding.model_kind().filter(|kind| request.kind == Some(*kind));
            serves.and_then(|_| Some(it.finding.fitted.as_ref()?.orders.model))
        });
        let today = self.settings.calendar.day(at);
        let ask = Ask {
            kind: request.kind,
            cutoff: request.cutoff.unwrap_or(today),
            currency,
            // A refit of the same kind starts at yesterday's optimum; where kinds compete, and on demand, it is looked for
            // from scratch.
            start: start.filter(|_| request.scheduled),
            at,
            wish: self.wish(request, in_force.as_ref()),
        };
        let ledger = store::ledger(db, workspace, today.max(ask.cutoff)).await?;
        if ledger.is_empty() {
            return Err(Error::NoOrders(workspace.to_string()));
        }
        let found = blocking(move || {
            let counted = fit::empirical(&ledger, ask.cutoff, ask.currency);
            Found { outcome: fit::run(&ledger, &ask, watch), counted, ledger }
        })
        .await?;

        let mut model = Registered {
            version: 0,
            status: Status::Candidate,
            reason: String::new(),
            created_at: at,
            published_at: None,
            finding: found.counted,
        };
        // What can be counted is better than nothing, and says why there is no more; as long as there is no more it is
        // counted anew, so that nobody is measured by the customers of the first day.
        let counts = request.scheduled && in_force.as_ref().is_none_or(|it| it.finding.fitted.is_none());
        match found.outcome {
            Ok(Outcome { finding, objection: None }) if request.publish => {
                model.status = Status::Published;
                model.finding = finding;
            }
            Ok(Outcome { objection: Some(reason), .. }) if counts => {
                model.status = Status::Published;
                model.reason = reason;
            }
            Err(Unfit::Fit(error)) if counts => {
                model.status = Status::Published;
                model.reason = error.to_string();
            }
            Ok(Outcome { finding, objection }) => {
                model.status = if request.publish { Status::Refused } else { Status::Candidate };
                model.reason = objection.unwrap_or_default();
                model.finding = finding;
            }
            Err(Unfit::Fit(error)) => return Err(error.into()),
            Err(Unfit::Cancelled) => return Err(Error::Cancelled),
        }
        model.finding.notes.extend(request.occasion.clone());
        if let Some(it) = &in_force
            && model.finding.chosen_at == 0
            && model.finding.kind() == it.finding.kind()
        {
            model.finding.chosen_at = it.finding.chosen_at;
        }
        if model.status != Status::Published {
            return Ok((self.register(workspace, model, Edges::default(), &asked).await?, Vec::new()));
        }
        model.published_at = Some(at);
        let [recency, frequency, monetary] = store::rfm_values(db, workspace).await?;
        let (settings, ledger, candidate) = (self.settings.clone(), found.ledger, model.clone());
        let edges = blocking(move || Edges {
            clv: clv_edges(&settings, &ledger, candidate, today),
            recency: fifths(recency),
            frequency: fifths(frequency),
            monetary: fifths(monetary),
        })
        .await?;
        let model = self.register(workspace, model, edges, &asked).await?;
        Ok((model, self.reader.errand_started(PUBLISH)))
    }

    /// What may make a model finer.
    fn wish(&self, request: &FitRequest, in_force: Option<&Registered>) -> Wish {
        let kept = in_force.and_then(|it| it.finding.refined.clone());
        match &request.refine {
            Some(asked) if asked.is_empty() => Wish::Plain,
            Some(asked) => Wish::Compete(asked.clone()),
            None if request.keeps => kept.map_or(Wish::Plain, |it| Wish::Keep(Box::new(it))),
            None if request.kind.is_none() || request.scheduled => {
                Wish::Compete(self.settings.refine.clone())
            }
            None => Wish::Plain,
        }
    }

    /// Writes the model under the next version; a published one sends everybody to be scored anew.
    async fn register(
        &self,
        workspace: &Workspace,
        mut model: Registered,
        edges: Edges,
        asked: &Asked,
    ) -> Result<Registered> {
        let tx = self.store.write().await?;
        model.version = store::newest_version(&tx, workspace).await? + 1;
        let written = store::register(&tx, workspace, &model, &edges, asked).await;
        if let Err(error) = written {
            let taken = Backend::of(&tx) == Backend::Postgres && is_taken(&error);
            return Err(if taken { Error::Conflict } else { error.into() });
        }
        if let Some(at) = model.published_at {
            self.reader.start_errand(&tx, workspace, PUBLISH, at).await?;
        }
        Store::commit(tx).await?;
        Ok(model)
    }
}

fn is_taken(error: &StoreError) -> bool {
    let StoreError::Database { source, .. } = error else { return false };
    source.to_string().contains("duplicate key")
}

/// Every customer's CLV under the new model, sorted.
fn clv_edges(settings: &Arc<Settings>, ledger: &Ledger, model: Registered, today: i32) -> Vec<(i64, f64)> {
    let force = InForce::new(model, Edges::default());
    let judge = Judge { rules: &settings.rules, calendar: &settings.calendar, force: Some(&force) };
    shares(ledger.people().filter_map(|it| judge.clv(it.days, it.seen.as_ref(), today)).collect())
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Calculation)
}
