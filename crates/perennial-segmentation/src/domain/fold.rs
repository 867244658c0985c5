//! What a record, a timer or a merge does to one profile's state.

use perennial_types::{Channel, Fact, FactKind, Timestamp, from_micros, micros};
use std::collections::BTreeSet;

use super::rules::{Need, Rules};
use super::state::{OrderEntry, Score, State, consent_key};
use super::view::{View, next_flip, next_stage_flip, next_turn, passes};

/// What is told about a profile.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// Something happened.
    Fact(&'a Fact),
    /// Addresses or identity changed.
    Profile {
        /// Channels with a known address.
        reachable: BTreeSet<Channel>,
        /// A user id, e-mail or phone is known.
        identified: bool,
    },
    /// Scores changed.
    Score(Score),
}

/// What made an answer change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An event, by its name.
    Event(String),
    /// Time: the part of the rule that it changed.
    Timer(String),
    /// Scores.
    Score,
    /// Addresses or identity.
    Profile,
    /// Another profile became this one.
    Merge,
    /// The rule was created or edited.
    Rule,
}

/// An answer that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Entered or left a segment.
    Segment {
        /// The segment's number.
        number: u32,
        /// Entered (true) or left.
        entered: bool,
        /// Since when.
        since: Timestamp,
        /// Why.
        cause: Cause,
    },
    /// Moved to another stage.
    Stage {
        /// The stage before; none at the first.
        from: Option<String>,
        /// The stage.
        to: String,
        /// Since when.
        since: Timestamp,
        /// Why.
        cause: Cause,
    },
}

/// Takes in one record.
pub fn apply(rules: &Rules, state: &mut State, at: Timestamp, input: &Input<'_>) -> Vec<Change> {
    let at = micros(at);
    let first = state.revision == 0;
    let (needs, cause) = match input {
        Input::Fact(fact) => (remember(rules, state, at, fact), Cause::Event(fact.name.clone())),
        Input::Profile { reachable, identified } => {
            state.reachable.clone_from(reachable);
            state.identified = *identified;
            (vec![Need::Profile], Cause::Profile)
        }
        Input::Score(score) => {
            state.score = Some(*score);
            (vec![Need::Score], Cause::Score)
        }
    };
    if first {
        state.revision = rules.revision;
        return answer(rules, state, at, &(0..rules.segments.len()).collect::<Vec<_>>(), true, &|_| {
            cause.clone()
        });
    }
    let mut segments = Vec::new();
    let mut stage = false;
    for affected in needs.iter().filter_map(|it| rules.affected(it)) {
        segments.extend_from_slice(&affected.segments);
        stage |= affected.stage;
    }
    segments.sort_unstable();
    segments.dedup();
    // A rule this state is not complete for waits for its backfill.
    segments.retain(|place| rules.segments[*place].revision <= state.revision);
    answer(rules, state, at, &segments, stage, &|_| cause.clone())
}

impl Rules {
    /// Whether an event of this name can change anything that is kept or answered. Traits, consent and orders always can;
    /// all others may be passed over.
    #[must_use]
    pub fn hears_of(&self, name: &str) -> bool {
        self.events.contains_key(name)
    }
}

/// Keeps what rules need of a fact and says what it can have changed.
fn remember(rules: &Rules, state: &mut State, now: i64, fact: &Fact) -> Vec<Need> {
    let at = micros(fact.at);
    let mut needs = Vec::new();
    if let Some(series) = rules.events.get(&fact.name) {
        for series in series {
            if at.saturating_add(series.horizon) <= now
                || !passes(series.filter.as_ref(), &fact.properties, rules.currency)
            {
                continue;
            }
            let value = match &series.property {
                None => None,
                Some(name) => match fact.number(name) {
                    Some(value) => Some(value),
                    None => continue,
                },
            };
            let forget = now.saturating_sub(series.horizon);
            state.series.entry(series.key).or_default().insert(at, value, forget);
        }
        needs.push(Need::Event(fact.name.clone()));
    }
    match &fact.kind {
        FactKind::Traits { set, unset } => {
            for (name, value) in set {
                state.set_trait(name, Some(value.clone()), at);
                needs.push(Need::Trait(name.clone()));
            }
            for name in unset {
                state.set_trait(name, None, at);
                needs.push(Need::Trait(name.clone()));
            }
        }
        FactKind::Consent(change) => {
            state.set_consent(consent_key(change.channel, change.purpose).to_owned(), change.granted, at);
            needs.push(Need::Consent(change.channel));
        }
        FactKind::Order(change) if rules.order_horizon > 0 => {
            state.forget_orders(now.saturating_sub(rules.order_horizon));
            if let Some(OrderEntry { order, series: member }) = state.order(change.order_id()) {
                order.apply(&fact.id.to_string(), fact.at, change);
                if matches!(change, perennial_types::OrderChange::Placed(_)) {
                    let series = rules.orders.get(&fact.name).into_iter().flatten();
                    let passing =
                        series.filter(|it| passes(it.filter.as_ref(), &fact.properties, rules.currency));
                    member.extend(passing.map(|it| it.key));
                }
            }
            needs.push(Need::Orders);
        }
        _ => {}
    }
    needs
}

