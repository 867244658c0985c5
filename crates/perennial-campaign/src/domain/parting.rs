//! A merge turns out to have been wrong: two people are two again. What facts give each of them is recomputed; here is what
//! facts do not give.

use perennial_types::{ProfileId, hash_draw};

use super::effect::Row;
use super::journey::exposed;
use super::state::{Score, State};
use super::step::Step;

impl State {
    /// Whether there is anything that its facts alone would not give again: who was drawn, entered or written to.
    #[must_use]
    pub fn outlasts(&self) -> bool {
        !(self.draws.is_empty()
            && self.contacts.is_empty()
            && self.entered.is_empty()
            && self.exposures.is_empty())
    }
}

impl Step<'_> {
    /// The profile is itself again; `old` is what it left when it was merged away. Its runs went on as another's and end
    /// with that: none begins again from where it stood.
    pub fn come_back(&mut self, old: &mut State, leaves: &[ProfileId]) {
        old.instances.clear();
        old.pending.clear();
        old.underway.clear();
        old.refused.clear();
        old.decide = None;
        // Scoring and segmentation say it anew.
        old.score = Score::default();
        old.stage.clear();
        old.segments.clear();
        let own = old.exposures.iter().map(|(campaign, it)| exposed(campaign, self.profile, it));
        self.effects.rows.extend(own);
        self.effects.rows.push(Row::CameBack { profile: self.profile, leaves: leaves.to_vec() });
    }

    /// Another profile, which had become this one at `merged`, is itself again; `left` is what it had left then. Runs that
    /// began with it or since the merge end: whose they are nobody can say, and silence does less harm than a message to
    /// the wrong person.
    pub fn parted(&mut self, old: &mut State, merged: i64, left: &State) {
        old.instances.retain(|place, run| {
            run.entered < merged && left.instances.get(place).is_none_or(|it| it.entered != run.entered)
        });
        old.pending.clear();
        old.decide = None;
        old.contacts.retain(|it| !left.contacts.contains(it));
        old.underway.retain(|decision, _| !left.underway.contains_key(decision));
        let unit = old.draw_key.clone();
        for (campaign, theirs) in &left.exposures {
            let Some(known) = old.exposures.get_mut(campaign) else { continue };
            known.windows.retain(|it| !theirs.windows.contains(it));
            known.events = known.events.saturating_sub(theirs.events);
            match known.windows.first() {
                None => {
                    old.exposures.remove(campaign);
                }
                Some((from, until)) if known.first == theirs.first => {
                    (known.first, known.matures) = (*from, *until);
                    known.held_out = hash_draw(&format!("{campaign}:holdout"), &unit) < known.share;
                }
                Some(_) => {}
            }
        }
        for campaign in left.draws.keys() {
            // The same hash draws it again, from this profile's key alone.
            old.draws.remove(campaign);
        }
        let State { entered, exposures, .. } = old;
        entered.retain(|place, at| {
            let campaign = place.split('/').next().unwrap_or_default();
            exposures.contains_key(campaign) || left.entered.get(place) != Some(at)
        });
        self.effects.rows.push(Row::Anew(self.profile));
        let left = old.exposures.iter().map(|(campaign, it)| exposed(campaign, self.profile, it));
        self.effects.rows.extend(left);
    }
}
