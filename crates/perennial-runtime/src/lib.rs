//! The process around the services: configuration, telemetry, how services reach each other, start and stop.
//!
//! Knows no service. The binary reads the configuration ([`load`]), starts [`Telemetry`], makes a [`Host`], hands it to
//! each service it runs, and gives what they hand back to a [`Process`].

mod call;
mod clock;
mod config;
mod edge;
mod fault;
mod flow;
mod guard;
mod host;
mod keyring;
mod load;
mod mesh;
mod replicas;
mod secret;
mod serve;
mod service;
mod tasks;
mod telemetry;
mod tls;
mod web;

pub use config::{ClockConfig, Config, Profile, ServerConfig, Unsafe};
pub use fault::EdgeFault;
pub use host::Host;
pub use keyring::Keyring;
pub use load::{ConfigError, load, to_toml};
pub use mesh::{Mesh, MissingPeers};
pub use secret::Secret;
pub use serve::Process;
pub use service::Service;
pub use telemetry::{LogFormat, Telemetry, TelemetryConfig};
pub use tls::TlsConfig;
