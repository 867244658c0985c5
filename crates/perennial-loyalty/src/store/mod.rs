//! SQL: rows and the domain values they hold. Every function takes the workspace.

pub mod coupons;
mod erasure;
pub mod exceptions;
pub mod ledger;
pub mod merges;
mod migrations;
pub mod offers;

pub use erasure::{PERSONAL, erase};
pub use migrations::MIGRATIONS;

use perennial_store::{Backend, ConnectionTrait, StoreError};

/// What ends a query whose rows are to be locked in its order. On SQLite the transaction has locked everything.
fn for_update(db: &impl ConnectionTrait) -> &'static str {
    match Backend::of(db) {
        Backend::Postgres => " FOR UPDATE",
        Backend::Sqlite => "",
    }
}

fn corrupt(what: &'static str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what, reason: reason.to_string() }
}
