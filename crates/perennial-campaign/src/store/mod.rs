//! Campaign's tables: definitions with their versions, decisions, exposures, emergency pauses.

pub mod campaigns;
pub mod decisions;
pub mod exposures;
pub mod lifts;
mod migrations;
pub mod pauses;
pub mod profiles;

pub use migrations::migrations;

use perennial_store::{QueryResult, Result, StoreError};
use perennial_types::Workspace;

/// Reads one column of a row.
fn get<T: sea_orm::TryGetable>(row: &QueryResult, column: &'static str) -> Result<T> {
    row.try_get("", column).map_err(|error| StoreError::Corrupt { what: column, reason: error.to_string() })
}

fn workspace(row: &QueryResult) -> Result<Workspace> {
    let name: String = get(row, "workspace")?;
    Workspace::parse(&name)
        .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })
}
