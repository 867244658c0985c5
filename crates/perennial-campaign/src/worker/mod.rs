//! What campaign does unasked: it reads the feeds of ingestion, scoring and segmentation and lets the rules decide.

mod lifts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use perennial_api::campaign::v1 as wire;
use perennial_api::ingestion::v1::ProfileUpdated;
use perennial_api::scoring::v1::ScoreUpdated;
use perennial_api::segmentation::v1::{SegmentChanged, StageChanged};
use perennial_feed::{Fold, FoldFault, Parted, Personal, Record, Turn};
use perennial_rpc::facts::{self, About, Glance};
use perennial_store::DatabaseTransaction;
use perennial_types::{Clock, ProfileId, Workspace, from_micros, micros};
use prost::Message as _;

use crate::domain::book::Entry;
use crate::domain::events::VIEWED;
use crate::domain::state::{Score, State};
use crate::domain::{Book, Effects, Policy, Row, Send, Step, definition};
use crate::metrics::Metrics;
use crate::store::lifts::Published;
use crate::store::{PERSONAL, campaigns, decisions, exposures, lifts as published};

pub use lifts::Publisher;

/// How long scoring and segmentation are waited for; then transactional messages go without what they would have said.
const PATIENCE: Duration = Duration::from_secs(30);

/// The one timer of a profile: whatever is next due.
const TIMER: &str = "due";
/// The errand that sets yearly dates for everybody when a campaign with one goes live.
pub const PLAN_DATES: &str = "plan dates";

/// The errand that starts a campaign on those already there; its name follows.
pub const ENTER_EXISTING: &str = "enter existing ";

/// The fold of campaign.
pub struct Journeys {
    policy: Policy,
    clock: Clock,
    metrics: Metrics,
    book: Mutex<Option<(i64, Arc<Books>)>>,
}

/// The campaigns in force, by workspace.
#[derive(Default)]
pub struct Books {
    by_workspace: BTreeMap<Workspace, Book>,
    none: Book,
}

impl Books {
    fn of(&self, workspace: &Workspace) -> &Book {
        self.by_workspace.get(workspace).unwrap_or(&self.none)
    }
}

impl Journeys {
    /// A fold that decides by `policy` and asks `clock` how late it is.
    #[must_use]
    pub fn new(policy: Policy, clock: Clock, metrics: Metrics) -> Self {
        Self { policy, clock, metrics, book: Mutex::default() }
    }

    /// The contact policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Runs one step of the rules, and leaves behind what it had for effects.
    fn step(
        &self,
        books: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        state: &mut State,
        run: impl FnOnce(&mut Step<'_>, &mut State),
    ) {
        let workspace = turn.workspace().clone();
        let mut step = Step {
            book: books.of(&workspace),
            policy: &self.policy,
            workspace: &workspace,
            profile: turn.profile(),
            at: turn.at(),
            // How late it is has to be asked of the clock: the one thing a replay may see otherwise.
            now: self.clock.now().max(turn.at()),
            historical: turn.historical(),
            stale: turn.stale(),
            effects: Effects::default(),
        };
        run(&mut step, state);
        let effects = step.effects;
        match state.next_due() {
            Some(due) if turn.timer(TIMER) == Some(from_micros(due)) => {}
            Some(due) => turn.set_timer(TIMER, from_micros(due)),
            None => turn.cancel_timer(TIMER),
        }
        for entered in effects.entries {
            let entered = wire::CampaignEntered {
                campaign: entered.campaign,
                version: entered.version,
                occurrence: entered.occurrence,
                held_out: entered.held_out,
            };
            turn.append("campaign_entered", &entered);
        }
        let profile = turn.profile();
        for send in effects.sends {
            let (id, not_before) = (send.message, from_micros(send.not_before));
            turn.command("notification", id, not_before, &command(profile, send));
        }
        for row in effects.rows {
            turn.row((workspace.clone(), row));
        }
    }
}

#[async_trait]
impl Fold for Journeys {
    type State = State;
    type Row = (Workspace, Row);
    type Book = Books;

