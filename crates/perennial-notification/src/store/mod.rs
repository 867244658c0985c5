//! SQL: rows and the domain values they hold. Every function takes the workspace.

pub mod consents;
mod erasure;
pub mod messages;
mod migrations;
pub mod pauses;
pub mod secrets;
pub mod suppressions;
pub mod templates;

pub use erasure::{PERSONAL, erase};
pub use migrations::MIGRATIONS;

use perennial_store::{QueryResult, Result, StoreError, column};
use perennial_types::Workspace;

fn corrupt(what: &'static str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what, reason: reason.to_string() }
}

fn workspace(row: &QueryResult, index: usize) -> Result<Workspace> {
    let name: String = column(row, index)?;
    Workspace::parse(&name).map_err(|it| corrupt("workspace", it))
}
