//! What the process gives to each service it runs.

use perennial_cache::Cache;
use perennial_feed::Bell;
use perennial_types::{Clock, SimulatedClock};

use crate::{Config, Keyring, Mesh, telemetry};

/// What a service may use of the process. Everything in it is cheap to clone.
#[derive(Clone)]
#[non_exhaustive]
pub struct Host {
    /// The only source of "now".
    pub clock: Clock,
    /// Wakes background loops, and knows when all of them are quiet.
    pub bell: Bell,
    /// Reaches other services.
    pub mesh: Mesh,
    /// Keeps what is dear to compute.
    pub cache: Cache,
    /// Keys that were good a moment ago.
    pub keys: Keyring,
}

impl Host {
    /// What `config` describes, for a process that runs the services with the short names `runs`. Once a process, after telemetry was started; needs a running tokio runtime.
    ///
    /// # Errors
    /// If the configuration is not safe, or an address in it is none.
    pub fn new(config: &Config, runs: &[&str]) -> anyhow::Result<Self> {
        config.check(&[])?;
        let clock = match config.clock.simulated_from {
            Some(start) => Clock::simulated(SimulatedClock::at(start)),
            None => Clock::system(),
        };
        let cache = Cache::open(&config.cache)?;
        telemetry::watch_cache(&cache);
        let (bell, mesh) = (Bell::new(clock.clone()), Mesh::new(config, runs)?);
        Ok(Self { clock, bell, mesh, cache, keys: Keyring::default() })
    }
}
