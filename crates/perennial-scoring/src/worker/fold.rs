//! Orders in, scores out: what scoring makes of ingestion's feed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use perennial_api::scoring::v1::ScoreUpdated;
use perennial_feed::{Fold, FoldFault, Personal, Record, Turn};
use perennial_rpc::facts::{self, About};
use perennial_store::{ConnectionTrait, DatabaseTransaction, StoreError};
use perennial_types::{Currency, FactKind, OrderChange, ProfileId, Workspace, micros};
use sha2::{Digest, Sha256};

use crate::config::Settings;
use crate::domain::customer::{Change, Customer, Figures, PurchaseDay, difference};
use crate::domain::model::InForce;
use crate::domain::portrait::{Portrait, Traits};
use crate::domain::score::{Brief, Judge};
use crate::store::{self, DayKey, ScoreRow};

/// The kind of a record of scoring's feed.
const SCORE_UPDATED: &str = "score_updated";

/// Scoring's fold.
pub struct ScoreFold {
    settings: Arc<Settings>,
    /// Models in force as they were last read: they never change, only newer ones come.
    cache: Mutex<Book>,
}

/// Models in force by workspace.
pub type Book = HashMap<Workspace, Arc<InForce>>;

/// A row for one of the service's tables.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A purchase day, or that there is none.
    Day(DayKey, Option<PurchaseDay>),
    /// A score, or that there is none.
    Score(Workspace, ProfileId, Option<ScoreRow>),
    /// A workspace with orders.
    Currency(Workspace, Currency),
    /// What was known at a first order, or that there is none.
    Traits(Workspace, ProfileId, Option<Traits>),
}

impl ScoreFold {
    /// The fold under some settings.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, cache: Mutex::default() }
    }

    /// The model in force in a workspace.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn in_force(
        &self,
        db: &impl ConnectionTrait,
        workspace: &Workspace,
    ) -> Result<Option<Arc<InForce>>, StoreError> {
        match store::published_version(db, workspace).await? {
            Some(version) => self.force(db, workspace, version).await,
            None => Ok(None),
        }
    }

    async fn force(
        &self,
        db: &impl ConnectionTrait,
        workspace: &Workspace,
        version: i64,
    ) -> Result<Option<Arc<InForce>>, StoreError> {
        let known = self.cache().get(workspace).cloned();
        if let Some(known) = known.filter(|it| it.version == version) {
            return Ok(Some(known));
        }
        let found = store::force(db, workspace, version).await?.map(Arc::new);
        if let Some(found) = &found {
            self.cache().insert(workspace.clone(), found.clone());
        }
        Ok(found)
    }

    fn cache(&self) -> MutexGuard<'_, Book> {
        // What is kept stays whole between any two statements.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge<'a>(&'a self, book: &'a Book, workspace: &Workspace) -> Judge<'a> {
        Judge {
            rules: &self.settings.rules,
            calendar: &self.settings.calendar,
            force: book.get(workspace).map(Arc::as_ref),
        }
    }

    /// Leaves behind what changed between two states of a customer.
    fn settle(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        before: (&Figures, bool),
        customer: &mut Customer,
        change: Change,
    ) {
        let judge = self.judge(book, turn.workspace());
        let (before, was_reactivated) = before;
        if change == Change::Purchases {
            customer.reactivated = judge.reactivated(customer);
        }
        let figures = customer.figures(&self.settings.calendar);
        if figures == *before && customer.reactivated == was_reactivated {
            // The browser and the server told of the same order, or an order that counts for nothing changed.
            return;
        }
        let (workspace, profile) = (turn.workspace().clone(), turn.profile());
        let (written, gone) = difference(&before.days, &figures.days);
        for day in written {
            turn.row(Row::Day((workspace.clone(), profile, day.day), Some(day)));
        }
        for day in gone {
            turn.row(Row::Day((workspace.clone(), profile, day), None));
        }
        if figures.traits != before.traits {
            turn.row(Row::Traits(workspace.clone(), profile, figures.traits.clone()));
        }
        if before.orders == 0
            && figures.orders > 0
            && let Some(currency) = customer.currency()
        {
            turn.row(Row::Currency(workspace, currency));
        }
        // An order that was never placed, or never counted, is no news.
        if before.orders > 0 || figures.orders > 0 {
            publish(&judge, turn, &figures, customer, true);
        }
    }
}

