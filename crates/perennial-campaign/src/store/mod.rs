//! Campaign's tables: definitions with their versions, decisions, exposures, emergency pauses.

pub mod campaigns;
pub mod decisions;
pub mod exposures;
pub mod lifts;
mod migrations;
pub mod pauses;

pub use migrations::migrations;

use perennial_feed::{End, Personal};
use perennial_store::{QueryResult, Result, StoreError};
use perennial_types::Workspace;

/// Tables with rows about people.
pub const PERSONAL: [Personal; 2] = [
    Personal {
        table: &decisions::TABLE,
        end: End::Unlink {
            lose: "occurrence = '', reasons = '[]', made_for = NULL",
            kept: "campaign, step, outcome and instant: how often a campaign was sent",
        },
    },
    Personal {
        table: &exposures::TABLE,
        end: End::Unlink {
            lose: "",
            kept: "arm, instant and amounts: what a campaign earned is the difference of its arms, and nobody may drop out of them",
        },
    },
];

/// Reads one column of a row.
fn get<T: sea_orm::TryGetable>(row: &QueryResult, column: &'static str) -> Result<T> {
    row.try_get("", column).map_err(|error| StoreError::Corrupt { what: column, reason: error.to_string() })
}

fn workspace(row: &QueryResult) -> Result<Workspace> {
    let name: String = get(row, "workspace")?;
    Workspace::parse(&name)
        .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })
}