/// Evaluates these segments and the stage, and says what changed.
fn answer(
    rules: &Rules,
    state: &mut State,
    at: i64,
    segments: &[usize],
    stage: bool,
    cause: &dyn Fn(Option<usize>) -> Cause,
) -> Vec<Change> {
    let since = from_micros(at);
    let mut changes = Vec::new();
    if stage {
        let place = View::new(rules, state, at).stage();
        state.stage_flip = next_stage_flip(rules, state, at);
        if let Some(now) = rules.stages.get(place)
            && state.stage.as_ref().is_none_or(|(known, _)| *known != now.name)
        {
            let from = state.stage.replace((now.name.clone(), at)).map(|it| it.0);
            changes.push(Change::Stage { from, to: now.name.clone(), since, cause: cause(None) });
        }
    }
    let mut answers = Vec::with_capacity(segments.len());
    {
        let view = View::new(rules, state, at);
        for place in segments {
            answers.push((*place, view.holds(*place), next_flip(rules, state, *place, at)));
        }
    }
    for (place, entered, flip) in answers {
        let number = rules.segments[place].number;
        match flip {
            Some(flip) => state.flips.insert(number, flip),
            None => state.flips.remove(&number),
        };
        if entered == state.members.contains_key(&number) {
            continue;
        }
        if entered {
            state.members.insert(number, at);
        } else {
            state.members.remove(&number);
        }
        changes.push(Change::Segment { number, entered, since, cause: cause(Some(place)) });
    }
    changes
}

/// Time has reached `at`: evaluates what it may have changed.
pub fn fire(rules: &Rules, state: &mut State, at: Timestamp) -> Vec<Change> {
    let at = micros(at);
    let due: Vec<u32> =
        state.flips.iter().filter(|(_, flip)| **flip <= at).map(|(number, _)| *number).collect();
    let mut segments = Vec::new();
    for number in due {
        match rules.numbered(number).and_then(|it| rules.place(&it.name)) {
            Some(place) if rules.segments[place].revision <= state.revision => segments.push(place),
            // Deleted, or edited and waiting for its backfill.
            _ => drop(state.flips.remove(&number)),
        }
    }
    let stage = state.stage_flip.is_some_and(|it| it <= at);
    let parts: Vec<(Option<usize>, Cause)> = segments
        .iter()
        .map(|place| Some(*place))
        .chain(stage.then_some(None))
        .map(|place| {
            let expr = place.map(|it| &rules.segments[it].expr);
            let turn = next_turn(rules, state, expr, at.saturating_sub(1));
            (place, Cause::Timer(turn.map(|it| it.part).unwrap_or_default()))
        })
        .collect();
    let cause = |place: Option<usize>| {
        parts.iter().find(|it| it.0 == place).map_or(Cause::Timer(String::new()), |it| it.1.clone())
    };
    answer(rules, state, at, &segments, stage, &cause)
}

/// Another profile became this one. States from `refold_floor` on hold all that any rule needs.
pub fn merge(rules: &Rules, state: &mut State, from: State, at: Timestamp, refold_floor: u64) -> Vec<Change> {
    let complete = match (state.revision, from.revision) {
        (0, other) | (other, 0) => other,
        (own, other) => own.min(other),
    };
    state.absorb(from);
    state.revision = if complete >= refold_floor { rules.revision } else { complete };
    evaluate(rules, state, at, &Cause::Merge)
}

/// Takes over what recomputing from facts cannot know (scores, addresses) and the answers in force, so that evaluating
/// gives the difference.
pub fn carry_over(old: &State, fresh: &mut State) {
    fresh.score = old.score;
    fresh.reachable.clone_from(&old.reachable);
    fresh.identified = old.identified;
    fresh.members.clone_from(&old.members);
    fresh.stage.clone_from(&old.stage);
    fresh.flips.clear();
    fresh.stage_flip = None;
}

/// Evaluates everything this state is complete for.
pub fn evaluate(rules: &Rules, state: &mut State, at: Timestamp, cause: &Cause) -> Vec<Change> {
    let complete = |place: &usize| rules.segments[*place].revision <= state.revision;
    let segments: Vec<usize> = (0..rules.segments.len()).filter(complete).collect();
    let known: BTreeSet<u32> = rules.segments.iter().map(|it| it.number).collect();
    state.members.retain(|number, _| known.contains(number));
    state.flips.retain(|number, _| known.contains(number));
    answer(rules, state, micros(at), &segments, true, &|_| cause.clone())
}

/// Forgets entries no rule asks for any more.
pub fn tidy(rules: &Rules, state: &mut State) {
    let series = rules.series();
    state.series.retain(|key, _| series.contains(key));
    if rules.order_horizon == 0 {
        state.orders.clear();
        state.past_orders.clear();
    }
}
