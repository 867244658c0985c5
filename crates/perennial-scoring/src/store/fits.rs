//! Fits and backtests under way and ended: where they stand, for whoever asks, in whatever process.

use perennial_store::{
    Column, ConnectionTrait, QueryResult, StoreError, Table, column, execute, insert_rows, query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

const RUNS: Table = Table {
    name: "fit_run",
    columns: &[
        ("workspace", Column::Text),
        ("id", Column::Uuid),
        ("created_at", Column::BigInt),
        ("updated_at", Column::BigInt),
        ("state", Column::Text),
        ("steps_done", Column::BigInt),
        ("steps_total", Column::BigInt),
        ("phase", Column::Text),
        ("version", Column::BigInt),
        ("error", Column::Text),
        ("cancel", Column::BigInt),
        ("task", Column::Text),
    ],
};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A model is fitted.
    Fit,
    /// Models are tested on the past.
    Backtest,
}

impl Task {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Backtest => "backtest",
        }
    }
}

/// How a fit or backtest stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Under way.
    Running,
    /// It registered a model, or found a result.
    Done,
    /// Nothing came of it.
    Failed,
    /// It was asked to stop, and did.
    Cancelled,
}

impl RunState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Failed, Self::Cancelled].into_iter().find(|it| it.as_str() == word)
    }
}

/// A fit or a backtest.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Which of them.
    pub task: Task,
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last heard of.
    pub updated_at: Timestamp,
    /// How it stands.
    pub state: RunState,
    /// Steps done.
    pub done: i64,
    /// Steps in all; 0 while not known.
    pub total: i64,
    /// What it is doing.
    pub phase: String,
    /// The model it registered.
    pub version: Option<i64>,
    /// What it found, as the wire has it.
    pub result: Option<Vec<u8>>,
    /// Why it failed.
    pub error: String,
}

/// Writes a new fit or backtest.
pub async fn begin(db: &impl ConnectionTrait, workspace: &Workspace, it: &Run) -> Result<(), StoreError> {
    let row = vec![
        workspace.as_str().into(),
        it.id.into(),
        micros(it.created_at).into(),
        micros(it.updated_at).into(),
        it.state.as_str().into(),
        it.done.into(),
        it.total.into(),
        it.phase.as_str().into(),
        it.version.into(),
        it.error.as_str().into(),
        0_i64.into(),
        it.task.as_str().into(),
    ];
    insert_rows(db, &RUNS, vec![row], "").await?;
    Ok(())
}

/// Notes a step. Whether it was asked to stop.
pub async fn step(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    id: Uuid,
    at: Timestamp,
    (done, total, phase): (i64, i64, &str),
) -> Result<bool, StoreError> {
    let sql = "UPDATE fit_run SET updated_at = $3, steps_done = $4, steps_total = $5, phase = $6 \
               WHERE workspace = $1 AND id = $2";
    let values = vec![
        workspace.as_str().into(),
        id.into(),
        micros(at).into(),
        done.into(),
        total.into(),
        phase.into(),
    ];
    execute(db, "noting a step of a fit", sql, values).await?;
    let sql = "SELECT cancel FROM fit_run WHERE workspace = $1 AND id = $2";
    let row = query_one(db, "a fit", sql, vec![workspace.as_str().into(), id.into()]).await?;
    row.map_or(Ok(false), |row| Ok(column::<i64>(&row, 0)? != 0))
}

/// Notes how it ended.
pub async fn finish(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    id: Uuid,
    at: Timestamp,
    (state, version, error): (RunState, Option<i64>, &str),
    result: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    let sql = "UPDATE fit_run SET updated_at = $3, state = $4, version = $5, error = $6, result = $7, phase = '', \
               steps_done = CASE WHEN $4 = 'done' THEN steps_total ELSE steps_done END \
               WHERE workspace = $1 AND id = $2";
    let values = vec![
        workspace.as_str().into(),
        id.into(),
        micros(at).into(),
        state.as_str().into(),
        version.into(),
        error.into(),
        result.into(),
    ];
    execute(db, "noting the end of a fit", sql, values).await?;
    Ok(())
}

/// Asks a fit or backtest to stop. False if there is none under way by that id.
pub async fn cancel(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    (task, id): (Task, Uuid),
) -> Result<bool, StoreError> {
    let sql =
        "UPDATE fit_run SET cancel = 1 WHERE workspace = $1 AND id = $2 AND task = $3 AND state = 'running'";
    let values = vec![workspace.as_str().into(), id.into(), task.as_str().into()];
    Ok(execute(db, "cancelling a fit", sql, values).await? == 1)
}

/// Removes those that ended before an instant.
pub async fn forget(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    task: Task,
    before: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "DELETE FROM fit_run WHERE workspace = $1 AND task = $2 AND state <> 'running' AND updated_at < $3";
    let values = vec![workspace.as_str().into(), task.as_str().into(), micros(before).into()];
    execute(db, "forgetting what is old", sql, values).await?;
    Ok(())
}

const SELECT: &str = "SELECT id, created_at, updated_at, state, steps_done, steps_total, phase, version, error, result \
                      FROM fit_run WHERE workspace = $1 AND task = $2";

fn read(task: Task, row: &QueryResult) -> Result<Run, StoreError> {
    let state: String = column(row, 3)?;
    let corrupt = || StoreError::Corrupt { what: "fit", reason: format!("state {state:?}") };
    Ok(Run {
        task,
        id: column(row, 0)?,
        created_at: from_micros(column(row, 1)?),
        updated_at: from_micros(column(row, 2)?),
        state: RunState::parse(&state).ok_or_else(corrupt)?,
        done: column(row, 4)?,
        total: column(row, 5)?,
        phase: column(row, 6)?,
        version: column(row, 7)?,
        error: column(row, 8)?,
        result: column(row, 9)?,
    })
}

/// One fit or backtest.
pub async fn run(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    (task, id): (Task, Uuid),
) -> Result<Option<Run>, StoreError> {
    let sql = format!("{SELECT} AND id = $3");
    let values = vec![workspace.as_str().into(), task.as_str().into(), id.into()];
    let row = query_one(db, "a fit", &sql, values).await?;
    row.map(|row| read(task, &row)).transpose()
}

/// The latest fit that failed after an instant.
pub async fn failure_after(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    at: Timestamp,
) -> Result<Option<Run>, StoreError> {
    let sql = format!("{SELECT} AND state = 'failed' AND updated_at > $3 ORDER BY updated_at DESC LIMIT 1");
    let values = vec![workspace.as_str().into(), Task::Fit.as_str().into(), micros(at).into()];
    let row = query_one(db, "fits that failed", &sql, values).await?;
    row.map(|row| read(Task::Fit, &row)).transpose()
}
