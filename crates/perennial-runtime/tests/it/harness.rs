//! A process on free ports, a service that does what a test tells it, and clients for both ways in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use perennial_api::clock::v1::clock_service_client::ClockServiceClient;
use perennial_api::clock::v1::clock_service_server::{ClockService, ClockServiceServer};
use perennial_api::clock::v1::{AdvanceClockRequest, ClockStatus, GetClockStatusRequest};
use perennial_rpc::{Transport, time};
use perennial_runtime::{Config, Host, Process, Service};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

pub const CLOCK: &str = "perennial.clock.v1.ClockService";
pub const HEALTH: &str = "grpc.health.v1.Health";

/// Free ports on loopback, and no waiting where nothing asks for it.
pub fn config() -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        http_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Config::default()
    }
}

pub struct Running {
    pub host: Host,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub stop: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Starts a process and waits until it says that it serves.
    pub async fn start(config: Config, services: Vec<Service>) -> Self {
        let host = Host::new(&config, &[]).unwrap();
        let started = Self::start_on(config, host, services).await;
        started.until("", 1).await;
        started
    }

    pub async fn start_on(config: Config, host: Host, services: Vec<Service>) -> Self {
        let process = Process::bind(&config, host.clone(), services).await.unwrap();
        let (grpc, http) = (process.grpc_address().unwrap(), process.http_address().unwrap());
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let serving = tokio::spawn(process.serve(stop.clone()));
        Self { host, grpc, http, stop, serving }
    }

    /// Waits until health tells `status` (1 serving, 2 not serving) of a service.
    pub async fn until(&self, service: &str, status: i32) {
        let mut health = self.health().await;
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut watch = health.watch(request).await.unwrap().into_inner();
        while watch.message().await.unwrap().is_some_and(|it: HealthCheckResponse| it.status != status) {}
    }

    pub async fn health(&self) -> HealthClient<Transport> {
        HealthClient::new(self.remote().await)
    }

    /// A client of this process over loopback, as another process has it.
    pub async fn remote(&self) -> Transport {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        perennial_rpc::remote(channel.connect_lazy())
    }

    /// A client of this process within it.
    pub fn local(&self, service: &str) -> Transport {
        self.host.mesh.transport(service)
    }

    /// Waits for the end.
    pub async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(Duration::from_secs(20), self.serving).await.unwrap().unwrap()
    }
}

/// A service that answers when the test lets it.
#[derive(Clone, Default)]
pub struct Puppet {
    pub entered: Arc<Notify>,
    pub answer: Arc<Notify>,
}

impl Puppet {
    pub fn service(&self) -> Service {
        Service::new("puppet").grpc(perennial_rpc::server!(ClockServiceServer::new(self.clone())))
    }
}

#[tonic::async_trait]
impl ClockService for Puppet {
    /// Waits for the test.
    async fn get_clock_status(
        &self,
        _: Request<GetClockStatusRequest>,
    ) -> Result<Response<ClockStatus>, Status> {
        self.entered.notify_one();
        self.answer.notified().await;
        Ok(Response::new(ClockStatus { activity: 7, ..ClockStatus::default() }))
    }

    /// Refuses, or panics in the year 1970.
    async fn advance_clock(
        &self,
        request: Request<AdvanceClockRequest>,
    ) -> Result<Response<ClockStatus>, Status> {
        let to = time::required(request.get_ref().now.as_ref(), "now")?;
        assert!(to.as_second() > 0, "told to panic");
        Ok(Response::new(ClockStatus { now: Some(time::to_wire(to)), ..ClockStatus::default() }))
    }
}

pub fn puppet(transport: Transport) -> ClockServiceClient<Transport> {
    perennial_rpc::client!(ClockServiceClient::new(transport))
}
