//! Forecasts against what came: backtests, and the watch over the model in force.

use perennial_clv::evaluate::{self, Backtest, Step, track};
use perennial_types::{Timestamp, Workspace};

use super::App;
use super::fitting::{Watch, blocking};
use crate::domain::drift::{self, Drift};
use crate::domain::fit::{Step as Progress, competitors};
use crate::domain::ledger::{DAYS_PER_WEEK, Days};
use crate::error::{Error, Result};
use crate::store;

/// What to test: the last day that may be seen, and the days to forecast after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRequest {
    /// The last day that may be seen.
    pub cutoff: i32,
    /// Days to forecast.
    pub horizon: i32,
}

/// What a backtest found, and purchases week by week beside what the picked model expects.
pub type Tested = (Backtest, Vec<Step>);

impl App {
    /// Forecasts from a day in the past: every model, the baselines, and the one the selection picks; and purchases week by
    /// week beside what that one expects.
    ///
    /// # Errors
    /// If there are no orders, or too few for what is asked, or it was told to stop.
    pub async fn backtest(
        &self,
        workspace: &Workspace,
        request: TestRequest,
        mut watch: Watch,
    ) -> Result<Tested> {
        let TestRequest { cutoff, horizon } = request;
        self.catch_up(self.clock.now()).await?;
        let _one_at_a_time = self.fitting.lock().await;
        let until = cutoff.saturating_add(horizon.max(0));
        let db = self.store.read();
        if store::currency(db, workspace).await?.is_none() {
            return Err(Error::NoOrders(workspace.to_string()));
        }
        let ledger = store::ledger(db, workspace, until).await?;
        let found = blocking(move || {
            let mut customers: Vec<Days<'_>> = ledger.customers().map(Days).collect();
            customers.sort_unstable();
            let kinds = competitors(customers.len());
            let phase = |done, total| {
                let is_late = total - done <= kinds.len() + 1;
                if is_late { "forecasting what came" } else { "letting models foretell what is held out" }
            };
            let stop = |done, total| watch(Progress { done, total, phase: phase(done, total) });
            let asked = (cutoff, horizon);
            let found = evaluate::backtest_with(&customers, asked, kinds, DAYS_PER_WEEK, stop)?;
            let picked = found.lines.iter().find(|it| it.is_selected).and_then(|it| it.model);
            let weeks = match picked {
                Some(model) => track(&customers, &model, (cutoff, until), 7, DAYS_PER_WEEK)?,
                None => Vec::new(),
            };
            Ok::<_, evaluate::BacktestError>((found, weeks))
        });
        match found.await? {
            Err(evaluate::BacktestError::Stopped) => Err(Error::TestCancelled),
            other => Ok(other?),
        }
    }

    /// How the model in force does on what came after its cutoff.
    ///
    /// # Errors
    /// If none serves.
    pub async fn drift(&self, workspace: &Workspace) -> Result<(String, Drift)> {
        self.drift_at(workspace, self.clock.now()).await
    }

    /// How the model in force does on what came after its cutoff and before an instant.
    ///
    /// # Errors
    /// If none serves.
    pub async fn drift_at(&self, workspace: &Workspace, at: Timestamp) -> Result<(String, Drift)> {
        let db = self.store.read();
        let nothing = || Error::NothingServes(workspace.to_string());
        let force = self.reader.fold().in_force(db, workspace).await?.ok_or_else(nothing)?;
        if force.finding.fitted.is_none() {
            return Err(nothing());
        }
        let today = self.settings.calendar.day(at);
        let ledger = store::ledger(db, workspace, today).await?;
        let label = force.label.clone();
        let found = blocking(move || drift::watch(&ledger, &force.finding, today)).await?;
        Ok((label, found.ok_or_else(nothing)?))
    }
}
