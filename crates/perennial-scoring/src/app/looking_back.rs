//! Forecasts against what came: backtests, and the watch over the model in force.

use perennial_clv::evaluate::{self, Backtest, Step, track};
use perennial_types::Workspace;

use super::App;
use super::fitting::blocking;
use crate::domain::drift::{self, Drift};
use crate::domain::fit::COMPETITORS;
use crate::domain::ledger::{DAYS_PER_WEEK, Days};
use crate::error::{Error, Result};
use crate::store;

impl App {
    /// Forecasts from a day in the past: every model, the baselines, and the one the selection picks; and purchases week by
    /// week beside what that one expects.
    ///
    /// # Errors
    /// If there are no orders, or too few for what is asked.
    pub async fn backtest(
        &self,
        workspace: &Workspace,
        cutoff: i32,
        horizon: i32,
    ) -> Result<(Backtest, Vec<Step>)> {
        self.catch_up(self.clock.now()).await?;
        let until = cutoff.saturating_add(horizon.max(0));
        let db = self.store.read();
        if store::currency(db, workspace).await?.is_none() {
            return Err(Error::NoOrders(workspace.to_string()));
        }
        let ledger = store::ledger(db, workspace, until).await?;
        let found = blocking(move || {
            let customers: Vec<Days<'_>> = ledger.customers().map(Days).collect();
            let found = evaluate::backtest(&customers, (cutoff, horizon), &COMPETITORS, DAYS_PER_WEEK)?;
            let picked = found.lines.iter().find(|it| it.is_selected).and_then(|it| it.model);
            let weeks = match picked {
                Some(model) => track(&customers, &model, (cutoff, until), 7, DAYS_PER_WEEK)?,
                None => Vec::new(),
            };
            Ok::<_, evaluate::BacktestError>((found, weeks))
        });
        Ok(found.await??)
    }

    /// How the model in force does on what came after its cutoff.
    ///
    /// # Errors
    /// If none serves.
    pub async fn drift(&self, workspace: &Workspace) -> Result<(String, Drift)> {
        let db = self.store.read();
        let nothing = || Error::NothingServes(workspace.to_string());
        let force = self.reader.fold().in_force(db, workspace).await?.ok_or_else(nothing)?;
        if force.finding.fitted.is_none() {
            return Err(nothing());
        }
        let today = self.settings.calendar.day(self.clock.now());
        let ledger = store::ledger(db, workspace, today).await?;
        let label = force.label.clone();
        let found = blocking(move || drift::watch(&ledger, &force.finding, today)).await?;
        Ok((label, found.ok_or_else(nothing)?))
    }
}
