//! The one place where it is decided who is contacted, by whom and when.
//!
//! All wishes of a profile at one instant are weighed together: compliance, then transactional, then by priority, then
//! by name. One marketing message wins; who loses waits for the next slot, and whoever loses there too expires.

use jiff::tz::TimeZone;
use perennial_types::{Channel, Purpose, Timestamp, from_micros, micros};

use super::Lifecycle;
use super::contents::data;
use super::definition::{Message, Op};
use super::draw;
use super::duration::HOUR;
use super::effect::{Outcome, Reason, Row, Send};
use super::expr::View;
use super::returned::Underway;
use super::state::{Contact, Instance, State, Wait};
use super::step::{Line, Step};
use super::worth::priority;

/// A wish of one instance.
struct Wish {
    place: String,
    campaign: String,
    message: Message,
    priority: f64,
    not_after: i64,
    held: String,
}

/// What becomes of a wish before any competition.
enum Gate {
    /// It may be sent.
    Open,
    /// The step is passed over.
    Pass(Outcome, Reason),
    /// It waits until then.
    Hold(i64, Reason),
    /// The instance ends.
    Leave(Reason),
}

/// When marketing that is held for want of complete inputs is weighed again, in microseconds.
const STALE_RETRY: i64 = 30_000_000;

/// The most messages one profile can cause at one instant; beyond lies a mistake in a definition.
const MAX_ROUNDS: usize = 100;

