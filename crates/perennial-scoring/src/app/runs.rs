//! Fits and backtests that go on after the call that began them: progress for whoever asks, and a way to stop them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::SignedDuration;
use perennial_store::{Store, StoreError};
use perennial_types::{Timestamp, Workspace, new_id};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::App;
use super::fitting::{FitRequest, Watch};
use super::looking_back::{TestRequest, Tested};
use crate::domain::fit::Step;
use crate::domain::model::Registered;
use crate::error::{Error, Result};
use crate::store::{self, Run, RunState, Task};

/// What has not been heard of for so long, in hours, died with its process.
const SILENCE: i64 = 1;

/// Results of backtests are kept for so long, in hours.
const KEPT: i64 = 7 * 24;

/// How the result of a backtest is written down.
pub type Render = fn(&Tested) -> Vec<u8>;

/// A fit or a backtest that somebody asked for.
#[derive(Debug)]
pub struct Job {
    workspace: Workspace,
    id: Uuid,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Fit(FitRequest),
    Backtest(TestRequest, Render),
}

/// How it ended: the state, the model it registered, why it failed, and what it found.
type End = (RunState, Option<i64>, String, Option<Vec<u8>>);

/// Does what is asked for, one after the other: each holds all purchase days of a workspace in memory.
pub struct Runner {
    app: Arc<App>,
    jobs: UnboundedReceiver<Job>,
}

impl Runner {
    /// A runner of some jobs.
    #[must_use]
    pub fn new(app: Arc<App>, jobs: UnboundedReceiver<Job>) -> Self {
        Self { app, jobs }
    }

    /// Works until it is told to stop; what is under way then is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                job = self.jobs.recv() => match job {
                    Some(job) => self.app.run(job, &stop).await,
                    None => return,
                },
            }
        }
    }
}

/// A fit with the model it registered.
pub type Standing = (Run, Option<Registered>);

