//! How services of this process reach services, here or elsewhere, by name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};
use perennial_feed::{Feed, Here, Source};
use perennial_rpc::{Transport, remote, status};
use tokio_rustls::rustls::ClientConfig;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tower::{Service, ServiceExt};

use crate::config::ServerConfig;
use crate::edge::{Door, Edge, Rules};
use crate::fault::EdgeFault;
use crate::tls::{Connect, Live};
use crate::{Config, telemetry};

const FEED_SERVICE: &str = "perennial.feed.v1.FeedService";

/// gRPC areas that another service's process serves: the area, and the name of the service in `[peers]`.
const SERVED_BY: [(&str, &str); 5] = [
    ("access", "ingestion"),
    ("profile", "ingestion"),
    ("catalog", "ingestion"),
    ("analytics", "scoring"),
    ("recommendation", "scoring"),
];

/// Finds services by name: those added here, in process; else those with an address in `[peers]`. Clones are the same
/// mesh.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

struct Inner {
    peers: BTreeMap<String, Transport>,
    here: RwLock<HashMap<String, Transport>>,
    feeds: RwLock<HashMap<String, Here>>,
    wanted: Mutex<BTreeSet<Name>>,
    runs: HashSet<String>,
    authorization: Option<HeaderValue>,
    deadline: HeaderValue,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// A gRPC service, by its full name.
    Service(String),
    /// The feed of a service, by its short name.
    Feed(String),
}

/// Services that this process needs and cannot reach.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct MissingPeers(Vec<String>);

impl Mesh {
    /// A mesh of no services yet and the peers of `config`; `runs` are the short names of the services that will be
    /// added. Needs a running tokio runtime.
    ///
    /// # Errors
    /// If an address is none, naming the peer.
    pub fn new(config: &Config, runs: &[&str]) -> anyhow::Result<Self> {
        let mut peers = BTreeMap::new();
        let tls = config.server.tls.client()?.map(Arc::new);
        for (name, address) in &config.peers {
            peers.insert(name.clone(), remote(channel(name, address, tls.as_ref())?));
        }
        let ServerConfig { token, deadline, .. } = &config.server;
        let authorization = if token.is_empty() {
            None
        } else {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_| anyhow::anyhow!("server.token holds what no header can: use visible ASCII"))?;
            value.set_sensitive(true);
            Some(value)
        };
        // At most eight digits may stand there; ten million seconds are long enough for any call.
        let millis = deadline.min(&Duration::from_secs(99_999)).as_millis();
        let deadline = HeaderValue::from_str(&format!("{millis}m"))?;
        Ok(Self(Arc::new(Inner {
            peers,
            here: RwLock::default(),
            feeds: RwLock::default(),
            wanted: Mutex::default(),
            runs: runs.iter().map(|it| (*it).to_owned()).collect(),
            authorization,
            deadline,
        })))
    }

    /// Reaches a gRPC service by its full name, such as `perennial.profile.v1.ProfileService`. Where it is, is found out
    /// at each call, so services may be added in any order; a name that is nowhere stops the start of the process.
    #[must_use]
    pub fn transport(&self, service: &str) -> Transport {
        self.find(Name::Service(service.to_owned()))
    }

    /// Like [`Mesh::transport`], for what the process can start without: while the name is nowhere, calls are refused as
    /// unavailable.
    pub(crate) fn optional(&self, service: &str) -> Transport {
        Transport::new(Lazy { mesh: Arc::downgrade(&self.0), name: Name::Service(service.to_owned()) })
    }

    /// Reaches the `FeedService` that serves the feed of a service, by its short name, such as `ingestion`.
    #[must_use]
    pub fn feed(&self, service: &str) -> Transport {
        self.find(Name::Feed(service.to_owned()))
    }

    /// The feed of a service as a reader's source, by its short name, such as `ingestion`.
    #[must_use]
    pub fn source(&self, service: &str) -> Source {
        Source::new(service, self.feed(service), self.runs_here(service)).at(self.place_of(service))
    }

    /// Where the feed of a service is found if it is in this process.
    fn place_of(&self, service: &str) -> Here {
        let mut feeds = self.0.feeds.write().unwrap_or_else(PoisonError::into_inner);
        feeds.entry(service.to_owned()).or_default().clone()
    }

    /// The feeds that were asked for and are served in another process.
    pub(crate) fn distant_feeds(&self) -> Vec<String> {
        let wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let feeds = wanted.iter().filter_map(|it| match it {
            Name::Feed(service) => Some(service.clone()),
            Name::Service(_) => None,
        });
        feeds.filter(|it| !self.runs_here(it)).collect()
    }

    /// Whether a service runs in this process, by its short name.
    #[must_use]
    pub fn runs_here(&self, service: &str) -> bool {
        self.0.runs.contains(service)
    }

    fn find(&self, name: Name) -> Transport {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        // Weak: the services hold transports, and the mesh holds the services.
        Transport::new(Lazy { mesh: Arc::downgrade(&self.0), name })
    }

    /// Adds routes of this process, under the full names of their gRPC services.
    pub(crate) fn add(&self, names: &[&str], routes: &Routes, rules: &Arc<Rules>) {
        let mut here = self.0.here.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            let edge = Edge::new(routes.clone(), rules.clone(), Door::Process);
            here.insert((*name).to_owned(), Transport::new(edge.map_err(|never| match never {})));
        }
    }

    /// Says that the feed of a service is served in this process.
    pub(crate) fn add_feed(&self, feed: &Feed) {
        // Whoever was first stays; a process has each service once.
        let _ = self.place_of(feed.name()).set(feed.clone());
    }

    /// Whether everything that was asked for can be reached.
    ///
    /// # Errors
    /// [`MissingPeers`], naming each service and the remedy.
    pub fn check(&self) -> Result<(), MissingPeers> {
        let wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let missing: Vec<String> =
            wanted.iter().filter(|it| self.0.resolve(it).is_none()).map(Name::remedy).collect();
        if missing.is_empty() { Ok(()) } else { Err(MissingPeers(missing)) }
    }
}

