//! Who is held out and who goes which way: drawn once, from the leaf profile's draw key.

use perennial_types::hash_draw;
use uuid::Uuid;

use super::state::{Draw, State};

impl State {
    /// The campaign's draw, made now if it is the first time. `unit` stands in for a draw key that is not known yet.
    pub fn draw(&mut self, campaign: &str, share: f64, global: f64, at: i64, unit: &str) -> &mut Draw {
        let unit = if self.draw_key.is_empty() { unit } else { &self.draw_key };
        self.draws.entry(campaign.to_owned()).or_insert_with(|| {
            let held_out = hash_draw(&format!("{campaign}:holdout"), unit) < share;
            // The global holdout is silent in every campaign, and no campaign counts it in either arm's favour: it is
            // drawn apart, so both arms lose the same share of contacts.
            let blocked = held_out || hash_draw("global:holdout", unit) < global;
            Draw { at, held_out, blocked, share, ..Draw::default() }
        })
    }

    /// The arm of a split, drawn now if it is the first time.
    pub fn arm(&mut self, campaign: &str, split: &str, arms: &[(f64, usize)], unit: &str) -> usize {
        let unit = if self.draw_key.is_empty() { unit } else { &self.draw_key };
        let number = hash_draw(&format!("{campaign}:{split}"), unit);
        let drawn = arms.iter().position(|(upto, _)| number < *upto).unwrap_or(0);
        let draw = self.draws.entry(campaign.to_owned()).or_default();
        (*draw.splits.entry(split.to_owned()).or_insert(drawn)).min(arms.len().saturating_sub(1))
    }
}

impl Draw {
    /// Two profiles became one: the earliest assignment counts, and one side held out is enough to stay silent.
    #[must_use]
    pub fn united(self, other: Self) -> Self {
        let blocked = self.blocked || other.blocked || self.held_out || other.held_out;
        let (mut first, second) = match (self.at, self.held_out) <= (other.at, other.held_out) {
            true => (self, other),
            false => (other, self),
        };
        for (split, arm) in second.splits {
            first.splits.entry(split).or_insert(arm);
        }
        Self { blocked, ..first }
    }
}

/// An id that depends on nothing but what it is of, so that the same message always has the same id.
#[must_use]
pub fn id_of(parts: &[&str]) -> Uuid {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