impl App {
    /// Begins a fit and answers at once.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn start_fit(&self, workspace: &Workspace, request: FitRequest) -> Result<Standing> {
        Ok((self.start(workspace, Task::Fit, Work::Fit(request)).await?, None))
    }

    /// Begins a backtest and answers at once.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn start_backtest(
        &self,
        workspace: &Workspace,
        request: TestRequest,
        render: Render,
    ) -> Result<Run> {
        self.start(workspace, Task::Backtest, Work::Backtest(request, render)).await
    }

    async fn start(&self, workspace: &Workspace, task: Task, work: Work) -> Result<Run> {
        let now = self.clock.now();
        let run = Run {
            task,
            id: new_id(now),
            created_at: now,
            updated_at: now,
            state: RunState::Running,
            done: 0,
            total: 0,
            phase: "taking in the latest orders".to_owned(),
            version: None,
            result: None,
            error: String::new(),
        };
        let tx = self.store.write().await?;
        if task == Task::Backtest
            && let Ok(before) = now.checked_sub(SignedDuration::from_hours(KEPT))
        {
            store::forget(&tx, workspace, task, before).await?;
        }
        store::begin(&tx, workspace, &run).await?;
        Store::commit(tx).await?;
        // The runner lives as long as the service; after that nobody waits.
        let _ = self.jobs.send(Job { workspace: workspace.clone(), id: run.id, work });
        Ok(run)
    }

    /// Does one job to its end.
    async fn run(&self, job: Job, stop: &CancellationToken) {
        let Job { workspace, id, work } = job;
        let watch = self.watch(&workspace, id, stop.clone());
        let result = match work {
            Work::Fit(request) => {
                let found = self.fit_now(&workspace, request, watch).await;
                found.map(|model| (RunState::Done, Some(model.version), String::new(), None))
            }
            Work::Backtest(request, render) => {
                let found = self.backtest(&workspace, request, watch).await;
                found.map(|found| (RunState::Done, None, String::new(), Some(render(&found))))
            }
        };
        let end = result.unwrap_or_else(|error| match error {
            Error::Cancelled | Error::TestCancelled => (RunState::Cancelled, None, error.to_string(), None),
            error => (RunState::Failed, None, error.to_string(), None),
        });
        if let Err(error) = self.end(&workspace, id, end).await {
            warn!(%workspace, fit = %id, error = %perennial_rpc::Chain(&error), "the end of a fit cannot be noted");
        }
    }

    /// Notes each step of a fit in the database, and looks there whether somebody wants it to stop; the end of the service
    /// stops it, too.
    fn watch(&self, workspace: &Workspace, id: Uuid, stop: CancellationToken) -> Watch {
        let (store, clock, workspace) = (self.store.clone(), self.clock.clone(), workspace.clone());
        let (handle, stopped) = (Handle::current(), AtomicBool::new(false));
        Box::new(move |step: Step| {
            // Once it was told to stop it stays told.
            if stop.is_cancelled() || stopped.load(Ordering::Relaxed) {
                return true;
            }
            let noted = handle.block_on(note(&store, &workspace, id, clock.now(), step));
            let told = noted.unwrap_or_else(|error| {
                warn!(%workspace, fit = %id, error = %perennial_rpc::Chain(&error), "a step of a fit cannot be noted");
                false
            });
            stopped.store(told, Ordering::Relaxed);
            told
        })
    }

    async fn end(&self, workspace: &Workspace, id: Uuid, end: End) -> Result<()> {
        let (state, version, error, result) = end;
        let tx = self.store.write().await?;
        store::finish(&tx, workspace, id, self.clock.now(), (state, version, &error), result).await?;
        Store::commit(tx).await?;
        Ok(())
    }

    /// Notes a fit on schedule that registered nothing, so that people are told.
    pub(crate) async fn note_failure(
        &self,
        workspace: &Workspace,
        at: Timestamp,
        error: &Error,
    ) -> Result<()> {
        let run = Run {
            task: Task::Fit,
            id: new_id(at),
            created_at: at,
            updated_at: at,
            state: RunState::Failed,
            done: 0,
            total: 0,
            phase: String::new(),
            version: None,
            result: None,
            error: error.to_string(),
        };
        let tx = self.store.write().await?;
        store::begin(&tx, workspace, &run).await?;
        Store::commit(tx).await?;
        Ok(())
    }

    /// Where a fit stands.
    ///
    /// # Errors
    /// If there is none by that id.
    pub async fn fit_standing(&self, workspace: &Workspace, id: Uuid) -> Result<Standing> {
        let name = || Error::NoFit(format!("{}/fits/{id}", workspace.resource()));
        let run = self.standing(workspace, (Task::Fit, id)).await?.ok_or_else(name)?;
        let model = match run.version {
            Some(version) => store::model(self.store.read(), workspace, version).await?,
            None => None,
        };
        Ok((run, model))
    }

    /// Where a backtest stands.
    ///
    /// # Errors
    /// If there is none by that id.
    pub async fn backtest_standing(&self, workspace: &Workspace, id: Uuid) -> Result<Run> {
        let name = || Error::NoBacktest(format!("{}/backtests/{id}", workspace.resource()));
        self.standing(workspace, (Task::Backtest, id)).await?.ok_or_else(name)
    }

    async fn standing(&self, workspace: &Workspace, key: (Task, Uuid)) -> Result<Option<Run>> {
        let Some(mut run) = store::run(self.store.read(), workspace, key).await? else { return Ok(None) };
        let heard = run.updated_at.checked_add(SignedDuration::from_hours(SILENCE)).unwrap_or(Timestamp::MAX);
        if run.state == RunState::Running && heard < self.clock.now() {
            run.state = RunState::Failed;
            run.error = "the process that ran it stopped: start it again".to_owned();
        }
        Ok(Some(run))
    }

    /// Asks a fit to stop before its next step.
    ///
    /// # Errors
    /// If there is none by that id.
    pub async fn cancel_fit(&self, workspace: &Workspace, id: Uuid) -> Result<Standing> {
        self.cancel(workspace, (Task::Fit, id)).await?;
        self.fit_standing(workspace, id).await
    }

    /// Asks a backtest to stop before its next step.
    ///
    /// # Errors
    /// If there is none by that id.
    pub async fn cancel_backtest(&self, workspace: &Workspace, id: Uuid) -> Result<Run> {
        self.cancel(workspace, (Task::Backtest, id)).await?;
        self.backtest_standing(workspace, id).await
    }

    async fn cancel(&self, workspace: &Workspace, key: (Task, Uuid)) -> Result<()> {
        let tx = self.store.write().await?;
        store::cancel(&tx, workspace, key).await?;
        Store::commit(tx).await?;
        Ok(())
    }

    /// What became of the latest fit, if nothing came of it since the model in force was published.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn failed_fit(&self, workspace: &Workspace) -> Result<Option<(Timestamp, String)>> {
        let db = self.store.read();
        let Some(serving) = store::latest(db, workspace).await? else { return Ok(None) };
        let since = serving.published_at.unwrap_or(serving.created_at);
        let failed = store::failure_after(db, workspace, since).await?.map(|it| (it.updated_at, it.error));
        let refused = store::refused_after(db, workspace, serving.version).await?;
        let refused = refused.map(|it| (it.created_at, format!("{} was refused: {}", it.label(), it.reason)));
        Ok(failed.into_iter().chain(refused).max_by_key(|it| it.0))
    }
}

async fn note(
    store: &Store,
    workspace: &Workspace,
    id: Uuid,
    at: Timestamp,
    step: Step,
) -> std::result::Result<bool, StoreError> {
    let count = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
    let tx = store.write().await?;
    let stop = store::step(&tx, workspace, id, at, (count(step.done), count(step.total), step.phase)).await?;
    Store::commit(tx).await?;
    Ok(stop)
}
