//! Background tasks: started together, waited for by name.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::anyhow;
use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::fault::panic_message;
use crate::service::{Starter, Task};

/// Tasks that run.
pub struct Tasks {
    running: JoinSet<(String, anyhow::Result<()>)>,
    names: BTreeSet<String>,
}

impl Tasks {
    /// Starts tasks that are to end when `halt` is cancelled.
    pub fn start(starters: Vec<Starter>, halt: &CancellationToken) -> Self {
        let mut running = JoinSet::new();
        let mut names = BTreeSet::new();
        // All of them first: a task may register with the bell as it is made, and nobody may find the process quiet before.
        let tasks: Vec<Task> = starters.into_iter().flat_map(|start| start(halt)).collect();
        for Task { name, work } in tasks {
            names.insert(name.clone());
            let span = tracing::info_span!("task", task.name = name);
            let named = async move {
                let result = AssertUnwindSafe(work).catch_unwind().await;
                let result =
                    result.unwrap_or_else(|panic| Err(anyhow!("panicked: {}", panic_message(&*panic))));
                (name, result)
            };
            running.spawn(named.instrument(span));
        }
        Self { running, names }
    }

    /// Waits for a task to end, which none should, and says which and why.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.running.join_next().await {
            Some(Ok((name, result))) => {
                self.names.remove(&name);
                match result {
                    Ok(()) => anyhow!("the task \"{name}\" ended by itself"),
                    Err(error) => error.context(format!("the task \"{name}\"")),
                }
            }
            Some(Err(error)) => anyhow::Error::new(error).context("a task"),
            None => std::future::pending().await,
        }
    }

    /// Waits for all tasks to end, and names those that do not within `patience`.
    pub async fn finish(mut self, patience: Duration) {
        let names = &mut self.names;
        let running = &mut self.running;
        let all = async {
            while let Some(ended) = running.join_next().await {
                if let Ok((name, result)) = ended {
                    if let Err(error) = result {
                        tracing::warn!(task.name = name, error = format!("{error:#}"), "ended with an error");
                    }
                    names.remove(&name);
                }
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(tasks = ?self.names, ?patience, "did not stop in time: cut off");
            self.running.shutdown().await;
        }
    }
}