/// Appends the score and leaves its row; without need only if it differs from what was told last by more than rounding.
fn publish(
    judge: &Judge<'_>,
    turn: &mut Turn<Row>,
    figures: &Figures,
    customer: &mut Customer,
    needed: bool,
) {
    let brief = judge.brief(figures, turn.at());
    let message = message(judge, figures, &brief, customer.reactivated);
    let told = print(&message);
    if !needed && told == customer.told {
        return;
    }
    customer.told = told;
    let row = figures.last.map(|last| ScoreRow {
        orders: figures.orders.into(),
        purchase_days: i64::try_from(figures.days.len()).unwrap_or(i64::MAX),
        revenue: figures.revenue,
        profit: figures.profit,
        known: figures.known,
        last_order: last,
        clv: brief.clv.map(|it| it.0),
        rfm: brief.rfm.map_or([0; 3], |it| [it.recency, it.frequency, it.monetary]),
        at: turn.at(),
    });
    turn.row(Row::Score(turn.workspace().clone(), turn.profile(), row));
    turn.append(SCORE_UPDATED, &message);
}

/// What readers can tell apart: chances and counts to the fourth decimal, percentiles to the third, money to the minor unit,
/// instants to the minute. Which model says so is none of it.
fn print(it: &ScoreUpdated) -> u64 {
    let decimals = |value: f64, factor: f64| (value * factor).round() as i64;
    let minutes = |micros: i64| micros.div_euclid(60_000_000);
    let seen = [
        it.orders,
        it.revenue_minor,
        it.profit_minor,
        it.last_order_micros,
        it.first_order_micros,
        decimals(it.p_alive, 1e4),
        decimals(it.expected_orders_90d, 1e4),
        it.expected_profit_90d_minor,
        it.clv_12m_minor,
        it.clv_12m_low_minor,
        it.clv_12m_high_minor,
        decimals(it.clv_percentile, 1e3),
        minutes(it.overdue_micros),
        minutes(it.lapse_micros),
        i64::from(it.reactivated),
        i64::from(it.recency_score),
        i64::from(it.frequency_score),
        i64::from(it.monetary_score),
        // A first model is news, even of those of whom it says nothing.
        i64::from(it.model.is_empty()),
    ];
    let bytes: Vec<u8> = seen.iter().flat_map(|it| it.to_le_bytes()).collect();
    let hash = Sha256::digest(&bytes);
    let first: [u8; 8] = std::array::from_fn(|i| hash[i]);
    // Nought is for what was never told.
    u64::from_le_bytes(first).max(1)
}

fn message(judge: &Judge<'_>, figures: &Figures, brief: &Brief, reactivated: bool) -> ScoreUpdated {
    let instant = |it: Option<_>| it.map_or(0, micros);
    let (clv, low, high) = brief.clv.unwrap_or_default();
    let rfm = brief.rfm.map_or([0; 3], |it| [it.recency, it.frequency, it.monetary]).map(u32::from);
    ScoreUpdated {
        model: judge.force.map(|it| it.label.clone()).unwrap_or_default(),
        orders: figures.orders.into(),
        revenue_minor: figures.revenue,
        profit_minor: figures.profit,
        last_order_micros: instant(figures.last),
        first_order_micros: instant(figures.first),
        p_alive: brief.p_alive,
        expected_orders_90d: brief.orders_90d,
        expected_profit_90d_minor: brief.profit_90d,
        clv_12m_minor: clv,
        clv_12m_low_minor: low,
        clv_12m_high_minor: high,
        clv_percentile: brief.percentile,
        overdue_micros: instant(brief.instants.map(|it| it.overdue)),
        lapse_micros: instant(brief.instants.map(|it| it.lapse)),
        reactivated,
        recency_score: rfm[0],
        frequency_score: rfm[1],
        monetary_score: rfm[2],
    }
}

#[async_trait]
impl Fold for ScoreFold {
    type State = Customer;
    type Row = Row;
    type Book = Book;

    async fn book(&self, tx: &DatabaseTransaction) -> Result<Arc<Book>, FoldFault> {
        let mut book = Book::new();
        for (name, version) in store::published(tx).await? {
            let workspace = Workspace::parse(&name).map_err(FoldFault::poison)?;
            if let Some(force) = self.force(tx, &workspace, version).await? {
                book.insert(workspace, force);
            }
        }
        Ok(Arc::new(book))
    }

