//! What this service does unasked: folds facts and scores into membership and stages.

pub mod forget;

use async_trait::async_trait;
use perennial_api::ingestion::v1::ProfileUpdated;
use perennial_api::scoring::v1::ScoreUpdated;
use perennial_api::segmentation::v1::{SegmentChanged, StageChanged};
use perennial_feed::{Fold, FoldFault, Parted, Personal, Record, Turn};
use perennial_rpc::facts::{About, glance};
use perennial_store::{ConnectionTrait, DatabaseTransaction, StoreError};
use perennial_types::{Channel, Currency, ProfileId, Timestamp, Workspace, from_micros, micros};
use prost::Message;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{
    self, Cause, Change, Input, KnownEvents, Rules, Score, Segment, Stage, State, Vocabulary, check,
};
use crate::metrics::Metrics;
use crate::store::PERSONAL;
use crate::store::members::{self, MemberChange};
use crate::store::segments::{self, Definition, Rulebook};
use crate::store::stages::{self, StageMove};

/// The one timer of a profile: when time alone may next change an answer.
const FLIP: &str = "flip";

/// The fold.
pub struct Segmentation {
    currency: Currency,
    stages: Vec<Stage>,
    books: Mutex<HashMap<Workspace, Arc<InForce>>>,
    /// What is in force where nobody ever defined a segment.
    elsewhere: Arc<InForce>,
    names: Mutex<Names>,
    metrics: Metrics,
}

/// Event names that need not be written down again.
#[derive(Default)]
struct Names {
    known: HashMap<Workspace, HashSet<String>>,
    /// Left for writing by a batch that may yet have been rolled back.
    unsure: Vec<(Workspace, String)>,
}

/// What is in force in one workspace.
pub struct InForce {
    /// The rules.
    pub rules: Rules,
    /// States before this revision wait to be recomputed from facts.
    pub refold_floor: u64,
}

/// What is in force everywhere.
pub struct Book {
    by_workspace: HashMap<Workspace, Arc<InForce>>,
    elsewhere: Arc<InForce>,
}

impl Book {
    /// What is in force in a workspace.
    pub fn of(&self, workspace: &Workspace) -> &InForce {
        self.by_workspace.get(workspace).unwrap_or(&self.elsewhere)
    }
}

/// A row to write after a batch.
#[derive(Debug)]
pub enum Row {
    /// Entered or left a segment.
    Member(MemberChange),
    /// Moved to a stage.
    Stage(StageMove),
    /// A profile ended: the segments it was in, and what it became.
    Gone(Workspace, ProfileId, Vec<u32>, ProfileId),
    /// A profile that had become another one is itself again, and those are it.
    Returned(Workspace, ProfileId, Vec<ProfileId>),
    /// An event of a new name.
    Event(Workspace, String),
}

/// Compiles the segments of a workspace.
pub fn compile(
    currency: Currency,
    stages: &[Stage],
    definitions: &[Definition],
    revision: u64,
) -> Result<Rules, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt { what: "rule", reason };
    let vocabulary = Vocabulary {
        events: KnownEvents::default(),
        any_event: true,
        currency,
        segments: definitions.iter().map(|it| it.name.clone()).collect(),
        stages: stages.iter().map(|it| it.name.clone()).collect(),
    };
    let segment = |it: &Definition| {
        let expr = check(&it.rule, &vocabulary).map_err(|fault| corrupt(format!("{}: {fault}", it.name)))?;
        Ok(Segment {
            number: it.number,
            name: it.name.clone(),
            expr,
            version: it.version,
            revision: it.revision,
        })
    };
    let segments = definitions.iter().map(segment).collect::<Result<Vec<_>, StoreError>>()?;
    Rules::new(currency, stages.to_vec(), segments, revision).map_err(|fault| corrupt(fault.to_string()))
}

impl Segmentation {
    /// A fold with these stages.
    ///
    /// # Errors
    /// The stages cannot be in force together.
    pub fn new(currency: Currency, stages: Vec<Stage>) -> Result<Self, StoreError> {
        let rules = compile(currency, &stages, &[], 1)?;
        Ok(Self {
            currency,
            stages,
            books: Mutex::default(),
            elsewhere: Arc::new(InForce { rules, refold_floor: 0 }),
            names: Mutex::default(),
            metrics: Metrics::new(),
        })
    }

