//! The life of the process: bind, serve, drain, stop.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use perennial_api::clock::v1::clock_service_server::ClockServiceServer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::clock::Hand;
use crate::config::ServerConfig;
use crate::edge::{Door, Edge, Rules};
use crate::guard::Guard;
use crate::replicas::Replicas;
use crate::service::Starter;
use crate::tasks::Tasks;
use crate::tls::{self, Live};
use crate::web::{self, Ready};
use crate::{Config, Host, Service, telemetry};

/// How long calls that were cut off may take to tell their callers.
const CUT: Duration = Duration::from_secs(1);

/// How often a silent connection is asked whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A process that is bound to its ports and has everything it needs, but does not serve yet.
pub struct Process {
    config: ServerConfig,
    grpc: TcpListener,
    tls: Option<Live<rustls::ServerConfig>>,
    http: TcpListener,
    routes: Routes,
    router: axum::Router,
    rules: Arc<Rules>,
    health: Health,
    starters: Vec<Starter>,
    /// Keeps the mesh: transports only point to it.
    host: Host,
}

impl Process {
    /// Binds the ports and puts the services together.
    ///
    /// # Errors
    /// If a port is taken, two services serve the same, or a service is needed that is neither here nor in `[peers]`.
    pub async fn bind(config: &Config, host: Host, services: Vec<Service>) -> anyhow::Result<Self> {
        let grpc = listener("listen", config.listen).await?;
        let http = listener("http_listen", config.http_listen).await?;
        let tls = config.server.tls.server()?;
        let guard = Guard::new(&config.server, &host.mesh, host.keys.clone());
        let rules = Arc::new(Rules::new(&config.server, guard));
        let reporter = HealthReporter::new();
        let health_server = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let mut own = Service::new("process").grpc(health_server);
        let feeds: Vec<_> = services.iter().filter_map(|it| it.feed.clone()).collect();
        let names: Vec<String> = feeds.iter().map(|it| it.name().to_owned()).collect();
        if let Some(hand) = host.clock.simulation() {
            let hand = Hand { clock: hand.clone(), bell: host.bell.clone(), feeds: names.clone() };
            own = own.grpc(perennial_rpc::server!(ClockServiceServer::new(hand)));
        }
        for feed in host.mesh.distant_feeds() {
            let (source, bell) = (host.mesh.source(&feed), host.bell.clone());
            own = own.tasks(move |stop| vec![perennial_feed::ear(source, bell, stop)]);
        }
        if host.cache.is_shared() && !names.is_empty() {
            let replicas = Replicas::new(names, host.bell.clone(), host.cache.clone());
            own = own.task("replicas", move |stop| replicas.run(stop));
        }

        let readers = services.iter().flat_map(|it| it.readers.clone()).collect();
        for feed in &feeds {
            host.mesh.add_feed(feed);
            telemetry::watch_feed(feed);
        }
        own = own.grpc(perennial_feed::grpc::server(feeds, readers, host.bell.clone()));

        let mut together = Together::default();
        for service in services.into_iter().chain([own]) {
            together.add(service, &host, &rules)?;
        }
        host.mesh.check()?;
        let mut reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(perennial_api::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        for name in &together.names {
            reflection = reflection.with_service_name(*name);
        }
        let routes = Routes::from(Routes::default().into_axum_router().merge(together.grpc));
        let routes = routes.add_service(reflection.build_v1()?).prepare();
        let health = Health { reporter, names: together.names, ready: Ready::default() };
        health.set(ServingStatus::NotServing).await;
        let router = web::router(together.http, health.ready.clone(), &config.server);
        let (config, starters) = (config.server.clone(), together.starters);
        Ok(Self { config, grpc, tls, http, routes, router, rules, health, starters, host })
    }

    /// Where the gRPC port is; the one to ask after binding port 0.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where the HTTP port is.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn http_address(&self) -> std::io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// Serves until `stop` is cancelled, then drains: tells that it stops, waits for `drain_delay`, stops accepting,
    /// finishes calls in flight, and only then stops the background tasks.
    ///
    /// # Errors
    /// If a background task or a port failed; the process has drained by then.
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { config, grpc, tls, http, routes, router, rules, health, starters, host } = self;
        tracing::info!(grpc = %grpc.local_addr()?, http = %http.local_addr()?, "listening");
        let (closing, cutting) = (rules.closing.clone(), rules.cutting.clone());
        let mut ports = JoinSet::new();
        ports.spawn({
            let server = Server::builder()
                .max_connection_age(config.max_connection_age)
                .max_connection_age_grace(config.deadline)
                .http2_keepalive_interval(Some(KEEP_ALIVE));
            let edge = Edge::new(routes, rules, Door::Network);
            let closing = closing.clone().cancelled_owned();
            async move {
                let served = match tls {
                    Some(tls) => {
                        let incoming = tls::incoming(grpc, Arc::new(tls));
                        server.serve_with_incoming_shutdown(edge, incoming, closing).await
                    }
                    None => {
                        let incoming = TcpIncoming::from(grpc).with_nodelay(Some(true));
                        server.serve_with_incoming_shutdown(edge, incoming, closing).await
                    }
                };
                served.context("the gRPC port")
            }
        });
        ports.spawn({
            let closing = closing.clone().cancelled_owned();
            async move { axum::serve(http, router).with_graceful_shutdown(closing).await.context("the HTTP port") }
        });
        let halt = CancellationToken::new();
        let mut tasks = Tasks::start(starters, &halt);
        health.set(ServingStatus::Serving).await;
        tracing::info!("serving");

        let failure = tokio::select! {
            () = stop.cancelled() => None,
            failure = tasks.ended() => Some(failure),
            Some(port) = ports.join_next() => Some(match port {
                Ok(Err(error)) => error,
                Ok(Ok(())) => anyhow::anyhow!("a port closed by itself"),
                Err(panic) => anyhow::Error::new(panic).context("a port"),
            }),
        };
        if let Some(error) = &failure {
            tracing::error!(error = format!("{error:#}"), "stopping, since a part of the process failed");
        } else {
            tracing::info!(drain_delay = ?config.drain_delay, "stopping");
        }
        health.set(ServingStatus::NotServing).await;
        if failure.is_none() {
            tokio::time::sleep(config.drain_delay).await;
        }
        closing.cancel();
        if !closed(&mut ports, config.drain_timeout).await {
            tracing::warn!(drain_timeout = ?config.drain_timeout, "calls were still in flight: cut off");
            cutting.cancel();
            if !closed(&mut ports, CUT).await {
                ports.shutdown().await;
            }
        }
        halt.cancel();
        tasks.finish(config.stop_timeout).await;
        drop(host);
        tracing::info!("stopped");
        failure.map_or(Ok(()), Err)
    }