    /// Orders, and the birth of a profile: who never ordered has a score, too.
    fn concerns(&self, record: &Record) -> bool {
        match &*record.kind {
            facts::KIND => matches!(facts::about(&record.payload), Some(About::Order) | None),
            kind => kind == "profile",
        }
    }

    fn apply(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        state: &mut Customer,
        record: &Record,
    ) -> Result<(), FoldFault> {
        if record.kind != facts::KIND {
            return Ok(());
        }
        let fact = facts::decode(&record.payload).map_err(FoldFault::poison)?;
        let FactKind::Order(order) = &fact.kind else { return Ok(()) };
        let before = state.figures(&self.settings.calendar);
        if let OrderChange::Placed(placed) = order {
            let (sources, id) = (&self.settings.sources, fact.id.simple().to_string());
            state.meet(Portrait::of(id, fact.at, placed, &fact.properties, sources));
        }
        match state.apply(fact.id, fact.at, order) {
            Change::Nothing => {}
            change => self.settle(book, turn, (&before, state.reactivated), state, change),
        }
        Ok(())
    }

    fn fire(&self, _: &Book, _: &mut Turn<Row>, _: &mut Customer, _: &str) -> Result<(), FoldFault> {
        // Overdue and lapse instants are published with the score; whoever acts on them sets the timer.
        Ok(())
    }

    fn merge(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        into: &mut Customer,
        from: Customer,
    ) -> Result<(), FoldFault> {
        let before = into.figures(&self.settings.calendar);
        match into.merge(from) {
            Change::Nothing => {}
            change => self.settle(book, turn, (&before, into.reactivated), into, change),
        }
        Ok(())
    }

    fn depart(
        &self,
        _: &Book,
        turn: &mut Turn<Row>,
        state: &Customer,
        _: ProfileId,
    ) -> Result<(), FoldFault> {
        if !state.has_orders() {
            return Ok(());
        }
        let (workspace, profile) = (turn.workspace().clone(), turn.profile());
        for it in state.figures(&self.settings.calendar).days {
            turn.row(Row::Day((workspace.clone(), profile, it.day), None));
        }
        turn.row(Row::Traits(workspace.clone(), profile, None));
        turn.row(Row::Score(workspace, profile, None));
        Ok(())
    }

    fn refolded(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        old: &Customer,
        fresh: &mut Customer,
    ) -> Result<(), FoldFault> {
        let same = old.instants() == fresh.instants();
        if same {
            // Which model was in force when the latest order came is history: it is not judged again.
            fresh.reactivated = old.reactivated;
        }
        fresh.told = old.told;
        let before = old.figures(&self.settings.calendar);
        let change = if same { Change::Amounts } else { Change::Purchases };
        self.settle(book, turn, (&before, old.reactivated), fresh, change);
        Ok(())
    }

    fn visit(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        state: &mut Customer,
        _: &str,
    ) -> Result<(), FoldFault> {
        if !state.has_orders() {
            return Ok(());
        }
        // A new model is no event in the customer's life: what it changes at once starts nothing.
        turn.set_historical(true);
        let figures = state.figures(&self.settings.calendar);
        if figures.orders > 0 {
            publish(&self.judge(book, turn.workspace()), turn, &figures, state, false);
        }
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        &store::PERSONAL
    }

    async fn write(&self, tx: &DatabaseTransaction, rows: Vec<Row>) -> Result<(), FoldFault> {
        let mut days: BTreeMap<DayKey, Option<PurchaseDay>> = BTreeMap::new();
        let mut scores: BTreeMap<(Workspace, ProfileId), Option<ScoreRow>> = BTreeMap::new();
        let mut currencies: BTreeMap<Workspace, Currency> = BTreeMap::new();
        let mut traits: BTreeMap<(Workspace, ProfileId), Option<Traits>> = BTreeMap::new();
        // Later rows of a batch replace earlier ones.
        for row in rows {
            match row {
                Row::Day(key, it) => {
                    days.insert(key, it);
                }
                Row::Score(workspace, profile, it) => {
                    scores.insert((workspace, profile), it);
                }
                Row::Currency(workspace, currency) => {
                    currencies.entry(workspace).or_insert(currency);
                }
                Row::Traits(workspace, profile, it) => {
                    traits.insert((workspace, profile), it);
                }
            }
        }
        store::write_days(tx, days).await?;
        store::write_scores(tx, scores).await?;
        store::write_traits(tx, traits).await?;
        store::write_currencies(tx, currencies).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