    /// The stages, in order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// What is in force in a workspace, from its rulebook.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn in_force(
        &self,
        db: &impl ConnectionTrait,
        workspace: &Workspace,
        rulebook: &Rulebook,
    ) -> Result<Arc<InForce>, StoreError> {
        let known = self.books.lock().unwrap_or_else(PoisonError::into_inner).get(workspace).cloned();
        if let Some(known) = known
            && known.rules.revision == rulebook.revision
            && known.refold_floor == rulebook.refold_floor
        {
            return Ok(known);
        }
        let definitions = segments::all(db, workspace).await?;
        let rules = compile(self.currency, &self.stages, &definitions, rulebook.revision)?;
        let fresh = Arc::new(InForce { rules, refold_floor: rulebook.refold_floor });
        self.books.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace.clone(), fresh.clone());
        Ok(fresh)
    }

    fn is_new_name(&self, workspace: &Workspace, name: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded: whoever invents a name for every event costs an upsert, not memory.
        if names.known.values().map(HashSet::len).sum::<usize>() >= 50_000 {
            names.known.clear();
        }
        let known = names.known.entry(workspace.clone()).or_default();
        if name.is_empty() || name.len() > 200 || known.contains(name) {
            return false;
        }
        known.insert(name.to_owned());
        names.unsure.push((workspace.clone(), name.to_owned()));
        true
    }

    fn is_known_name(&self, workspace: &Workspace, name: &str) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.known.get(workspace).is_some_and(|it| it.contains(name))
    }

    /// Forgets the names that an earlier batch left and did not commit.
    async fn make_sure_of_names(&self, db: &impl ConnectionTrait) -> Result<(), StoreError> {
        let unsure = std::mem::take(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner).unsure);
        let workspaces: BTreeSet<&Workspace> = unsure.iter().map(|it| &it.0).collect();
        for workspace in workspaces {
            let written = segments::event_names(db, workspace).await?;
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            for key in unsure.iter().filter(|it| it.0 == *workspace && !written.contains(&it.1)) {
                if let Some(known) = names.known.get_mut(workspace) {
                    known.remove(&key.1);
                }
            }
        }
        Ok(())
    }

    fn leave(&self, rules: &Rules, turn: &mut Turn<Row>, state: &State, changes: Vec<Change>) {
        let (workspace, profile, historical) = (turn.workspace().clone(), turn.profile(), turn.historical());
        for change in changes {
            match change {
                Change::Segment { number, entered, since, cause } => {
                    let Some(segment) = rules.numbered(number) else { continue };
                    turn.append(
                        "segment_changed",
                        &SegmentChanged {
                            segment: segment.name.clone(),
                            entered,
                            since_micros: micros(since),
                            version: segment.version,
                        },
                    );
                    let workspace = workspace.clone();
                    let row =
                        MemberChange { workspace, number, profile, at: since, entered, cause, historical };
                    turn.row(Row::Member(row));
                }
                Change::Stage { from, to, since, cause } => {
                    turn.append(
                        "stage_changed",
                        &StageChanged {
                            from: from.unwrap_or_default(),
                            to: to.clone(),
                            since_micros: micros(since),
                        },
                    );
                    let workspace = workspace.clone();
                    turn.row(Row::Stage(StageMove {
                        workspace,
                        profile,
                        at: since,
                        stage: to,
                        cause,
                        historical,
                    }));
                }
            }
        }
        match state.due().map(from_micros) {
            Some(due) if turn.timer(FLIP) != Some(due) => turn.set_timer(FLIP, due),
            Some(_) => {}
            None => turn.cancel_timer(FLIP),
        }
    }
}

/// Scores as the rules see them.
pub fn score(it: &ScoreUpdated) -> Score {
    let rfm = [it.recency_score, it.frequency_score, it.monetary_score];
    Score {
        modelled: !it.model.is_empty(),
        orders: it.orders,
        revenue: it.revenue_minor,
        profit: it.profit_minor,
        last_order: it.last_order_micros,
        p_alive: it.p_alive,
        percentile: it.clv_percentile,
        expected_profit_90d: it.expected_profit_90d_minor,
        expected_profit_12m: it.clv_12m_minor,
        overdue: it.overdue_micros,
        lapse: it.lapse_micros,
        reactivated: it.reactivated,
        rfm: rfm.map(|it| u8::try_from(it).unwrap_or(5)),
    }
}

/// Until when everything is known in this step.
fn present(turn: &Turn<Row>) -> Timestamp {
    turn.at().max(turn.origin().instant)
}

#[async_trait]
impl Fold for Segmentation {
    type State = State;
    type Row = Row;
    type Book = Book;

    async fn book(&self, tx: &DatabaseTransaction) -> Result<Arc<Book>, FoldFault> {
        let mut by_workspace = HashMap::new();
        for (name, rulebook) in segments::rulebooks(tx).await? {
            let workspace = Workspace::parse(&name)
                .map_err(|error| StoreError::Corrupt { what: "workspace", reason: error.to_string() })?;
            let in_force = self.in_force(tx, &workspace, &rulebook).await?;
            by_workspace.insert(workspace, in_force);
        }
        self.make_sure_of_names(tx).await?;
        Ok(Arc::new(Book { by_workspace, elsewhere: self.elsewhere.clone() }))
    }

    /// Nobody stays unknown for this: ingestion tells of every new profile in a record of its own.
    fn matters(&self, book: &Book, record: &Record) -> bool {
        if record.kind != perennial_rpc::facts::KIND {
            return true;
        }
        // What cannot be read is for `apply` to refuse.
        let Some(seen) = glance(&record.payload) else { return true };
        matches!(seen.about, About::Traits | About::Consent | About::Order)
            || book.of(&record.workspace).rules.hears_of(seen.name)
            || !self.is_known_name(&record.workspace, seen.name)
    }

