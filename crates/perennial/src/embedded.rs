//! All services in this process, for as long as one piece of work takes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use perennial_feed::Bell;
use perennial_runtime::{Host, Process};
use perennial_types::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::compose::{ALL, compose};
use crate::config::Config;

/// How long nothing may move before catching up counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// The services, while they run here.
pub struct Here {
    /// What they share.
    pub host: Host,
    /// Where their HTTP port is.
    pub http: std::net::SocketAddr,
}

/// Runs `work` with all services in this process. Only those in `active` do anything unasked, and those in
/// `listening` take in what others wrote: a command runs the consumers it needs, and never a send.
///
/// # Errors
/// What `work` failed with, or why the services cannot run.
pub async fn run<T>(
    config: &Config,
    active: &[&str],
    listening: &[&str],
    work: impl AsyncFnOnce(&Here) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut process = config.process.clone();
    // Whoever needs the services here is in this process; the ports are there for nobody.
    process.listen = ([127, 0, 0, 1], 0).into();
    process.http_listen = ([127, 0, 0, 1], 0).into();
    let host = Host::new(&process, &ALL)?;
    let services = compose(config, &host, &ALL).await?;
    let services = ALL
        .iter()
        .zip(services)
        .map(|(name, service)| match name {
            _ if active.contains(name) => service,
            _ if listening.contains(name) => service.only_readers(),
            _ => service.without_tasks(),
        })
        .collect();
    let bound = Process::bind(&process, host.clone(), services).await?;
    let here = Here { host, http: bound.http_address()? };
    let stop = CancellationToken::new();
    let mut serving = Box::pin(bound.serve(stop.clone()));
    let worked = tokio::select! {
        // The services first: until they have begun, nobody is busy, and work that waits for them to come to rest would
        // find that they have.
        biased;
        served = &mut serving => {
            served?;
            bail!("the services stopped before the work was done");
        }
        worked = work(&here) => worked,
    };
    stop.cancel();
    let served = serving.await;
    let result = worked?;
    served.context("stopping the services")?;
    Ok(result)
}

/// Waits until everything that is known has been taken in.
///
/// # Errors
/// Who did not come to rest.
pub async fn caught_up(bell: &Bell) -> anyhow::Result<()> {
    let mut quiet_at: Option<u64> = None;
    let mut moved = (bell.activity(), Instant::now());
    loop {
        let activity = bell.activity();
        match bell.busy() {
            None if quiet_at == Some(activity) => return Ok(()),
            None => quiet_at = Some(activity),
            Some(busy) => {
                quiet_at = None;
                if activity != moved.0 {
                    moved = (activity, Instant::now());
                }
                if moved.1.elapsed() > STUCK {
                    bail!("{busy} does not come to rest: run with -v to see why");
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Says of a data folder that its time is simulated: whoever opens it finds the clock standing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulated {
    /// Where the clock stands.
    pub now: Timestamp,
}

impl Simulated {
    const NAME: &str = "simulated.json";

    /// What a data folder says.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(Self::NAME)).ok()?).ok()
    }

    /// Writes it down.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn keep(self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(Self::NAME);
        std::fs::write(&path, serde_json::to_vec(&self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_begins_once_the_services_are_known_to_be_busy() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::default().in_folder(folder.path());
        for _ in 0..4 {
            let begun = run(&config, &["scoring"], &[], async |here| {
                // They are known before they have done anything: whoever waits for them to come to rest now does wait.
                anyhow::Ok(here.host.bell.busy())
            });
            assert_eq!(begun.await.expect("a run").as_deref(), Some("scoring lane 0"));
        }
    }
}