impl Step<'_> {
    /// Decides every wish of the instant `at`.
    pub fn arbitrate(&mut self, state: &mut State, at: i64) {
        // After an outage the clock is later than the instant: caps and quiet hours ask what the clock says.
        let now = self.now.max(from_micros(at));
        let (zone, zone_known) = self.policy.zone_of(&state.zone);
        let mut winner: Option<(String, f64)> = None;
        for _ in 0..MAX_ROUNDS {
            let mut wishes = self.wishes(state, at);
            if wishes.is_empty() {
                return;
            }
            wishes.sort_by(|a, b| {
                let rank = |it: &Wish| match it.message.purpose {
                    Purpose::Compliance => 0,
                    Purpose::Transactional => 1,
                    Purpose::Marketing => 2,
                };
                rank(a)
                    .cmp(&rank(b))
                    .then(b.priority.total_cmp(&a.priority))
                    .then_with(|| a.place.cmp(&b.place))
            });
            let mut open = Vec::new();
            for wish in wishes {
                match self.gate(state, &wish, at, now, &zone) {
                    Gate::Open => open.push(wish),
                    Gate::Pass(outcome, reason) => self.pass(state, &wish, at, outcome, vec![reason]),
                    Gate::Hold(until, reason) => match &winner {
                        Some(winner) if matches!(reason.code.as_str(), "cap" | "spacing") => {
                            self.lose(state, &wish, at, until, winner, &reason.text);
                        }
                        _ => self.hold(state, &wish, at, until, reason),
                    },
                    Gate::Leave(reason) => {
                        if let Some(instance) = state.instances.remove(&wish.place) {
                            self.leave(state, &instance, at, Outcome::Left, reason);
                        }
                    }
                }
            }
            // One at a time: what is sent may fill a cap that the next one then meets.
            let mut open = open.into_iter();
            let Some(first) = open.next() else { continue };
            let marketing = first.message.purpose == Purpose::Marketing;
            if marketing && let Some(winner) = &winner {
                // Without caps or spacing there is still one marketing message an instant.
                self.lose(state, &first, at, micros(now) + HOUR, winner, "one message at a time");
                continue;
            }
            let runner_up = open.next().map(|it| (it.campaign.clone(), it.priority));
            let mut reasons = Vec::new();
            if !zone_known {
                let text = format!("time zone {:?} is not known: the workspace's counts", state.zone);
                reasons.push(Reason::new("time_zone", text));
            }
            if let Some((name, priority)) = &runner_up {
                let text = format!("over {name}: priority {:.2} against {priority:.2}", first.priority);
                reasons.push(Reason::new("won", text));
            }
            if self.stale {
                let text = "decided without the latest scores, segments and stages";
                reasons.push(Reason::new("stale", text));
            }
            reasons.extend(self.believed(state, &first.place, at));
            if marketing {
                winner = Some((first.campaign.clone(), first.priority));
            }
            self.send(state, &first, at, now, &zone, reasons, runner_up);
        }
    }

    /// The wishes to be decided now: new ones, and those whose time to ask again has come.
    fn wishes(&self, state: &State, at: i64) -> Vec<Wish> {
        let mut found = Vec::new();
        for (place, instance) in &state.instances {
            let Wait::Slot { not_after, retry, ref held, .. } = instance.wait else { continue };
            if retry > at && not_after > at {
                continue;
            }
            let Some(campaign) = self.campaign_of(instance) else { continue };
            let Some(Op::Message(message)) = campaign.program.get(instance.step) else { continue };
            found.push(Wish {
                place: place.clone(),
                campaign: instance.campaign.clone(),
                message: message.clone(),
                priority: priority(campaign.priority, state, self.book.lift(&instance.campaign, at)),
                not_after,
                held: held.clone(),
            });
        }
        found
    }

    fn gate(&self, state: &State, wish: &Wish, at: i64, now: Timestamp, zone: &TimeZone) -> Gate {
        let Some(instance) = state.instances.get(&wish.place) else {
            return Gate::Leave(Reason::new("gone", "it ended meanwhile"));
        };
        let message = &wish.message;
        let lifecycle = self.book.entry(&instance.campaign).map_or(Lifecycle::Stopped, |it| it.lifecycle);
        if lifecycle == Lifecycle::Stopped {
            return Gate::Leave(Reason::new("stopped", "the campaign is stopped"));
        }
        if micros(now) >= wish.not_after {
            let why = if wish.held.is_empty() { "its time is over" } else { &wish.held };
            let text = format!("not after {}: {why}", from_micros(wish.not_after));
            return Gate::Pass(Outcome::Expired, Reason::new("not_after", text));
        }
        if self.historical {
            return Gate::Pass(Outcome::Skipped, Reason::new("historical", "the past is not mailed"));
        }
        if instance.late && !message.send_late {
            let text = "the wait before it ended too late, and the step says late: skip";
            return Gate::Pass(Outcome::Skipped, Reason::new("late", text));
        }
        let view = View::of(state, from_micros(at), &instance.it);
        if message.when.as_ref().is_some_and(|it| !it.holds(view)) {
            return Gate::Pass(Outcome::Skipped, Reason::new("when", "its condition does not hold"));
        }
        let terms = message.offer.as_ref().and_then(|it| it.terms);
        let view = View { offer: terms.map(|it| (it, self.policy.default_margin)), ..view };
        if let Some(offer) = &message.offer
            && let Some(when) = offer.when.as_ref().filter(|it| !it.holds(view))
        {
            let figures = when.figures(view, self.policy.currency);
            let text = format!("{}: not ({}), since {figures}", offer.coupon, offer.when_text);
            return Gate::Pass(Outcome::NotOffered, Reason::new("offer", text));
        }
        let channel = message.channel.as_str();
        let addressed = !matches!(message.channel, Channel::Webhook | Channel::OnSite);
        if addressed && !state.reachable.contains(channel) {
            return Gate::Pass(
                Outcome::Refused,
                Reason::new("no_address", format!("no address for {channel}")),
            );
        }
        if addressed
            && message.purpose != Purpose::Compliance
            && !state.consents(message.channel, message.purpose)
        {
            let text = format!("no consent for {channel} and {}", message.purpose.as_str());
            return Gate::Pass(Outcome::Refused, Reason::new("no_consent", text));
        }
        let marketing = message.purpose == Purpose::Marketing;
        if marketing && state.complained.contains(channel) {
            return Gate::Pass(
                Outcome::Refused,
                Reason::new("complained", format!("complained about {channel}")),
            );
        }
        if lifecycle != Lifecycle::Live {
            return Gate::Hold(at + HOUR, Reason::new("paused", "the campaign is paused"));
        }
        if marketing && self.stale {
            let text = "scores, segments and stages are not complete up to now";
            return Gate::Hold(micros(now) + STALE_RETRY, Reason::new("stale", text));
        }
        if marketing && let Some(end) = self.policy.quiet.ends(now, zone) {
            let name = zone.iana_name().unwrap_or("UTC");
            return Gate::Hold(
                micros(end),
                Reason::new("quiet_hours", format!("quiet until {end} ({name})")),
            );
        }
        // The held-out walk in silence, at the time at which they would have been contacted.
        if state.draws.get(&instance.campaign).is_some_and(|it| it.blocked) {
            return Gate::Pass(Outcome::HeldOut, Reason::new("held_out", "held out: walks in silence"));
        }
        if marketing
            && let Some((free, reason)) = self.policy.blocked(&state.contacts, message.channel, now, zone)
        {
            return Gate::Hold(free, reason);
        }
        Gate::Open
    }

    /// Passes over a step, and walks on.
    fn pass(&mut self, state: &mut State, wish: &Wish, at: i64, outcome: Outcome, reasons: Vec<Reason>) {
        let Some(instance) = state.instances.get_mut(&wish.place) else { return };
        instance.step += 1;
        instance.wait = Wait::Ready;
        instance.late = false;
        // Both arms walk alike: a silent message is a message.
        instance.messaged = true;
        let instance = instance.clone();
        self.line(state, &instance, &wish.message.step, at, outcome, reasons);
        self.walk(state, &wish.place, at);
    }

    /// Lets a wish wait, or expire if that would be too long.
    fn hold(&mut self, state: &mut State, wish: &Wish, at: i64, until: i64, reason: Reason) {
        if until >= wish.not_after {
            let text = format!("not after {}: {}", from_micros(wish.not_after), reason.text);
            return self.pass(state, wish, at, Outcome::Expired, vec![Reason::new(&reason.code, text)]);
        }
        let Some(instance) = state.instances.get_mut(&wish.place) else { return };
        let news = if let Wait::Slot { retry, held, .. } = &mut instance.wait {
            *retry = until;
            let news = *held != reason.text;
            held.clone_from(&reason.text);
            news
        } else {
            false
        };
        if news {
            let instance = instance.clone();
            self.line(state, &instance, &wish.message.step, at, Outcome::Waiting, vec![reason]);
        }
    }

    /// A marketing message lost to another one of the same instant: it waits for the next slot, once.
    fn lose(
        &mut self,
        state: &mut State,
        wish: &Wish,
        at: i64,
        until: i64,
        winner: &(String, f64),
        text: &str,
    ) {
        let (by, priority) = winner;
        let text = format!("to {by}: priority {priority:.2} against {:.2}; {text}", wish.priority);
        if wish.held.is_empty() {
            self.hold(state, wish, at, until, Reason::new("lost", text));
        } else {
            self.pass(state, wish, at, Outcome::Expired, vec![Reason::new("lost", format!("again {text}"))]);
        }
    }

    fn line(
        &mut self,
        state: &mut State,
        instance: &Instance,
        step: &str,
        at: i64,
        outcome: Outcome,
        reasons: Vec<Reason>,
    ) -> uuid::Uuid {
        let occurrence = instance.occurrence();
        let line = Line {
            campaign: &instance.campaign,
            version: instance.version,
            occurrence: &occurrence,
            step,
            at,
        };
        self.record(state, line, outcome, reasons)
    }

    #[expect(clippy::too_many_arguments, reason = "the decision and all that it was decided by")]
    fn send(
        &mut self,
        state: &mut State,
        wish: &Wish,
        at: i64,
        now: Timestamp,
        zone: &TimeZone,
        reasons: Vec<Reason>,
        runner_up: Option<(String, f64)>,
    ) {
        let Some(instance) = state.instances.get_mut(&wish.place) else { return };
        let stood = instance.clone();
        instance.step += 1;
        instance.wait = Wait::Ready;
        instance.late = false;
        instance.messaged = true;
        let instance = instance.clone();
        let message = &wish.message;
        let decision = self.line(state, &instance, &message.step, at, Outcome::Sent, reasons);
        if let Some(Row::Decision(row)) = self.effects.rows.last_mut() {
            row.runner_up = runner_up;
            row.priority = wish.priority;
        }
        let occurrence = instance.message_occurrence();
        let profile = self.profile.to_string();
        let named = |kind: &str, occurrence: &str| {
            draw::id_of(&[
                kind,
                self.workspace.as_str(),
                &profile,
                &instance.campaign,
                occurrence,
                &message.step,
            ])
        };
        let mut not_after = wish.not_after;
        if message.purpose == Purpose::Marketing {
            state.contacts.push(Contact {
                at: micros(now),
                channel: message.channel,
                campaign: instance.campaign.clone(),
                decision: Some(decision),
            });
            if let Some(quiet) = self.policy.quiet.begins(now, zone) {
                not_after = not_after.min(micros(quiet));
            }
        }
        // A period is a calendar month of the workspace, whatever the customer's zone.
        let month = self.policy.zone.to_datetime(now);
        let budget = self.campaign_of(&stood).and_then(|it| it.budget);
        let budget = budget.map(|it| (format!("{:04}-{:02}", month.year(), month.month()), it));
        let send = Send {
            budget: budget.filter(|_| message.offer.is_some()),
            message: named("message", &occurrence),
            decision,
            campaign: instance.campaign.clone(),
            step: message.step.clone(),
            occurrence: occurrence.clone(),
            channel: message.channel,
            purpose: message.purpose,
            template: message.template.clone(),
            data: data(state, &instance, self.policy.currency),
            not_before: at,
            not_after,
            decided: micros(now),
            // A message that came back carries the coupon that was issued for it.
            coupon: message
                .offer
                .as_ref()
                .map(|it| (named("coupon", &instance.occurrence()), it.coupon.clone(), it.valid)),
        };
        self.effects.sends.push(send);
        if instance.again == 0 {
            let why = "the next message of its campaign came first";
            let channel = Some(message.channel);
            self.overtake(state, &instance.campaign, &instance.key, channel, at, why);
        }
        let underway =
            Underway { at: micros(now), limit: wish.not_after, step: message.step.clone(), instance: stood };
        state.underway.insert(decision, underway);
        self.walk(state, &wish.place, at);
    }
}
