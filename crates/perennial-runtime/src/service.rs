//! A service as the process sees it: routes, background tasks, a feed.

use std::convert::Infallible;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use perennial_feed::{AnyReader, Feed, Fold, Reader};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;

/// What one service crate hands to the process. A crate that grows a second gRPC service adds it here; the process keeps
/// no list.
pub struct Service {
    pub(crate) name: String,
    pub(crate) routes: Routes,
    pub(crate) grpc_names: Vec<&'static str>,
    pub(crate) http: Option<axum::Router>,
    pub(crate) feed: Option<Feed>,
    pub(crate) readers: Vec<Arc<dyn AnyReader>>,
    pub(crate) starters: Vec<Starter>,
    /// Those of readers.
    pub(crate) lanes: Vec<Starter>,
}

/// Makes background tasks, which end soon after the token is cancelled.
pub(crate) type Starter = Box<dyn FnOnce(&CancellationToken) -> Vec<Task> + Send>;

/// A background task: its name, and its work.
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) work: BoxFuture<'static, anyhow::Result<()>>,
}

impl Service {
    /// A service without anything yet, by its short name, such as `scoring`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            // Not the default ones: they have a fallback, of which a process can have only one.
            routes: Routes::from(axum::Router::new()),
            grpc_names: Vec::new(),
            http: None,
            feed: None,
            readers: Vec::new(),
            starters: Vec::new(),
            lanes: Vec::new(),
        }
    }

    /// Serves a gRPC service: the generated server around the service's edge, best made with
    /// [`perennial_rpc::server!`], which sets the limits of message sizes.
    #[must_use]
    pub fn grpc<S>(mut self, server: S) -> Self
    where
        S: tower::Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.grpc_names.push(S::NAME);
        self.routes = self.routes.add_service(server);
        self
    }

    /// Serves HTTP routes, merged with those of the other services on one port. Two services may not have the same route.
    #[must_use]
    pub fn http(mut self, router: axum::Router) -> Self {
        self.http = Some(self.http.unwrap_or_default().merge(router));
        self
    }

    /// Drops the background tasks: the service answers, but does nothing unasked.
    #[must_use]
    pub fn without_tasks(mut self) -> Self {
        self.starters.clear();
        self.lanes.clear();
        self
    }

    /// Drops the background tasks but those of its readers: the service takes in what others wrote, but fires no timer and
    /// sends nothing.
    #[must_use]
    pub fn only_readers(mut self) -> Self {
        self.starters.clear();
        for reader in &self.readers {
            reader.rest();
        }
        self
    }

    /// Publishes the service's feed through the process's one `FeedService`.
    #[must_use]
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// Runs a reader's lanes, and shows how far it is through the process's one `FeedService`.
    #[must_use]
    pub fn reader<F: Fold>(mut self, reader: Arc<Reader<F>>) -> Self {
        self.readers.push(reader.clone());
        self.lanes.push(starter(move |stop| reader.tasks(stop)));
        self
    }

    /// Runs background tasks from start to stop, such as an outbox's: `start` makes them, with the token that tells them
    /// to end. One that ends before it is told to, or panics, brings the process down, rather than leave it running by
    /// halves.
    #[must_use]
    pub fn tasks(
        mut self,
        start: impl FnOnce(&CancellationToken) -> Vec<perennial_feed::Task> + Send + 'static,
    ) -> Self {
        self.starters.push(starter(start));
        self
    }

    /// Runs one background task from start to stop, like [`Service::tasks`]; one that fails brings the process down, too.
    #[must_use]
    pub fn task<F, Fut>(mut self, name: impl Into<String>, start: F) -> Self
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let name = format!("{} {}", self.name, name.into());
        self.starters.push(Box::new(move |stop| vec![Task { name, work: start(stop.clone()).boxed() }]));
        self
    }
}

fn starter(start: impl FnOnce(&CancellationToken) -> Vec<perennial_feed::Task> + Send + 'static) -> Starter {
    let forever = |(name, work): perennial_feed::Task| Task { name, work: work.map(Ok).boxed() };
    Box::new(move |stop| start(stop).into_iter().map(forever).collect())
}
