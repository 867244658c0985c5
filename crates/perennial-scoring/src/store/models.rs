//! The model registry and the edges published with each model.

use perennial_store::{
    Column, ConnectionTrait, QueryResult, StoreError, Table, Value, column, insert_rows, query, query_one,
};
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use uuid::Uuid;

use crate::domain::edges::Edges;
use crate::domain::model::{InForce, Registered, Status};

const MODELS: Table = Table {
    name: "model",
    columns: &[
        ("workspace", Column::Text),
        ("version", Column::BigInt),
        ("kind", Column::Text),
        ("status", Column::Text),
        ("reason", Column::Text),
        ("created_at", Column::BigInt),
        ("published_at", Column::BigInt),
        ("first_day", Column::BigInt),
        ("cutoff_day", Column::BigInt),
        ("ln_likelihood", Column::Double),
        ("finding", Column::Text),
        ("request_id", Column::Uuid),
        ("request", Column::Text),
    ],
};

const EDGES: Table = Table {
    name: "edge",
    columns: &[
        ("workspace", Column::Text),
        ("version", Column::BigInt),
        ("measure", Column::Text),
        ("ordinal", Column::BigInt),
        ("value", Column::BigInt),
        ("share", Column::Double),
    ],
};

/// Who asked for a model: the idempotency key, and what was asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The key, if any.
    pub id: Option<Uuid>,
    /// Everything that was asked, as one text.
    pub body: String,
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what: "model", reason: error.to_string() }
}

/// Writes a model, and its edges if it is published. A version that is taken is refused.
pub async fn register(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    model: &Registered,
    edges: &Edges,
    asked: &Asked,
) -> Result<(), StoreError> {
    let finding = serde_json::to_string(&model.finding).map_err(corrupt)?;
    let row = vec![
        workspace.as_str().into(),
        model.version.into(),
        model.finding.kind().into(),
        model.status.as_str().into(),
        model.reason.as_str().into(),
        micros(model.created_at).into(),
        model.published_at.map(micros).into(),
        i64::from(model.finding.first_day).into(),
        i64::from(model.finding.cutoff_day).into(),
        model.finding.fitted.as_ref().map(|it| it.orders.report.ln_likelihood).into(),
        finding.into(),
        asked.id.into(),
        asked.body.as_str().into(),
    ];
    insert_rows(db, &MODELS, vec![row], "").await?;
    let mut rows: Vec<Vec<Value>> = Vec::new();
    let mut add = |measure: &str, ordinal: usize, value: i64, share: f64| {
        rows.push(vec![
            workspace.as_str().into(),
            model.version.into(),
            measure.into(),
            (ordinal as i64).into(),
            value.into(),
            share.into(),
        ]);
    };
    for (ordinal, (value, share)) in edges.clv.iter().enumerate() {
        add("clv", ordinal, *value, *share);
    }
    let fifths =
        [("recency", &edges.recency), ("frequency", &edges.frequency), ("monetary", &edges.monetary)];
    for (measure, values) in fifths {
        for (ordinal, value) in values.iter().enumerate() {
            add(measure, ordinal, *value, (ordinal as f64 + 1.0) / 5.0);
        }
    }
    insert_rows(db, &EDGES, rows, "").await?;
    Ok(())
}

/// The newest version; 0 without any model.
pub async fn newest_version(db: &impl ConnectionTrait, workspace: &Workspace) -> Result<i64, StoreError> {
    let sql = "SELECT COALESCE(MAX(version), 0) FROM model WHERE workspace = $1";
    let row = query_one(db, "the newest model", sql, vec![workspace.as_str().into()]).await?;
    row.map_or(Ok(0), |row| column(&row, 0))
}

