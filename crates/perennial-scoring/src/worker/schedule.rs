//! Fits on schedule: once a day, at the same hour, whatever is due.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use perennial_feed::Listener;
use perennial_types::{Timestamp, Workspace, from_micros, micros};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::{App, FitRequest};
use crate::domain::model::Status;
use crate::error::Error;
use crate::store;

/// The errand that re-scores everybody by a new model.
pub const PUBLISH: &str = "publish";

const DAY_MICROS: i64 = 86_400_000_000;

/// Fits models when they are due. With a simulated clock it holds the world before each check until what was due is
/// published, so that two runs publish the same models at the same instants.
pub struct Fitter {
    app: Arc<App>,
    listener: Listener,
    next: Timestamp,
}

impl Fitter {
    /// A fitter that begins with the next check; with the system's clock, what came due meanwhile is fitted at once.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        let listener = app.bell.listener("scoring fits", []);
        let now = app.clock.now();
        let next = if app.clock.simulation().is_some() {
            check_after(from_micros(micros(now) - 1), app.settings.schedule.offset)
        } else {
            now
        };
        app.hold(next);
        Self { app, listener, next }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let now = self.app.clock.now();
            if now < self.next {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.listener.idle(Some(self.next)) => {}
                }
                continue;
            }
            // A simulation may have jumped past it: what is due is due at its own instant all the same.
            let instant = if self.app.clock.simulation().is_some() { self.next } else { now };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.check(instant) => {}
            }
            self.next = check_after(instant, self.app.settings.schedule.offset);
            self.app.hold(self.next);
        }
    }

    /// Fits whatever is due at an instant.
    async fn check(&self, instant: Timestamp) {
        let before = from_micros(micros(instant) - 1);
        while let Err(error) = self.app.catch_up(before).await {
            warn!(error = %perennial_rpc::Chain(&error), "a scheduled fit waits for scores to be complete");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let due = match store::due(self.app.store.read(), instant).await {
            Ok(due) => due,
            Err(error) => {
                warn!(error = %perennial_rpc::Chain(&error), "what is due to be fitted cannot be read: tomorrow again");
                return;
            }
        };
        for workspace in due {
            if let Err(error) = self.fit(&workspace, instant).await {
                warn!(%workspace, error = %perennial_rpc::Chain(&error), "no model could be fitted: the one before it goes on serving");
            }
        }
        let waiting = match store::waiting(self.app.store.read(), instant).await {
            Ok(waiting) => waiting,
            Err(error) => {
                warn!(error = %perennial_rpc::Chain(&error), "what may drift cannot be read: tomorrow again");
                return;
            }
        };
        for (workspace, due) in waiting {
            if let Err(error) = self.watch(&workspace, due, instant).await {
                warn!(%workspace, error = %perennial_rpc::Chain(&error), "no model could be fitted after a drift: the one before it goes on serving");
            }
        }
    }

    /// Fits a model before it is due if orders no longer come as the one in force expects.
    async fn watch(&self, workspace: &Workspace, due: Timestamp, instant: Timestamp) -> Result<(), Error> {
        let app = &self.app;
        let schedule = app.settings.schedule;
        let (Some(interval), every @ 1..) = (schedule.interval, schedule.drift_check_days) else {
            return Ok(());
        };
        let Some(serving) = store::latest(app.store.read(), workspace).await? else { return Ok(()) };
        // Days that are over.
        let days = app.settings.calendar.day(instant).saturating_sub(serving.finding.cutoff_day) - 1;
        if serving.finding.fitted.is_none() || days < every || days % every != 0 {
            return Ok(());
        }
        let drift = app.drift_at(workspace, instant).await?.1;
        if !drift.is_drifting {
            return Ok(());
        }
        let occasion = format!("fitted before it was due: {}", drift.verdict());
        warn!(%workspace, model = %serving.label(), verdict = %drift.verdict(), "orders drift from the model");
        let tx = app.store.write().await?;
        let claimed = store::advance(&tx, workspace, due, following(instant, interval)).await?;
        perennial_store::Store::commit(tx).await?;
        if !claimed {
            return Ok(());
        }
        let request = FitRequest {
            kind: schedule.kind,
            cutoff: None,
            publish: true,
            scheduled: true,
            refine: None,
            keeps: false,
            occasion: Some(occasion),
            id: None,
        };
        self.carry_out(workspace, request, instant).await
    }

    async fn fit(&self, workspace: &Workspace, instant: Timestamp) -> Result<(), Error> {
        let app = &self.app;
        let schedule = app.settings.schedule;
        let Some(interval) = schedule.interval else { return Ok(()) };
        let reach = store::totals(app.store.read(), workspace).await?;
        let enough = |it: i64, least: u64| it.unsigned_abs() >= least;
        if !enough(reach.customers, schedule.least_customers)
            || !enough(reach.repeat_days, schedule.least_repeaters)
        {
            return Ok(());
        }
        // Claimed first: a fit that fails is tried again when the next is due, not every day.
        let next = following(instant, interval);
        let tx = app.store.write().await?;
        let claimed = store::postpone(&tx, workspace, instant, next).await?;
        perennial_store::Store::commit(tx).await?;
        if !claimed {
            return Ok(());
        }
        let in_force = store::latest(app.store.read(), workspace).await?;
        let chosen = in_force.and_then(|it| {
            let chosen = from_micros(it.finding.chosen_at).checked_add(schedule.choice_interval).ok()?;
            (chosen > instant).then(|| it.finding.model_kind()).flatten()
        });
        let request = FitRequest {
            kind: schedule.kind.or(chosen),
            refine: None,
            keeps: schedule.kind.is_none() && chosen.is_some(),
            occasion: None,
            cutoff: None,
            publish: true,
            scheduled: true,
            id: None,
        };
        self.carry_out(workspace, request, instant).await
    }

    async fn carry_out(
        &self,
        workspace: &Workspace,
        request: FitRequest,
        instant: Timestamp,
    ) -> Result<(), Error> {
        let app = &self.app;
        let found = app.fit(workspace, request, instant, Box::new(|_| false)).await;
        if let Err(error @ Error::Fit(_)) = &found {
            app.note_failure(workspace, instant, error).await?;
        }
        let (model, heard) = found?;
        if model.status == Status::Published {
            info!(%workspace, model = %model.label(), reason = %model.reason, "model published");
        } else {
            warn!(%workspace, model = %model.label(), reason = %model.reason, "model refused: the one before it goes on serving");
        }
        for it in heard {
            let _ = it.await;
        }
        Ok(())
    }
}

/// When the next fit is due: a little before a whole interval, so that checks at the same hour meet it.
fn following(instant: Timestamp, interval: SignedDuration) -> Timestamp {
    instant.checked_add(interval - SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX)
}

/// The first check after an instant.
fn check_after(at: Timestamp, offset: SignedDuration) -> Timestamp {
    let offset = i64::try_from(offset.as_micros()).unwrap_or_default();
    let days = (micros(at) - offset).div_euclid(DAY_MICROS) + 1;
    from_micros(days * DAY_MICROS + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_once_a_day_at_the_hour_and_strictly_later() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let three = SignedDuration::from_hours(3);
        assert_eq!(check_after(at("2026-03-01T00:00:00Z"), three), at("2026-03-01T03:00:00Z"));
        assert_eq!(check_after(at("2026-03-01T03:00:00Z"), three), at("2026-03-02T03:00:00Z"));
        assert_eq!(check_after(at("2026-03-01T02:59:59.999999Z"), three), at("2026-03-01T03:00:00Z"));
    }
}
