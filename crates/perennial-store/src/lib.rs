//! SQL for every service: one way to open a database, migrate it, and speak to it in sets.
//!
//! The same statements run on SQLite and PostgreSQL: `$1` placeholders, `ON CONFLICT`, `RETURNING`. What differs
//! between the two (one writer or many, arrays or lists of values) is decided here and nowhere else.

mod checkpoint;
mod migrate;
mod open;
mod rows;

pub use migrate::Migration;
pub use open::{Backend, DatabaseConfig, Durability, Store};
pub use rows::{
    Column, Table, any_of, array_of, column, delete_rows, execute, insert_rows, query, query_one,
};

/// A connection or a transaction: what store functions take, so that they run in either.
pub use sea_orm::ConnectionTrait;
/// A transaction; it rolls back unless committed.
pub use sea_orm::DatabaseTransaction;
/// A row that was read.
pub use sea_orm::QueryResult;
/// A bound value.
pub use sea_orm::Value;

/// A database that could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no.
    #[error("the database refused {what}")]
    Database {
        /// What was being done.
        what: &'static str,
        /// What it answered.
        #[source]
        source: sea_orm::DbErr,
    },
    /// The configured address is not one we can open.
    #[error("database url {url:?} cannot be opened: {reason}")]
    Url {
        /// The address, without its password.
        url: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Others were in the way.
    #[error("others were in the way of {what}: it is tried again")]
    Busy {
        /// What was being done.
        what: &'static str,
    },
    /// A stored value has a form this version does not know.
    #[error("stored {what} cannot be read: {reason}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Names what was being done when the database refused; for `map_err`.
    pub fn of(what: &'static str) -> impl FnOnce(sea_orm::DbErr) -> Self {
        move |source| Self::Database { what, source }
    }

    /// Whether the same statement may succeed if tried again: the database was away, busy, or two writers collided.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let source = match self {
            Self::Busy { .. } => return true,
            Self::Database { source, .. } => source,
            Self::Url { .. } | Self::Corrupt { .. } => return false,
        };
        match source {
            sea_orm::DbErr::ConnectionAcquire(_) | sea_orm::DbErr::Conn(_) => true,
            other => {
                let text = other.to_string();
                // 40001 serialization failure, 40P01 deadlock, 55P03 lock time-out, 57P01–57P03 shutting down or starting.
                [
                    "database is locked",
                    "40001",
                    "40P01",
                    "55P03",
                    "57P0",
                    "deadlock detected",
                    "lock timeout",
                    "could not serialize",
                    "connection",
                    "Connection",
                    "broken pipe",
                    "Broken pipe",
                    "expected to read",
                    "terminating",
                    "pool timed out",
                    "the database system is",
                ]
                .iter()
                .any(|it| text.contains(it))
            }
        }
    }
}

/// The result of a store function.
pub type Result<T> = std::result::Result<T, StoreError>;
