//! Two profiles turn out to be one person.

use perennial_types::micros;

use super::effect::Row;
use super::journey::exposed;
use super::state::State;
use super::step::Step;

impl Step<'_> {
    /// The profile was recomputed from its facts: `fresh` is what they give. What was drawn, decided and sent happened
    /// as it did, and what other services said still holds; outcomes are counted anew.
    pub fn refolded(&mut self, old: &State, fresh: &mut State) {
        let facts = std::mem::take(fresh);
        *fresh = State {
            traits: facts.traits,
            consent: facts.consent,
            complained: facts.complained,
            orders: facts.orders,
            cart: facts.cart,
            seen: facts.seen,
            dates: Default::default(),
            ..old.clone()
        };
        self.recount(fresh);
        self.plan_dates(fresh);
    }

    /// Folds all that was known of `from_profile` into the survivor. Holdouts and splits: the earliest assignment
    /// counts, and contact is blocked if either side is held out. Of two runs of one campaign the earlier goes on.
    pub fn merge(&mut self, into: &mut State, from: State) {
        if into.draw_key.is_empty() {
            into.draw_key = from.draw_key;
        }
        if into.zone.is_empty() {
            into.zone = from.zone;
        }
        into.reachable.extend(from.reachable);
        into.identified |= from.identified;
        for (name, value) in from.traits {
            into.traits.entry(name).or_insert(value);
        }
        for (key, granted) in from.consent {
            // Withdrawn on either side is withdrawn.
            let known = into.consent.entry(key).or_insert(granted);
            *known &= granted;
        }
        into.complained.extend(from.complained);
        for (id, order) in from.orders {
            into.orders.entry(id).or_default().merge(order);
        }
        if into.score.model.is_empty() && into.score.overdue == 0 {
            into.score = from.score;
        }
        if into.stage.is_empty() {
            into.stage = from.stage;
        }
        into.segments.extend(from.segments);
        if into.cart.is_none() {
            into.cart = from.cart;
        }
        for (event, at) in from.seen {
            let known = into.seen.entry(event).or_insert(at);
            *known = at.max(*known);
        }
        for (campaign, draw) in from.draws {
            let united = match into.draws.remove(&campaign) {
                Some(known) => known.united(draw),
                None => draw,
            };
            into.draws.insert(campaign, united);
        }
        for (place, instance) in from.instances {
            match into.instances.get(&place) {
                Some(known) if known.entered <= instance.entered => {}
                _ => {
                    into.instances.insert(place, instance);
                }
            }
        }
        into.pending.extend(from.pending);
        into.contacts.extend(from.contacts);
        into.contacts.sort();
        into.underway.extend(from.underway);
        for (place, at) in from.entered {
            let known = into.entered.entry(place).or_insert(at);
            *known = at.max(*known);
        }
        for (campaign, exposure) in from.exposures {
            let known = into.exposures.entry(campaign).or_default();
            let events = known.events + exposure.events;
            let mut windows = std::mem::take(&mut known.windows);
            windows.extend(&exposure.windows);
            if known.first == 0 || exposure.first < known.first {
                *known = exposure;
            }
            known.windows.clear();
            windows.into_iter().for_each(|(from, until)| known.open(from, until));
            known.events = events;
        }
        into.overdue_fired = into.overdue_fired.max(from.overdue_fired);
        into.overdue_after = into.overdue_after.max(from.overdue_after);
        into.dates.clear();
        into.decisions = into.decisions.max(from.decisions);
        if let Some(at) = from.decide {
            into.decide_at(at);
        }
        // What both sides wait for may lie behind by now; the next decision sees to it.
        if into.next_due().is_some_and(|it| it <= micros(self.at)) {
            into.decide_at(micros(self.at));
        }
        let rows: Vec<Row> = into
            .exposures
            .iter_mut()
            .map(|(campaign, exposure)| {
                exposure.totals = exposure.count(&into.orders);
                exposed(campaign, self.profile, exposure)
            })
            .collect();
        self.effects.rows.extend(rows);
        self.plan_dates(into);
    }
}
