//! The gRPC edge: parse, ask, answer. The only place that knows tonic and the generated code.

mod access;
mod catalog;
mod event;
mod export;
mod identity;
mod ingestion;
mod privacy;
mod product;
mod profile;
mod quality;

use tonic::Status;

use crate::app::App;
use crate::error::Error;

/// Serves `perennial.access.v1`, `perennial.ingestion.v1`, `perennial.profile.v1` and `perennial.catalog.v1`.
#[derive(Clone)]
pub struct Edge {
    app: App,
}

impl Edge {
    /// The edge of `app`.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        perennial_rpc::status(&error)
    }
}