    fn apply(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        state: &mut State,
        record: &Record,
    ) -> Result<(), FoldFault> {
        let rules = &book.of(turn.workspace()).rules;
        let changes = match &*record.kind {
            perennial_rpc::facts::KIND => {
                let fact = perennial_rpc::facts::decode(&record.payload).map_err(FoldFault::poison)?;
                if self.is_new_name(turn.workspace(), &fact.name) {
                    turn.row(Row::Event(turn.workspace().clone(), fact.name.clone()));
                }
                domain::apply(rules, state, turn.at(), &Input::Fact(&fact))
            }
            "profile" => {
                let it = ProfileUpdated::decode(record.payload.clone()).map_err(FoldFault::poison)?;
                let reachable = it.reachable.iter().filter_map(|it| Channel::parse(it)).collect();
                let input = Input::Profile { reachable, identified: it.identified };
                domain::apply(rules, state, turn.at(), &input)
            }
            "score_updated" => {
                let it = ScoreUpdated::decode(record.payload.clone()).map_err(FoldFault::poison)?;
                domain::apply(rules, state, turn.at(), &Input::Score(score(&it)))
            }
            _ => return Ok(()),
        };
        self.leave(rules, turn, state, changes);
        Ok(())
    }

    fn fire(&self, book: &Book, turn: &mut Turn<Row>, state: &mut State, _: &str) -> Result<(), FoldFault> {
        let rules = &book.of(turn.workspace()).rules;
        let changes = domain::fire(rules, state, turn.at());
        self.leave(rules, turn, state, changes);
        Ok(())
    }

    fn merge(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        into: &mut State,
        from: State,
    ) -> Result<(), FoldFault> {
        let InForce { rules, refold_floor } = book.of(turn.workspace());
        let changes = domain::merge(rules, into, from, turn.at(), *refold_floor);
        self.leave(rules, turn, into, changes);
        Ok(())
    }

    fn depart(
        &self,
        _: &Book,
        turn: &mut Turn<Row>,
        state: &State,
        into: ProfileId,
    ) -> Result<(), FoldFault> {
        let numbers = state.members.keys().copied().collect();
        turn.row(Row::Gone(turn.workspace().clone(), turn.profile(), numbers, into));
        Ok(())
    }

    fn refolded(
        &self,
        book: &Book,
        turn: &mut Turn<Row>,
        old: &State,
        fresh: &mut State,
    ) -> Result<(), FoldFault> {
        let rules = &book.of(turn.workspace()).rules;
        domain::carry_over(old, fresh);
        fresh.revision = rules.revision;
        let changes = domain::evaluate(rules, fresh, present(turn), &Cause::Rule);
        self.leave(rules, turn, fresh, changes);
        Ok(())
    }

    fn parted(
        &self,
        _: &Book,
        turn: &mut Turn<Row>,
        old: &mut State,
        parted: &Parted<State>,
    ) -> Result<(), FoldFault> {
        if let Parted::Returned { leaves } = parted {
            *old = State::default();
            let row = Row::Returned(turn.workspace().clone(), turn.profile(), leaves.clone());
            turn.row(row);
        }
        Ok(())
    }

    fn visit(&self, book: &Book, turn: &mut Turn<Row>, state: &mut State, _: &str) -> Result<(), FoldFault> {
        let InForce { rules, refold_floor } = book.of(turn.workspace());
        // A profile never seen has nothing to evaluate; one before the floor waits for its recomputing.
        if state.revision == 0 || state.revision < *refold_floor || state.revision >= rules.revision {
            return Ok(());
        }
        turn.set_historical(true);
        state.revision = rules.revision;
        domain::tidy(rules, state);
        let changes = domain::evaluate(rules, state, present(turn), &Cause::Rule);
        self.leave(rules, turn, state, changes);
        Ok(())
    }

    fn personal(&self) -> &'static [Personal] {
        &PERSONAL
    }

    async fn write(&self, tx: &DatabaseTransaction, rows: Vec<Row>) -> Result<(), FoldFault> {
        let (mut changes, mut moves, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let (mut gone, mut merges, mut returned) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            match row {
                Row::Member(it) => changes.push(it),
                Row::Stage(it) => moves.push(it),
                Row::Event(workspace, name) => names.push((workspace, name)),
                Row::Returned(workspace, profile, leaves) => {
                    merges.extend(leaves.into_iter().map(|it| (workspace.clone(), it, profile)));
                    returned.push((workspace, profile));
                }
                Row::Gone(workspace, profile, numbers, into) => {
                    merges.push((workspace.clone(), profile, into));
                    gone.push((workspace, profile, numbers));
                }
            }
        }
        self.metrics.changed(changes.len(), moves.len());
        segments::save_event_names(tx, names).await?;
        members::save(tx, changes).await?;
        stages::save(tx, moves).await?;
        let ended: Vec<(Workspace, ProfileId)> =
            gone.iter().map(|(workspace, profile, _)| (workspace.clone(), *profile)).collect();
        members::forget(tx, &gone).await?;
        stages::forget(tx, &ended).await?;
        members::save_merged(tx, &merges).await?;
        members::undo_merged(tx, &returned).await?;
        Ok(())
    }
}