    /// Serves until the process is told to stop by SIGTERM or SIGINT. A second signal ends it at once.
    ///
    /// # Errors
    /// Like [`Process::serve`].
    pub async fn run(self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        let stop = CancellationToken::new();
        let mut serving = std::pin::pin!(self.serve(stop.clone()));
        tokio::select! {
            result = &mut serving => return result,
            () = signals.next() => stop.cancel(),
        }
        tokio::select! {
            result = &mut serving => result,
            () = signals.next() => {
                tracing::warn!("told twice to stop: leaving at once");
                std::process::exit(130)
            }
        }
    }
}

/// Whether all ports closed within `patience`.
async fn closed(ports: &mut JoinSet<anyhow::Result<()>>, patience: Duration) -> bool {
    let all = async { while ports.join_next().await.is_some() {} };
    tokio::time::timeout(patience, all).await.is_ok()
}

async fn listener(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{setting} = \"{address}\" cannot be bound: free the port or set another one")
    })
}

/// The services' parts, put together.
#[derive(Default)]
struct Together {
    names: Vec<&'static str>,
    grpc: axum::Router,
    http: axum::Router,
    starters: Vec<Starter>,
}

impl Together {
    fn add(&mut self, service: Service, host: &Host, rules: &Arc<Rules>) -> anyhow::Result<()> {
        let seen: HashSet<&str> = self.names.iter().copied().collect();
        if let Some(twice) = service.grpc_names.iter().find(|it| seen.contains(*it)) {
            ensure!(false, "{twice} is served twice: leave one of its services out of this process");
        }
        host.mesh.add(&service.grpc_names, &service.routes, rules);
        self.names.extend(&service.grpc_names);
        self.grpc = std::mem::take(&mut self.grpc).merge(service.routes.into_axum_router());
        if let Some(http) = service.http {
            self.http = std::mem::take(&mut self.http).merge(http);
        }
        self.starters.extend(service.lanes);
        self.starters.extend(service.starters);
        Ok(())
    }
}

/// What this process says of itself to probes.
struct Health {
    reporter: HealthReporter,
    names: Vec<&'static str>,
    ready: Ready,
}

impl Health {
    async fn set(&self, status: ServingStatus) {
        self.ready.store(status == ServingStatus::Serving, Ordering::SeqCst);
        for name in self.names.iter().copied().chain([""]) {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

/// The operating system's wish that we stop.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
