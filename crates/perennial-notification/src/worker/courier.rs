//! Hands messages over, in rounds: everything up to the hand-over is prepared, then `handing` is committed for the round,
//! then it is handed over, and what became of it is committed with the next round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perennial_feed::{AnyReader, Listener};
use perennial_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::app::{App, Composed, Round};
use crate::channel::{Mailer, Parcel, Prepared};
use crate::error::Result;

/// How long a message may wait for what ingestion knows of consent.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often to look whether another process's reader has come further.
const LOOK: Duration = Duration::from_millis(20);

/// Messages taken up at once.
const BATCH: usize = 500;

/// Hands messages over.
pub struct Courier {
    app: App,
    mailer: Mailer,
    lag: Lag,
    /// How long another worker may take over a hand-over before it counts as gone; none where there is no other.
    patience: Option<Duration>,
}

impl Courier {
    /// A courier. `patience` is how long another worker's hand-over may take; none where there is only this one.
    #[must_use]
    pub fn new(app: App, mailer: Mailer, lag: Lag, patience: Option<Duration>) -> Self {
        Self { app, mailer, lag, patience }
    }

    /// Works until told to stop. What it was handing over when it stops is finished first.
    pub async fn run(mut self, listener: Listener, stop: CancellationToken) {
        let mut failures: u32 = 0;
        let mut started = false;
        while !stop.is_cancelled() {
            let due = match self.work(&mut started).await {
                Ok(Worked::Some) => {
                    failures = 0;
                    continue;
                }
                Ok(Worked::Nothing(due)) => {
                    failures = 0;
                    due
                }
                Err(error) => {
                    warn!(error = %perennial_rpc::Chain(&error), "messages wait");
                    failures += 1;
                    self.app.now().checked_add(Duration::from_millis(100 << failures.min(8))).ok()
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = listener.idle(due) => {}
            }
        }
    }

    async fn work(&mut self, started: &mut bool) -> Result<Worked> {
        if !*started || self.patience.is_some() {
            self.app.recover(self.mailer.idempotent(), self.patience.unwrap_or_default()).await?;
            *started = true;
        }
        let due = self.app.due(BATCH).await?;
        if due.is_empty() {
            return Ok(Worked::Nothing(self.app.next_due(self.patience).await?));
        }
        let mut round = Round::default();
        let composed = self.app.compose(due, &mut round).await?;
        let hold = self.lag.behind().await;
        let mut away = None;
        for composed in composed.chunks(self.mailer.round()) {
            if let Some(reason) = &away {
                // The next hop takes nothing now: asking it once more for each message would only take long.
                let now = self.app.now();
                composed.iter().for_each(|it| round.postpone(&it.due, String::clone(reason), now));
                continue;
            }
            let (next, reason) = self.hand_over(composed, round, hold).await?;
            (round, away) = (next, reason);
        }
        self.app.commit_round(round, &[], hold).await?;
        Ok(Worked::Some)
    }

    /// One round; gives what became of it, and why the next hop takes nothing, if it takes nothing.
    async fn hand_over(
        &mut self,
        composed: &[Composed],
        mut round: Round,
        hold: bool,
    ) -> Result<(Round, Option<String>)> {
        let parcels: Vec<Parcel> = composed.iter().map(|it| (it.due.message.id, it.letter.clone())).collect();
        let prepared = self.mailer.prepare(&parcels).await;
        let now = self.app.now();
        let mut ready = Vec::new();
        let mut away = None;
        for (it, prepared) in composed.iter().zip(prepared) {
            match prepared {
                Prepared::Ready => ready.push(it),
                Prepared::Refused(reason) => round.refuse(&it.due, reason, now),
                Prepared::Later(reason) => {
                    round.postpone(&it.due, reason.clone(), now);
                    away = Some(reason);
                }
            }
        }
        if !ready.is_empty() {
            away = None;
        }
        let handing = self.app.commit_round(round, &ready, hold).await?;
        let places: Vec<usize> = composed
            .iter()
            .enumerate()
            .filter(|(_, it)| handing.contains(&it.due.message.id))
            .map(|(place, _)| place)
            .collect();
        let outcomes = self.mailer.hand_over(&parcels, &places).await;
        let mut next = Round::default();
        let now = self.app.now();
        for (place, outcome) in places.into_iter().zip(outcomes) {
            if let Some(it) = composed.get(place) {
                next.handed(&it.due, outcome, now);
            }
        }
        Ok((next, away))
    }
}

enum Worked {
    Some,
    Nothing(Option<Timestamp>),
}

/// Whether the projection of consent has taken in all that ingestion had.
#[derive(Default)]
pub struct Lag(Option<Arc<dyn AnyReader>>);

impl Lag {
    /// Watches this reader.
    #[must_use]
    pub fn of(reader: Arc<dyn AnyReader>) -> Self {
        Self(Some(reader))
    }

    /// Whether it is still behind what ingestion has at this moment, after a little patience. Whatever led to a message
    /// that is due lies before this moment: a consent given together with the event that triggered it is never missed.
    async fn behind(&self) -> bool {
        let Some(reader) = &self.0 else { return false };
        let mut moved = reader.moved();
        let Ok(heads) = reader.heads().await else { return true };
        let caught_up = async {
            loop {
                moved.borrow_and_update();
                if let Ok(positions) = reader.positions().await
                    && reached(&heads, positions)
                {
                    return;
                }
                // Not for an instant to come, but for the reader: this process's, or another's, which does not tell.
                let _ = tokio::time::timeout(LOOK, moved.changed()).await;
            }
        };
        tokio::time::timeout(PATIENCE, caught_up).await.is_err()
    }
}

fn reached(heads: &BTreeMap<(String, u16), u64>, positions: Vec<(String, u16, u64)>) -> bool {
    let at: BTreeMap<_, _> = positions.into_iter().map(|(feed, part, seq)| ((feed, part), seq)).collect();
    heads.iter().all(|(key, head)| *head == 0 || at.get(key).is_some_and(|seq| seq >= head))
}
