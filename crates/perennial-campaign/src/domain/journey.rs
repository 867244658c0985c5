//! Entering a campaign, walking its steps, waiting, and leaving on its goal.

use std::sync::Arc;

use perennial_types::{from_micros, micros};

use super::definition::{Campaign, Op, Reenter, Trigger, Until};
use super::effect::{Entered, Exposed, Outcome, Reason, Row};
use super::events::Event;
use super::existing::EXISTING;
use super::expr::View;
use super::outcome::Exposure;
use super::state::{Instance, Pending, State, Wait, place};
use super::step::{Line, Step};

impl Step<'_> {
    /// The version an instance runs.
    pub fn campaign_of(&self, instance: &Instance) -> Option<&Arc<Campaign>> {
        self.book.version(&instance.campaign, instance.version)
    }

    /// What an instance that waits for something waits for.
    pub fn waits_for(&self, instance: &Instance) -> Option<&Until> {
        match self.campaign_of(instance)?.program.get(instance.step)? {
            Op::WaitUntil { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Leaves every campaign whose goal was just reached, and counts conversions that are no orders.
    pub fn goals(&mut self, state: &mut State, event: &Event<'_>, happened: i64) {
        let reached = |state: &State, campaign: &Campaign| {
            campaign.goal.as_ref().is_some_and(|goal| {
                event.is(&goal.event)
                    && goal
                        .filter
                        .as_ref()
                        .is_none_or(|it| it.holds(View::of(state, self.at, &event.properties)))
            })
        };
        let converted: Vec<String> = state
            .exposures
            .iter()
            .filter(|(_, it)| it.other_goal && it.covers(happened))
            .filter(|(name, _)| {
                self.book.entry(name).and_then(|it| it.current()).is_some_and(|it| reached(state, it))
            })
            .map(|(name, _)| name.clone())
            .collect();
        let left: Vec<String> = state
            .instances
            .values()
            .filter(|it| it.again == 0 && happened >= it.entered)
            .filter(|it| self.campaign_of(it).is_some_and(|it| reached(state, it)))
            .map(Instance::place)
            .collect();
        let instances = state.instances.values().filter(|it| it.again > 0);
        let repeats: Vec<(String, String)> = state
            .underway
            .values()
            .map(|it| &it.instance)
            .chain(instances)
            .filter(|it| happened >= it.entered && self.campaign_of(it).is_some_and(|it| reached(state, it)))
            .map(|it| (it.campaign.clone(), it.key.clone()))
            .collect();
        for name in &converted {
            if let Some(exposure) = state.exposures.get_mut(name) {
                exposure.events += 1;
            }
        }
        if !converted.is_empty() {
            self.recount(state);
        }
        for (campaign, key) in repeats {
            let why = "the goal was reached before it could be sent";
            self.overtake(state, &campaign, &key, None, micros(self.at), why);
        }
        for place in left {
            if let Some(instance) = state.instances.remove(&place) {
                let text = match event.properties.get("order_id").map(ToString::to_string) {
                    Some(id) => self.order_text(state, &id),
                    None => event.names().last().unwrap_or_default().to_owned(),
                };
                let at = micros(self.at);
                self.leave(state, &instance, at, Outcome::GoalReached, Reason::new("goal", text));
            }
        }
    }

    fn order_text(&self, state: &State, id: &str) -> String {
        let Some(order) = state.orders.get(id) else { return format!("order {id}") };
        let currency = self.policy.currency;
        let (revenue, profit) = (currency.format(order.net_revenue()), currency.format(order.net_profit()));
        format!("order {id}, {revenue} {currency}, profit {profit} {currency}")
    }

    /// Records that an instance has come to an end.
    pub fn leave(
        &mut self,
        state: &mut State,
        instance: &Instance,
        at: i64,
        outcome: Outcome,
        reason: Reason,
    ) {
        let occurrence = instance.occurrence();
        let line = Line {
            campaign: &instance.campaign,
            version: instance.version,
            occurrence: &occurrence,
            step: "",
            at,
        };
        self.record(state, line, outcome, vec![reason]);
        if outcome != Outcome::Finished && instance.again == 0 {
            let why = "its run ended before it could be sent";
            self.overtake(state, &instance.campaign, &instance.key, None, at, why);
        }
    }

    /// Writes outcomes that differ from what was last written.
    pub fn recount(&mut self, state: &mut State) {
        let State { exposures, orders, .. } = state;
        for (campaign, exposure) in exposures.iter_mut() {
            let totals = exposure.count(orders);
            if totals != exposure.totals {
                exposure.totals = totals;
                self.effects.rows.push(exposed(campaign, self.profile, exposure));
            }
        }
    }

    /// Decides about the instant `at`, everything at it being applied: who enters, and who may send.
    pub fn decide(&mut self, state: &mut State, at: i64) {
        let mut pending = std::mem::take(&mut state.pending);
        pending.sort_by(|a, b| (&a.campaign, &a.key).cmp(&(&b.campaign, &b.key)));
        for trigger in pending {
            self.enter(state, trigger, at);
        }
        let ready: Vec<String> = state
            .instances
            .iter()
            .filter(|(_, it)| it.wait == Wait::Ready)
            .map(|(it, _)| it.clone())
            .collect();
        for place in ready {
            self.walk(state, &place, at);
        }
        self.arbitrate(state, at);
    }

    fn enter(&mut self, state: &mut State, trigger: Pending, at: i64) {
        let Pending { campaign: name, key, it } = trigger;
        let Some((version, campaign)) = self
            .book
            .entry(&name)
            .filter(|it| it.lifecycle == super::Lifecycle::Live)
            .and_then(|it| Some((it.version, Arc::clone(it.current()?))))
        else {
            return;
        };
        let place = place(&name, &key);
        if let Some(running) = state.instances.get_mut(&place) {
            let restarts = campaign.restart && !running.messaged;
            if !restarts || running.version != version {
                return;
            }
            // Starts over with what the new event said; it is the same run, entered when it was.
            (running.step, running.wait, running.it) = (0, Wait::Ready, it);
            return;
        }
        let unit = self.profile.to_string();
        let entitled =
            campaign.entry.as_ref().is_none_or(|entry| entry.holds(View::of(state, from_micros(at), &it)));
        let global = self.policy.global_holdout_of(campaign.purpose);
        let draw = state.draw(&name, campaign.holdout, global, at, &unit).clone();
        if !entitled {
            self.not_entered(state, &name, at, "entry", "the entry condition did not hold");
            return;
        }
        if let Some(last) = state.entered.get(&place) {
            let again = match campaign.reenter {
                Reenter::Always => true,
                Reenter::Never => false,
                Reenter::After(length) => last.saturating_add(length) <= at,
            };
            if !again {
                let text = format!("was in it on {}", from_micros(*last));
                self.not_entered(state, &name, at, "reenter", &text);
                return;
            }
        }
        state.refused.remove(&name);
        state.entered.insert(place.clone(), at);
        self.expose(state, &campaign, &draw, at);
        let instance = Instance {
            campaign: name.clone(),
            version,
            key,
            entered: at,
            step: 0,
            wait: Wait::Ready,
            it,
            late: false,
            messaged: false,
            again: 0,
        };
        let occurrence = instance.occurrence();
        let mut reasons = vec![Reason::new("trigger", trigger_text(&campaign.trigger, state, &instance))];
        if draw.blocked {
            let text = match draw.held_out {
                true => format!("held out: {:.0} % of this campaign are", draw.share * 100.0),
                false => "held out in all campaigns, or by a profile merged into this one".to_owned(),
            };
            reasons.push(Reason::new("held_out", text));
        }
        let line = Line { campaign: &name, version, occurrence: &occurrence, step: "", at };
        self.record(state, line, Outcome::Entered, reasons);
        self.effects.entries.push(Entered { campaign: name, version, occurrence, held_out: draw.blocked });
        state.instances.insert(place, instance);
    }

    /// Counts the profile in the comparison of arms, from its first entry.
    fn expose(&mut self, state: &mut State, campaign: &Campaign, draw: &super::state::Draw, at: i64) {
        let until = at.saturating_add(campaign.window);
        let (_, _, profit) = state.totals();
        let predicted = state.score.clv_12m;
        let expected = state.score.profit_90d;
        let other_goal = campaign.goal.as_ref().is_some_and(|it| it.event != "Order Completed");
        let exposure = state.exposures.entry(campaign.name.clone()).or_insert_with(|| Exposure {
            held_out: draw.held_out,
            share: draw.share,
            first: at,
            matures: until,
            pre_profit: profit,
            predicted,
            expected,
            other_goal,
            ..Exposure::default()
        });
        exposure.open(at, until);
        exposure.totals = exposure.count(&state.orders);
        self.effects.rows.push(exposed(&campaign.name, self.profile, exposure));
    }

    /// Ends the waits that are due, and walks on from them.
    pub fn end_waits(&mut self, state: &mut State) {
        let at = micros(self.at);
        let mut due = Vec::new();
        for (place, instance) in &state.instances {
            match instance.wait {
                Wait::Until(until) | Wait::Event(until) if until <= at => due.push((place.clone(), until)),
                Wait::Slot { not_after, retry, .. } if retry > 0 && retry.min(not_after) <= at => {
                    due.push((place.clone(), i64::MAX));
                }
                _ => {}
            }
        }
        for (place, until) in due {
            let Some(instance) = state.instances.get(&place) else { continue };
            let Some(campaign) = self.campaign_of(instance).cloned() else {
                // Without its definition nobody can say what it would do next.
                let instance = instance.clone();
                state.instances.remove(&place);
                self.leave(
                    state,
                    &instance,
                    at,
                    Outcome::Left,
                    Reason::new("version", "its definition is gone"),
                );
                continue;
            };
            if until == i64::MAX {
                if let Some(Instance { wait: Wait::Slot { retry, .. }, .. }) = state.instances.get_mut(&place)
                {
                    *retry = 0;
                }
                state.decide_at(at);
                continue;
            }
            let late = micros(self.now).saturating_sub(until) > campaign.grace;
            if let Some(instance) = state.instances.get_mut(&place) {
                instance.step = match campaign.program.get(instance.step) {
                    Some(Op::WaitUntil { otherwise, .. }) => *otherwise,
                    _ => instance.step + 1,
                };
                instance.wait = Wait::Ready;
                instance.late = late;
            }
            self.walk(state, &place, at);
            if state.instances.get(&place).is_some_and(|it| matches!(it.wait, Wait::Slot { .. })) {
                state.decide_at(at);
            }
        }
    }

    /// Walks an instance on until it waits or ends.
    pub fn walk(&mut self, state: &mut State, place: &str, at: i64) {
        let Some(mut instance) = state.instances.remove(place) else { return };
        if instance.again > 0 {
            // One message that came back: its run went on by itself.
            return;
        }
        let Some(campaign) = self.campaign_of(&instance).cloned() else {
            self.leave(state, &instance, at, Outcome::Left, Reason::new("version", "its definition is gone"));
            return;
        };
        let unit = self.profile.to_string();
        // Targets lie ahead, so this ends.
        while instance.wait == Wait::Ready {
            let Some(op) = campaign.program.get(instance.step) else {
                self.leave(state, &instance, at, Outcome::Finished, Reason::new("end", "all steps are done"));
                return;
            };
            match op {
                Op::Message(message) => {
                    let not_after = at.saturating_add(message.expires);
                    instance.wait = Wait::Slot { since: at, not_after, retry: 0, held: String::new() };
                }
                Op::Wait(length) => instance.wait = Wait::Until(at.saturating_add(*length)),
                Op::WaitUntil { timeout, .. } => instance.wait = Wait::Event(at.saturating_add(*timeout)),
                Op::Branch { when, otherwise } => {
                    let holds = when.holds(View::of(state, from_micros(at), &instance.it));
                    instance.step = if holds { instance.step + 1 } else { *otherwise };
                }
                Op::Split { name, arms } => {
                    let arm = state.arm(&instance.campaign, name, arms, &unit);
                    instance.step = arms.get(arm).map_or(instance.step + 1, |(_, target)| *target);
                }
                Op::Jump(target) => instance.step = *target,
                Op::Exit(reason) => {
                    self.leave(state, &instance, at, Outcome::Left, Reason::new("exit", reason.clone()));
                    return;
                }
            }
        }
        state.instances.insert(place.to_owned(), instance);
    }
}

/// What started an instance, in words.
fn trigger_text(trigger: &Trigger, state: &State, instance: &Instance) -> String {
    let it = |name: &str| instance.it.get(name).map(ToString::to_string).unwrap_or_default();
    if instance.it.contains_key(EXISTING) {
        let there = match trigger {
            Trigger::Segment { name, .. } => format!("in segment {name}"),
            Trigger::Stage(name) => format!("in stage {name}"),
            _ => "overdue".to_owned(),
        };
        return format!("was {there} when the campaign was started on those already there");
    }
    match trigger {
        Trigger::Event { name, .. } => format!("event {name}"),
        Trigger::Segment { name, entered: true } => format!("entered segment {name}"),
        Trigger::Segment { name, entered: false } => format!("left segment {name}"),
        Trigger::Stage(to) => format!("stage {} to {to}", it("from")),
        Trigger::Overdue => {
            format!("overdue: expected by {} (model {})", it("expected_by"), state.score.model)
        }
        Trigger::Date { name, .. } => format!("date of {name}"),
    }
}

/// The row of an exposure as it stands.
pub fn exposed(campaign: &str, profile: perennial_types::ProfileId, exposure: &Exposure) -> Row {
    Row::Exposure(Exposed {
        campaign: campaign.to_owned(),
        profile,
        held_out: exposure.held_out,
        share: exposure.share,
        entered: exposure.first,
        matures: exposure.matures,
        pre_profit: exposure.pre_profit,
        predicted: exposure.predicted,
        expected: exposure.expected,
        totals: exposure.totals,
    })
}
