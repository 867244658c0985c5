//! One record or timer of one profile: what it changes, and what it sets off.

use perennial_types::{Fact, FactKind, ProfileId, Timestamp, Workspace, from_micros, micros};

use super::book::Book;
use super::definition::{Trigger, Until};
use super::effect::{Decision, Effects, Outcome, Reason, Row};
use super::events::Event;
use super::expr::View;
use super::policy::{LONGEST, Policy};
use super::state::{Cart, Pending, Score, State, Wait};
use super::{dates, draw};

/// One step over one profile.
pub struct Step<'a> {
    /// The campaigns in force.
    pub book: &'a Book,
    /// The contact policy.
    pub policy: &'a Policy,
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The profile.
    pub profile: ProfileId,
    /// The instant of the record or the timer.
    pub at: Timestamp,
    /// What the clock says: later than `at` after an outage.
    pub now: Timestamp,
    /// Changes state only: starts, satisfies and sends nothing.
    pub historical: bool,
    /// Scores, segments or stages have not come as far as this step.
    pub stale: bool,
    /// What it leaves behind.
    pub effects: Effects,
}

impl Step<'_> {
    /// A typed fact of ingestion.
    pub fn fact(&mut self, state: &mut State, fact: &Fact) {
        let event = Event::of(fact, state);
        for name in event.names().filter(|it| self.book.asked().contains(*it)) {
            state.seen.insert(name.to_owned(), micros(fact.at));
        }
        apply(state, fact);
        self.heard(state, fact);
        self.goals(state, &event, micros(fact.at));
        if matches!(fact.kind, FactKind::Order(_)) {
            self.recount(state);
        }
        if matches!(fact.kind, FactKind::Traits { .. }) {
            state.dates.clear();
        }
        if !self.historical {
            self.satisfy(state, |until, view| match until {
                Until::Event(name, filter) => {
                    event.is(name)
                        && filter.as_ref().is_none_or(|it| it.holds(View { it: &event.properties, ..view }))
                }
                _ => false,
            });
            self.trigger(state, &event.properties, |trigger, view| match trigger {
                Trigger::Event { name, filter } => {
                    event.is(name) && filter.as_ref().is_none_or(|it| it.holds(view))
                }
                _ => false,
            });
        }
        self.plan_dates(state);
    }

    /// What others need to know of the profile.
    pub fn profile(
        &mut self,
        state: &mut State,
        draw_key: &str,
        zone: &str,
        reachable: &[String],
        identified: bool,
    ) {
        // The key of the leaf profile stays: holdouts must not move when somebody is identified.
        if state.draw_key.is_empty() {
            draw_key.clone_into(&mut state.draw_key);
        }
        if state.zone != zone {
            zone.clone_into(&mut state.zone);
            state.dates.clear();
        }
        state.reachable = reachable.iter().cloned().collect();
        state.identified = identified;
        self.plan_dates(state);
    }

    /// New scores.
    pub fn score(&mut self, state: &mut State, score: Score) {
        // An instant that has passed already is no news: only one that is reached starts a campaign.
        if score.overdue <= micros(self.at) {
            state.overdue_fired = state.overdue_fired.max(score.overdue);
        }
        state.score = score;
    }

    /// A segment was entered or left.
    pub fn segment(&mut self, state: &mut State, segment: &str, entered: bool) {
        let changed =
            if entered { state.segments.insert(segment.to_owned()) } else { state.segments.remove(segment) };
        if self.historical || !changed {
            return;
        }
        self.satisfy(state, |until, _| entered && matches!(until, Until::Segment(name) if name == segment));
        let it = [("segment".to_owned(), segment.into())].into();
        self.trigger(state, &it, |trigger, _| {
            matches!(trigger, Trigger::Segment { name, entered: wanted } if name == segment && *wanted == entered)
        });
    }

    /// The lifecycle stage changed.
    pub fn stage(&mut self, state: &mut State, from: &str, to: &str) {
        let changed = state.stage != to;
        to.clone_into(&mut state.stage);
        if self.historical || !changed {
            return;
        }
        self.satisfy(state, |until, _| matches!(until, Until::Stage(name) if name == to));
        let it = [("stage".to_owned(), to.into()), ("from".to_owned(), from.into())].into();
        self.trigger(state, &it, |trigger, _| matches!(trigger, Trigger::Stage(name) if name == to));
    }

    /// The profile's timer is due.
    pub fn timer(&mut self, state: &mut State) {
        let at = micros(self.at);
        self.end_waits(state);
        if state.score.overdue > state.overdue_fired && state.score.overdue <= at {
            state.overdue_fired = state.score.overdue;
            let last = state.last_order();
            if !self.historical && (last.is_none() || state.overdue_after != last) {
                state.overdue_after = last;
                let it = [(
                    "expected_by".to_owned(),
                    from_micros(state.score.overdue).to_string().as_str().into(),
                )];
                self.trigger(state, &it.into(), |trigger, _| *trigger == Trigger::Overdue);
            }
        }
        let due: Vec<String> =
            state.dates.iter().filter(|(_, due)| **due <= at).map(|(it, _)| it.clone()).collect();
        for campaign in due {
            state.dates.remove(&campaign);
            if !self.historical {
                let it = [("date".to_owned(), from_micros(at).to_string().as_str().into())].into();
                self.pend(state, &campaign, String::new(), it);
            }
        }
        self.plan_dates(state);
        if state.decide.is_some_and(|it| it <= at) {
            state.decide = None;
            self.decide(state, at);
        }
        state.contacts.retain(|it| it.at > at - LONGEST);
        state.forget_underway(at);
    }

    /// Lets waits end that wait for what just happened.
    fn satisfy(&mut self, state: &mut State, matches: impl Fn(&Until, View<'_>) -> bool) {
        let mut satisfied = Vec::new();
        for (place, instance) in &state.instances {
            if let Wait::Event(_) = instance.wait
                && let Some(until) = self.waits_for(instance)
                && matches(until, View::of(state, self.at, &instance.it))
            {
                satisfied.push(place.clone());
            }
        }
        for place in satisfied {
            if let Some(instance) = state.instances.get_mut(&place) {
                instance.step += 1;
                instance.wait = Wait::Ready;
                instance.late = false;
                state.decide_at(micros(self.at));
            }
        }
    }

    /// Notes the campaigns that what just happened starts; who enters is decided once its instant is over.
    fn trigger(
        &mut self,
        state: &mut State,
        it: &perennial_types::Properties,
        matches: impl Fn(&Trigger, View<'_>) -> bool,
    ) {
        let mut found = Vec::new();
        for (name, _, campaign) in self.book.live() {
            if matches(&campaign.trigger, View::of(state, self.at, it)) {
                let key = match &campaign.instance {
                    super::definition::InstanceKey::Profile => Some(String::new()),
                    super::definition::InstanceKey::Property(property) => {
                        it.get(property).map(ToString::to_string).filter(|it| !it.is_empty())
                    }
                };
                found.push((name.to_owned(), key));
            }
        }
        for (campaign, key) in found {
            match key {
                Some(key) => self.pend(state, &campaign, key, it.clone()),
                None => {
                    let text = "the event lacks the property that tells instances apart";
                    self.not_entered(state, &campaign, micros(self.at), "key", text);
                }
            }
        }
    }

    /// Notes that something starts a campaign; who enters is decided once its instant is over.
    pub fn pend(&mut self, state: &mut State, campaign: &str, key: String, it: perennial_types::Properties) {
        // The last trigger of an instant counts.
        state.pending.retain(|known| known.campaign != campaign || known.key != key);
        state.pending.push(Pending { campaign: campaign.to_owned(), key, it });
        state.decide_at(micros(self.at));
    }

    /// Sets yearly dates that are not set yet.
    pub fn plan_dates(&mut self, state: &mut State) {
        if self.book.dated().is_empty() && state.dates.is_empty() {
            return;
        }
        state.dates.retain(|name, _| self.book.dated().contains(name));
        let (zone, _) = self.policy.zone_of(&state.zone);
        for name in self.book.dated() {
            if state.dates.contains_key(name) {
                continue;
            }
            let Some(campaign) = self.book.entry(name).and_then(|it| it.current()) else { continue };
            if let Trigger::Date { name: of, at, days } = &campaign.trigger
                && let Some(value) = state.traits.get(of)
                && let Some(due) = dates::next(value, *at, *days, self.at, &zone)
            {
                state.dates.insert(name.clone(), micros(due));
            }
        }
    }

    /// Records why nobody entered, once for each reason in a row.
    pub fn not_entered(&mut self, state: &mut State, campaign: &str, at: i64, code: &str, text: &str) {
        if state.refused.get(campaign).is_some_and(|it| it == code) {
            return;
        }
        state.refused.insert(campaign.to_owned(), code.to_owned());
        let version = self.book.entry(campaign).map_or(0, |it| it.version);
        self.record(
            state,
            Line { campaign, version, occurrence: "", step: "", at },
            Outcome::NotEntered,
            vec![Reason::new(code, text)],
        );
    }

    /// Records a decision and gives its id.
    pub fn record(
        &mut self,
        state: &mut State,
        line: Line<'_>,
        outcome: Outcome,
        reasons: Vec<Reason>,
    ) -> uuid::Uuid {
        state.decisions += 1;
        let order = state.decisions;
        let profile = self.profile.to_string();
        let id = draw::id_of(&[
            "decision",
            self.workspace.as_str(),
            &profile,
            line.campaign,
            line.occurrence,
            line.step,
            &line.at.to_string(),
            &order.to_string(),
        ]);
        self.effects.rows.push(Row::Decision(Box::new(Decision {
            id,
            profile: self.profile,
            at: line.at,
            order,
            campaign: line.campaign.to_owned(),
            version: line.version,
            occurrence: line.occurrence.to_owned(),
            step: line.step.to_owned(),
            outcome,
            reasons,
            runner_up: None,
            priority: 0.0,
        })));
        id
    }
}

/// What a decision is about.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The campaign.
    pub campaign: &'a str,
    /// The version.
    pub version: u64,
    /// Which run.
    pub occurrence: &'a str,
    /// The step.
    pub step: &'a str,
    /// When, microseconds.
    pub at: i64,
}