/// Versions in force, by workspace.
pub async fn published(db: &impl ConnectionTrait) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT workspace, MAX(version) FROM model WHERE status = 'published' GROUP BY workspace";
    let rows = query(db, "models in force", sql, vec![]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// The version in force in one workspace.
pub async fn published_version(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT MAX(version) FROM model WHERE status = 'published' AND workspace = $1";
    let row = query_one(db, "the model in force", sql, vec![workspace.as_str().into()]).await?;
    row.map_or(Ok(None), |row| column(&row, 0))
}

const SELECT: &str = "SELECT version, status, reason, created_at, published_at, finding, request FROM model WHERE workspace = $1";

fn registered(row: &QueryResult) -> Result<Registered, StoreError> {
    let (status, finding): (String, String) = (column(row, 1)?, column(row, 5)?);
    let at = |it: i64| from_micros(it);
    let published: Option<i64> = column(row, 4)?;
    Ok(Registered {
        version: column(row, 0)?,
        status: Status::parse(&status).ok_or_else(|| corrupt(format!("status {status:?}")))?,
        reason: column(row, 2)?,
        created_at: at(column(row, 3)?),
        published_at: published.map(at),
        finding: serde_json::from_str(&finding).map_err(corrupt)?,
    })
}

async fn one(
    db: &impl ConnectionTrait,
    rest: &str,
    values: Vec<Value>,
) -> Result<Option<Registered>, StoreError> {
    let row = query_one(db, "a model", &format!("{SELECT} {rest}"), values).await?;
    row.map(|row| registered(&row)).transpose()
}

/// One model.
pub async fn model(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    version: i64,
) -> Result<Option<Registered>, StoreError> {
    one(db, "AND version = $2", vec![workspace.as_str().into(), version.into()]).await
}

/// The model in force.
pub async fn latest(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
) -> Result<Option<Registered>, StoreError> {
    let rest = "AND status = 'published' ORDER BY version DESC LIMIT 1";
    one(db, rest, vec![workspace.as_str().into()]).await
}

/// The version in force at an instant.
pub async fn published_at(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    at: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT MAX(version) FROM model \
               WHERE status = 'published' AND workspace = $1 AND published_at <= $2";
    let values = vec![workspace.as_str().into(), micros(at).into()];
    let row = query_one(db, "the model in force then", sql, values).await?;
    row.map_or(Ok(None), |row| column(&row, 0))
}

/// The latest model refused after a version.
pub async fn refused_after(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    version: i64,
) -> Result<Option<Registered>, StoreError> {
    let rest = "AND version > $2 AND status = 'refused' ORDER BY version DESC LIMIT 1";
    one(db, rest, vec![workspace.as_str().into(), version.into()]).await
}

/// The model that a request with this id brought about, and what it asked.
pub async fn by_request(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    id: Uuid,
) -> Result<Option<(Registered, String)>, StoreError> {
    let sql = format!("{SELECT} AND request_id = $2");
    let row = query_one(db, "a model", &sql, vec![workspace.as_str().into(), id.into()]).await?;
    row.map(|row| Ok((registered(&row)?, column(&row, 6)?))).transpose()
}

/// Models before a version, newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    before: i64,
    most: u64,
) -> Result<Vec<Registered>, StoreError> {
    let sql = format!("{SELECT} AND version < $2 ORDER BY version DESC LIMIT $3");
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = vec![workspace.as_str().into(), before.into(), most.into()];
    query(db, "models", &sql, values).await?.iter().map(registered).collect()
}

/// A model with its edges.
pub async fn force(
    db: &impl ConnectionTrait,
    workspace: &Workspace,
    version: i64,
) -> Result<Option<InForce>, StoreError> {
    let Some(found) = model(db, workspace, version).await? else { return Ok(None) };
    let sql = "SELECT measure, value, share FROM edge WHERE workspace = $1 AND version = $2 \
               ORDER BY measure, ordinal";
    let rows = query(db, "edges", sql, vec![workspace.as_str().into(), version.into()]).await?;
    let mut edges = Edges::default();
    for row in &rows {
        let (measure, value): (String, i64) = (column(row, 0)?, column(row, 1)?);
        match measure.as_str() {
            "clv" => edges.clv.push((value, column(row, 2)?)),
            "recency" => edges.recency.push(value),
            "frequency" => edges.frequency.push(value),
            "monetary" => edges.monetary.push(value),
            other => return Err(corrupt(format!("edges of {other:?}"))),
        }
    }
    Ok(Some(InForce::new(found, edges)))
}