impl Inner {
    /// The transport, and whether it leaves the process.
    fn resolve(&self, name: &Name) -> Option<(Transport, Door)> {
        let here = self.here.read().unwrap_or_else(PoisonError::into_inner);
        let found = match name {
            Name::Service(service) => here.get(service),
            Name::Feed(service) => {
                let feeds = self.feeds.read().unwrap_or_else(PoisonError::into_inner);
                feeds.get(service).and_then(|it| it.get()).and_then(|_| here.get(FEED_SERVICE))
            }
        };
        if let Some(transport) = found {
            return Some((transport.clone(), Door::Process));
        }
        let peer = self.peers.get(name.peer()).or_else(|| self.peers.get(name.full()));
        peer.map(|it| (it.clone(), Door::Network))
    }
}

impl Name {
    fn full(&self) -> &str {
        match self {
            Self::Service(name) | Self::Feed(name) => name,
        }
    }

    /// The service's key in `[peers]`: `perennial.profile.v1.ProfileService` is served by `ingestion`.
    fn peer(&self) -> &str {
        match self {
            Self::Feed(service) => service,
            Self::Service(name) => {
                let area =
                    name.strip_prefix("perennial.").and_then(|it| it.split('.').next()).unwrap_or(name);
                SERVED_BY.iter().find(|(it, _)| *it == area).map_or(area, |(_, service)| service)
            }
        }
    }

    fn remedy(&self) -> String {
        let peer = self.peer();
        let what = match self {
            Self::Service(name) => name.clone(),
            Self::Feed(service) => format!("the feed of {service}"),
        };
        format!(
            "{what} is needed: run {peer} in this process too, or set its address in [peers], such as {peer} = \
             \"http://{peer}:50051\""
        )
    }
}

/// A transport that finds its way at each call.
#[derive(Clone)]
struct Lazy {
    mesh: Weak<Inner>,
    name: Name,
}

impl Service<Request<Body>> for Lazy {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, tonic::transport::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(mesh) = self.mesh.upgrade() else {
            return Box::pin(async { Ok(status(&EdgeFault::Stopping).into_http()) });
        };
        let Some((transport, door)) = mesh.resolve(&self.name) else {
            let fault = EdgeFault::NoPeer(self.name.full().to_owned());
            return Box::pin(async move { Ok(status(&fault).into_http()) });
        };
        telemetry::trace_out(request.headers_mut());
        if door == Door::Network {
            // No call may wait for ever, and every one has to show who it is.
            request.headers_mut().entry("grpc-timeout").or_insert_with(|| mesh.deadline.clone());
            if let Some(authorization) = &mesh.authorization {
                request.headers_mut().insert(http::header::AUTHORIZATION, authorization.clone());
            }
        }
        Box::pin(transport.oneshot(request))
    }
}

fn channel(name: &str, address: &str, tls: Option<&Arc<Live<ClientConfig>>>) -> anyhow::Result<Channel> {
    let wrong = || anyhow::anyhow!("peers.{name} is {address:?}: use an address such as http://{name}:50051");
    let is_secure = address.starts_with("https://");
    anyhow::ensure!(is_secure || address.starts_with("http://"), wrong());
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| wrong())?;
    anyhow::ensure!(endpoint.uri().host().is_some_and(|it| !it.is_empty()), wrong());
    let settled = |endpoint: Endpoint| {
        endpoint
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
    };
    if !is_secure {
        return Ok(settled(endpoint).connect_lazy());
    }
    let tls = tls.ok_or_else(|| {
        anyhow::anyhow!("peers.{name} is {address:?}: set server.tls.ca, the authority of its certificate")
    })?;
    // To the endpoint our connector is a plain one, or it would want to do the handshake itself, by a certificate that
    // never changes; callers are told the address as it is.
    let origin = endpoint.uri().clone();
    let mut parts = origin.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    let plain = Uri::from_parts(parts).map_err(|_| wrong())?;
    let endpoint = settled(Endpoint::from(plain)).origin(origin);
    Ok(endpoint.connect_with_connector_lazy(Connect::new(tls.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_peers_error_names_the_remedy() {
        let mut config = Config::default();
        config.peers.insert("scoring".to_owned(), "http://127.0.0.1:1".to_owned());
        let mesh = Mesh::new(&config, &[]).unwrap();
        drop(mesh.transport("perennial.analytics.v1.AnalyticsService"));
        drop(mesh.feed("scoring"));
        mesh.check().unwrap();
        drop(mesh.transport("perennial.profile.v1.ProfileService"));
        drop(mesh.feed("segmentation"));
        let missing = mesh.check().unwrap_err().to_string();
        let profile = "perennial.profile.v1.ProfileService is needed: run ingestion in this process too, or set its \
                       address in [peers], such as ingestion = \"http://ingestion:50051\"";
        assert!(missing.contains(profile), "{missing}");
        assert!(missing.contains("the feed of segmentation is needed"), "{missing}");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_by_name() {
        for address in ["scoring:50051", "https://scoring", "http://", ""] {
            let mut config = Config::default();
            config.peers.insert("scoring".to_owned(), address.to_owned());
            let refused = Mesh::new(&config, &[]).err().unwrap().to_string();
            assert!(refused.starts_with("peers.scoring"), "{refused}");
        }
    }
}