/// What a fact says about the profile itself.
fn apply(state: &mut State, fact: &Fact) {
    match &fact.kind {
        FactKind::Traits { set, unset } => {
            state.traits.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
            unset.iter().for_each(|it| {
                state.traits.remove(it);
            });
        }
        FactKind::Consent(it) => {
            state.consent.insert(format!("{}/{}", it.channel.as_str(), it.purpose.as_str()), it.granted);
        }
        FactKind::CartChanged { cart_id, lines } => {
            let line = |it: &perennial_types::CartLine| {
                (it.product_id.clone(), it.name.clone().unwrap_or_default(), it.quantity, it.price)
            };
            state.cart = (!lines.is_empty())
                .then(|| Cart { id: cart_id.clone(), lines: lines.iter().take(50).map(line).collect() });
        }
        FactKind::Order(change) => {
            let known = state.orders.entry(change.order_id().to_owned()).or_default();
            let placed_before = known.placed_at().is_some();
            known.apply(&fact.id.to_string(), fact.at, change);
            if !placed_before && known.placed_at().is_some() {
                state.cart = None;
            }
        }
        FactKind::Message(it) if it.event == perennial_types::MessageEvent::Complained => {
            // The fact does not name its channel; mail is where complaints come from.
            state.complained.insert("email".to_owned());
        }
        _ => {}
    }
}