    async fn book(&self, tx: &DatabaseTransaction) -> Result<Arc<Books>, FoldFault> {
        let revision = campaigns::revision(tx).await?;
        if let Some((known, books)) = &*self.book.lock().unwrap_or_else(PoisonError::into_inner)
            && *known == revision
        {
            return Ok(books.clone());
        }
        let books = Arc::new(bound(
            campaigns::versions(tx).await?,
            self.policy.currency,
            published::in_force(tx).await?,
        ));
        *self.book.lock().unwrap_or_else(PoisonError::into_inner) = Some((revision, books.clone()));
        Ok(books)
    }

    fn matters(&self, books: &Books, record: &Record) -> bool {
        if record.kind != facts::KIND {
            return true;
        }
        let book = books.of(&record.workspace);
        // What cannot be read is for `apply` to refuse.
        match facts::glance(&record.payload) {
            Some(Glance { name, about: About::Nothing }) => book.hears_of(name, None),
            Some(Glance { name, about: About::View }) => book.hears_of(name, Some(VIEWED)),
            Some(Glance { about: About::Message, .. }) => {
                facts::decode(&record.payload).map_or(true, |fact| book.hears(&fact))
            }
            _ => true,
        }
    }

    fn patience(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    fn apply(
        &self,
        book: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        state: &mut State,
        record: &Record,
    ) -> Result<(), FoldFault> {
        let payload = &record.payload[..];
        match &*record.kind {
            facts::KIND => {
                let fact = facts::decode(payload).map_err(FoldFault::poison)?;
                self.step(book, turn, state, |step, state| step.fact(state, &fact));
            }
            "profile" => {
                let it = ProfileUpdated::decode(payload).map_err(FoldFault::poison)?;
                self.step(book, turn, state, |step, state| {
                    step.profile(state, &it.draw_key, &it.time_zone, &it.reachable, it.identified);
                });
            }
            "score_updated" => {
                let it = ScoreUpdated::decode(payload).map_err(FoldFault::poison)?;
                self.step(book, turn, state, |step, state| step.score(state, score(it)));
            }
            "segment_changed" => {
                let it = SegmentChanged::decode(payload).map_err(FoldFault::poison)?;
                self.step(book, turn, state, |step, state| step.segment(state, &it.segment, it.entered));
            }
            "stage_changed" => {
                let it = StageChanged::decode(payload).map_err(FoldFault::poison)?;
                self.step(book, turn, state, |step, state| step.stage(state, &it.from, &it.to));
            }
            // What others tell and campaigns do not ask for.
            _ => {}
        }
        Ok(())
    }

    fn fire(
        &self,
        book: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        state: &mut State,
        _timer: &str,
    ) -> Result<(), FoldFault> {
        self.step(book, turn, state, |step, state| step.timer(state));
        Ok(())
    }

    fn merge(
        &self,
        book: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        into: &mut State,
        from: State,
    ) -> Result<(), FoldFault> {
        self.step(book, turn, into, |step, into| step.merge(into, from));
        Ok(())
    }

    fn depart(
        &self,
        _book: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        _state: &State,
        into: ProfileId,
    ) -> Result<(), FoldFault> {
        let row = Row::Merged { from: turn.profile(), into };
        turn.row((turn.workspace().clone(), row));
        Ok(())
    }

    fn refolded(
        &self,
        book: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        old: &State,
        fresh: &mut State,
    ) -> Result<(), FoldFault> {
        self.step(book, turn, fresh, |step, fresh| step.refolded(old, fresh));
        Ok(())
    }

    fn outlasts(&self, state: &State) -> bool {
        state.outlasts()
    }

    fn parted(
        &self,
        book: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        old: &mut State,
        parted: &Parted<State>,
    ) -> Result<(), FoldFault> {
        self.step(book, turn, old, |step, old| match parted {
            Parted::Returned { leaves } => step.come_back(old, leaves),
            Parted::Survivor { merged, left } => step.parted(old, micros(*merged), left),
        });
        Ok(())
    }

    fn visit(
        &self,
        book: &Books,
        turn: &mut Turn<(Workspace, Row)>,
        state: &mut State,
        errand: &str,
    ) -> Result<(), FoldFault> {
        self.step(book, turn, state, |step, state| match errand.strip_prefix(ENTER_EXISTING) {
            Some(campaign) => step.enter_existing(state, campaign),
            None => step.plan_dates(state),
        });
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        &PERSONAL
    }

    async fn write(&self, tx: &DatabaseTransaction, rows: Vec<(Workspace, Row)>) -> Result<(), FoldFault> {
        let (mut decided, mut exposed) = (Vec::new(), Vec::new());
        let mut returned = BTreeMap::new();
        let mut merged: BTreeMap<Workspace, Vec<(ProfileId, ProfileId)>> = BTreeMap::new();
        let (mut parted, mut anew) = (Vec::new(), Vec::new());
        for (workspace, row) in rows {
            match row {
                Row::Decision(it) => decided.push((workspace, *it)),
                Row::Exposure(it) => exposed.push((workspace, it)),
                Row::Returned { decision, delivery, reason } => {
                    let key = (workspace, delivery, reason);
                    returned.entry(key).or_insert_with(Vec::new).push(decision);
                }
                Row::Merged { from, into } => merged.entry(workspace).or_default().push((from, into)),
                Row::CameBack { profile, leaves } => parted.push((workspace, profile, leaves)),
                Row::Anew(profile) => anew.push((workspace, profile)),
            }
        }
        self.metrics.decided(&decided);
        decisions::append(tx, decided).await?;
        for ((workspace, delivery, reason), ids) in returned {
            decisions::returned(tx, &workspace, ids, delivery, &reason).await?;
        }
        exposures::forget(tx, &anew).await?;
        exposures::save(tx, exposed).await?;
        for (workspace, profile, leaves) in parted {
            decisions::give_back(tx, &workspace, profile, &leaves).await?;
        }
        for (workspace, merges) in &merged {
            decisions::merged(tx, workspace, merges).await?;
            let gone: Vec<_> = merges.iter().map(|(from, _)| (workspace.clone(), *from)).collect();
            exposures::forget(tx, &gone).await?;
        }
        Ok(())
    }
}

/// Binds all versions of all campaigns into books, with what was published of them.
fn bound(
    versions: Vec<campaigns::Version>,
    currency: perennial_types::Currency,
    mut lifts: BTreeMap<Workspace, Published>,
) -> Books {
    let mut found: BTreeMap<Workspace, BTreeMap<String, Entry>> = BTreeMap::new();
    for it in versions {
        match definition::read(&it.definition, currency) {
            Ok(mut campaign) => {
                campaign.take_terms(&it.offers);
                let by_name = found.entry(it.workspace).or_default();
                let entry = by_name.entry(it.name).or_insert_with(|| Entry {
                    lifecycle: it.lifecycle,
                    version: it.current,
                    versions: BTreeMap::new(),
                });
                entry.versions.insert(it.version, Arc::new(campaign));
            }
            // It was checked when it came; a release that reads it no more must say so, and run all the others.
            Err(error) => {
                tracing::error!(workspace = %it.workspace, campaign = it.name, version = it.version, %error, "left out");
            }
        }
    }
    let book = |(workspace, it): (Workspace, _)| {
        let book = Book::new(it).with_lifts(lifts.remove(&workspace).unwrap_or_default());
        (workspace, book)
    };
    let by_workspace = found.into_iter().map(book).collect();
    Books { by_workspace, none: Book::default() }
}

fn score(it: ScoreUpdated) -> Score {
    Score {
        model: it.model,
        p_alive: it.p_alive,
        orders_90d: it.expected_orders_90d,
        profit_90d: it.expected_profit_90d_minor,
        clv_12m: it.clv_12m_minor,
        percentile: it.clv_percentile,
        overdue: it.overdue_micros,
        lapse: it.lapse_micros,
        rfm: (it.recency_score, it.frequency_score, it.monetary_score),
    }
}

fn command(profile: ProfileId, send: Send) -> wire::SendCommand {
    let bytes = |id: uuid::Uuid| id.as_bytes().to_vec();
    let (period, budget) = send.budget.unwrap_or_default();
    wire::SendCommand {
        message: bytes(send.message),
        decision: bytes(send.decision),
        profile: bytes(profile.0),
        campaign: send.campaign,
        step: send.step,
        occurrence: send.occurrence,
        channel: send.channel.as_str().to_owned(),
        purpose: send.purpose.as_str().to_owned(),
        template: send.template,
        data_json: send.data.to_string(),
        not_before_micros: send.not_before,
        not_after_micros: send.not_after,
        decided_micros: send.decided,
        coupon: send.coupon.map(|(id, offer, valid)| wire::CouponCommand {
            issue: bytes(id),
            offer,
            valid_seconds: valid / 1_000_000,
            budget_period: period,
            budget_minor: budget,
        }),
    }
}
