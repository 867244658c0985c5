//! Settings of the process itself; each service has its own besides.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use perennial_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::telemetry::TelemetryConfig;
use crate::{Secret, TlsConfig};

/// Settings of the process. They stand at the top of the configuration, beside the sections of the services; so
/// [`crate::load`], not serde, refuses names that nobody knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Address of the gRPC port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of the HTTP port: health, and what services serve over HTTP; port 0 takes a free one.
    pub http_listen: SocketAddr,
    /// `development`, or `production`, which refuses what only tests may do.
    pub profile: Profile,
    /// How many processes like this one run side by side.
    pub replicas: u32,
    /// Where services run that do not run in this process: `scoring = "http://scoring:50051"`.
    pub peers: BTreeMap<String, String>,
    /// Where time comes from.
    pub clock: ClockConfig,
    /// Limits of the gRPC and HTTP ports.
    pub server: ServerConfig,
    /// Logs, traces and metrics.
    pub telemetry: TelemetryConfig,
    /// The cache.
    pub cache: perennial_cache::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_051)),
            http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080)),
            profile: Profile::default(),
            replicas: 1,
            peers: BTreeMap::new(),
            clock: ClockConfig::default(),
            server: ServerConfig::default(),
            telemetry: TelemetryConfig::default(),
            cache: perennial_cache::Config::default(),
        }
    }
}

/// What the process is run for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// For trying, developing and testing.
    #[default]
    Development,
    /// For real customers.
    Production,
}

/// Where time comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// Makes the clock a simulated one that stands at this instant until its driver moves it over `ClockService`; absent:
    /// the system's clock.
    pub simulated_from: Option<Timestamp>,
}

/// Limits of the ports, and how they are closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// What services of one installation, and their operator, show each other as `authorization: Bearer …`: it opens
    /// everything. Other callers show a key of their workspace. Calls to peers carry it. While it is empty and
    /// `tls` has no certificate and ca, nobody is asked who they are: for development.
    pub token: Secret,
    /// A token that is still taken, while processes change from it to `token`.
    pub previous_token: Secret,
    /// TLS of the gRPC port and of calls to peers.
    pub tls: TlsConfig,
    /// The longest a call may take; a caller may ask for less.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub deadline: Duration,
    /// Calls worked on at a time; the next one is refused as unavailable.
    pub max_in_flight: usize,
    /// After this long a connection is closed gently, so that callers find new replicas.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub max_connection_age: Duration,
    /// Between telling that we stop and stopping to accept: as long as load balancers need to look away.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub drain_delay: Duration,
    /// How long calls in flight may still take after that.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub drain_timeout: Duration,
    /// How long background tasks may take to stop after that.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub stop_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            token: Secret::default(),
            previous_token: Secret::default(),
            tls: TlsConfig::default(),
            deadline: Duration::from_secs(60),
            max_in_flight: 1_024,
            max_connection_age: Duration::from_secs(600),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(20),
        }
    }
}

/// A combination of settings that would lose or falsify something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this configuration is not safe: {}", .0.join("; "))]
pub struct Unsafe(pub Vec<String>);

impl Config {
    /// Refuses combinations that would lose or falsify something. `databases` are the services that run here and their
    /// database URLs.
    ///
    /// # Errors
    /// [`Unsafe`], naming every unsafe combination and its remedy.
    pub fn check(&self, databases: &[(&str, &str)]) -> Result<(), Unsafe> {
        let mut found = Vec::new();
        let simulated = self.clock.simulated_from.is_some();
        if simulated && self.profile == Profile::Production {
            found.push("clock.simulated_from with profile = \"production\": remove one of them".to_owned());
        }
        let asks = !self.server.token.is_empty() || self.server.tls.is_mutual();
        if !asks && self.profile == Profile::Production {
            found.push(
                "neither server.token nor server.tls (certificate, key and ca) with profile = \"production\": anybody \
                 could call; set one"
                    .to_owned(),
            );
        }
        found.extend(self.server.tls.problems());
        if self.replicas == 0 {
            found.push("replicas = 0: set how many processes like this one run, at least 1".to_owned());
        }
        if self.replicas > 1 {
            let replicas = format!("with replicas = {}", self.replicas);
            if simulated {
                found.push(format!("clock.simulated_from {replicas}: a simulated clock has one process"));
            }
            if self.cache.is_memory() {
                found.push(format!("cache.url = \"memory\" {replicas}: set the URL of a Redis"));
            }
            for (service, url) in databases {
                if url.starts_with("sqlite:") {
                    found.push(format!(
                        "{service}.database_url is SQLite {replicas}: set the URL of a PostgreSQL"
                    ));
                }
            }
        }
        if found.is_empty() { Ok(()) } else { Err(Unsafe(found)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsafe_combination_is_refused_by_name() {
        let mut config = Config { profile: Profile::Production, ..Config::default() };
        config.clock.simulated_from = Some(perennial_types::from_micros(0));
        let refused = config.check(&[]).unwrap_err().to_string();
        assert!(refused.contains("clock.simulated_from") && refused.contains("production"), "{refused}");

        let config = Config { replicas: 3, ..Config::default() };
        let databases = [("scoring", "sqlite://data/scoring.db"), ("campaign", "postgres://db/perennial")];
        let refused = config.check(&databases).unwrap_err();
        assert_eq!(refused.0.len(), 2, "{refused}");
        assert!(
            refused.0[0].contains("cache.url") && refused.0[1].contains("scoring.database_url"),
            "{refused}"
        );
        assert_eq!(Config::default().check(&databases), Ok(()));
    }
}
