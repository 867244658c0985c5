//! What one person agreed to for one channel and purpose, and what of that is in force.
//!
//! Only the latest statement of each kind counts, by the time it was made, so statements may arrive in any order and more
//! than once. A withdrawal ends everything said up to its instant. What a page's banner stands at is said only where that
//! changes (`banner`).

use jiff::Timestamp;
use perennial_types::{Channel, ConsentChange, Purpose, from_micros, micros};
use serde::{Deserialize, Serialize};

use super::banner::Banner;

/// Something a person said about being contacted, with its provenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The channel it is about.
    pub channel: Channel,
    /// The purpose it is about.
    pub purpose: Purpose,
    /// What was said.
    pub word: Word,
    /// Where it was said, such as `identify`, `checkout` or `one-click`.
    pub source: String,
    /// What the person was asked, in the words it was shown.
    pub wording: Option<String>,
    /// What proves it, such as the address of a form or the id of a confirmation.
    pub proof: Option<String>,
    /// When it was said, in microseconds since 1970, UTC, if that was before the event that tells it.
    pub at: Option<i64>,
}

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Yes.
    Yes,
    /// Yes, by a way only the person could take, such as the link of a confirmation mail.
    Confirmed,
    /// No.
    No,
}

impl Said {
    /// Without wording and proof.
    pub fn plain(channel: Channel, purpose: Purpose, granted: bool, source: impl Into<String>) -> Self {
        let word = if granted { Word::Yes } else { Word::No };
        Self { channel, purpose, word, source: source.into(), wording: None, proof: None, at: None }
    }
}

/// What makes consent where a person lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// A yes.
    #[default]
    Explicit,
    /// A yes that the person confirmed.
    DoubleOptIn,
    /// Nothing, as long as there is no no.
    Presumed,
}

impl Basis {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::DoubleOptIn => "double_opt_in",
            Self::Presumed => "presumed",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Explicit, Self::DoubleOptIn, Self::Presumed].into_iter().find(|it| it.as_str() == word)
    }
}

/// What holds in a region for a channel and purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// ISO 3166-1 letters of a country; empty: wherever no rule of its own holds.
    pub region: String,
    /// The channel.
    pub channel: Channel,
    /// The purpose.
    pub purpose: Purpose,
    /// What makes consent there.
    pub basis: Basis,
}

/// The basis for a person of `region`: the rule of the region, else the one for everywhere, else a yes.
pub fn basis(rules: &[Rule], region: &str, channel: Channel, purpose: Purpose) -> Basis {
    let of = |region: &str| {
        rules.iter().find(|it| it.region == region && (it.channel, it.purpose) == (channel, purpose))
    };
    of(region).or_else(|| of("")).map_or(Basis::Explicit, |it| it.basis)
}

/// A statement as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// When it was made, in microseconds since 1970, UTC.
    #[serde(rename = "a")]
    pub at: i64,
    /// Where it was made.
    #[serde(rename = "s")]
    pub source: String,
    /// What the person was asked.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<String>,
    /// What proves it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// The latest statements of one person about one channel and purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Agreement {
    /// Yes, which counted.
    #[serde(rename = "y", skip_serializing_if = "Option::is_none")]
    given: Option<Statement>,
    /// Yes, which waited for a confirmation.
    #[serde(rename = "q", skip_serializing_if = "Option::is_none")]
    asked: Option<Statement>,
    /// Yes, confirmed.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    confirmed: Option<Statement>,
    /// No.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    withdrawn: Option<Statement>,
    /// What pages stood at.
    #[serde(rename = "b", skip_serializing_if = "Banner::is_empty")]
    banner: Banner,
    /// What others heard last.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
}

/// What others heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredTold")]
struct Told {
    #[serde(rename = "g")]
    granted: bool,
    /// As of when, in microseconds.
    #[serde(rename = "a")]
    at: i64,
    /// Somebody who turned out to be the same person had said otherwise, and not all unite that alike.
    #[serde(rename = "m", default, skip_serializing_if = "std::ops::Not::not")]
    mixed: bool,
}

/// Before it was kept as of when, it was only yes or no.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredTold {
    Word(bool),
    Dated {
        #[serde(rename = "g")]
        granted: bool,
        #[serde(rename = "a")]
        at: i64,
        #[serde(rename = "m", default)]
        mixed: bool,
    },
}

impl From<StoredTold> for Told {
    fn from(it: StoredTold) -> Self {
        match it {
            StoredTold::Word(granted) => Self { granted, at: i64::MIN, mixed: false },
            StoredTold::Dated { granted, at, mixed } => Self { granted, at, mixed },
        }
    }
}

/// An agreement as it stands in the database; in rows of before there were several statements, only the last one does.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "y")]
    given: Option<Statement>,
    #[serde(rename = "q")]
    asked: Option<Statement>,
    #[serde(rename = "c")]
    confirmed: Option<Statement>,
    #[serde(rename = "n")]
    withdrawn: Option<Statement>,
    #[serde(rename = "b", default)]
    banner: Banner,
    #[serde(rename = "t")]
    told: Option<Told>,
    #[serde(rename = "g")]
    granted: Option<bool>,
    #[serde(rename = "s", default)]
    source: String,
    #[serde(rename = "a", default)]
    at: i64,
}

impl From<Stored> for Agreement {
    fn from(it: Stored) -> Self {
        let last = || Some(Statement { at: it.at, source: it.source.clone(), wording: None, proof: None });
        match it.granted {
            Some(granted) => {
                let told = Some(Told { granted, at: it.at, mixed: false });
                let (given, withdrawn) = if granted { (last(), None) } else { (None, last()) };
                Self { given, withdrawn, told, ..Self::default() }
            }
            None => Self {
                given: it.given,
                asked: it.asked,
                confirmed: it.confirmed,
                withdrawn: it.withdrawn,
                banner: it.banner,
                told: it.told,
            },
        }
    }
}

/// What is in force, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Whether contact is agreed to.
    pub granted: bool,
    /// The statement that decides; none where consent is presumed.
    pub by: Option<Statement>,
    /// A yes waits for its confirmation since then.
    pub asked: Option<i64>,
    /// The statement that decides is a yes that the person confirmed.
    pub confirmed: bool,
}

impl Agreement {
    /// Takes a statement in; what is older than the one of its kind changes nothing.
    pub fn say(&mut self, said: &Said, at: i64, basis: Basis) {
        let place = match (said.word, basis) {
            (Word::No, _) => &mut self.withdrawn,
            (Word::Confirmed, _) => &mut self.confirmed,
            (Word::Yes, Basis::DoubleOptIn) => &mut self.asked,
            (Word::Yes, _) => &mut self.given,
        };
        let new = Statement {
            at,
            source: said.source.clone(),
            wording: said.wording.clone(),
            proof: said.proof.clone(),
        };
        later(place, Some(new));
    }

    /// Takes in what a page stood at; `before` is what it last stood at, where it was not kept as of when. Whether that says
    /// anything new.
    pub fn see(&mut self, granted: bool, at: i64, before: Option<bool>) -> bool {
        self.banner.see(granted, at, before)
    }

    /// The statements that count: those said outright, and those that the banner's changes make.
    fn counting(&self, basis: Basis) -> Self {
        let mut it = self.clone();
        let said = |at: i64| Statement { at, source: "context".to_owned(), wording: None, proof: None };
        let (yes, no) = (self.banner.last(true).map(said), self.banner.last(false).map(said));
        later(if basis == Basis::DoubleOptIn { &mut it.asked } else { &mut it.given }, yes);
        later(&mut it.withdrawn, no);
        it
    }

    /// What is in force; nothing if nothing was said that counts, and nothing is presumed.
    pub fn in_force(&self, basis: Basis) -> Option<InForce> {
        let Self { given, asked, confirmed, withdrawn: no, .. } = self.counting(basis);
        let at = |it: &Option<Statement>| it.as_ref().map_or(i64::MIN, |it| it.at);
        let is_confirmed = at(&confirmed) >= at(&given);
        let yes = if is_confirmed { &confirmed } else { &given };
        // At the same instant the no counts.
        let deciding = if at(yes) > at(&no) { yes } else { &no };
        let waits = (at(&asked) > at(yes).max(at(&no))).then_some(at(&asked));
        match deciding {
            Some(by) => {
                let granted = at(yes) > at(&no);
                let confirmed = granted && is_confirmed;
                Some(InForce { granted, by: Some(by.clone()), asked: waits, confirmed })
            }
            None if basis == Basis::Presumed => {
                Some(InForce { granted: true, by: None, asked: waits, confirmed: false })
            }
            None => {
                waits.map(|_| InForce { granted: false, by: asked.clone(), asked: waits, confirmed: false })
            }
        }
    }

    /// What others have to hear at `now`, if it is not what they heard last, and as of when. A yes that waits is none of
    /// their business.
    pub fn news(
        &mut self,
        (channel, purpose): (Channel, Purpose),
        basis: Basis,
        region: &str,
        now: Timestamp,
    ) -> Option<(Timestamp, ConsentChange)> {
        let in_force = self.in_force(basis);
        let is_no = self.withdrawn.is_some() || self.banner.last(false).is_some();
        let decided = in_force.as_ref().filter(|it| it.granted || is_no);
        let granted = match (decided, self.told) {
            (Some(it), _) => it.granted,
            // What was presumed is so no longer, where the person lives now.
            (None, Some(Told { granted: true, .. })) => false,
            (None, _) => return None,
        };
        if self.told.is_some_and(|it| it.granted == granted && !it.mixed) {
            return None;
        }
        let by = decided.and_then(|it| it.by.clone());
        // Others go by the latest they heard, and by the no of two at one instant: this has to come after that.
        let after = self.told.map_or(i64::MIN, |it| it.at.saturating_add(i64::from(granted && !it.granted)));
        let at = by.as_ref().map_or(micros(now), |it| it.at).max(after);
        self.told = Some(Told { granted, at, mixed: false });
        let source = by.map_or_else(|| format!("default:{region}"), |it| it.source);
        Some((from_micros(at), ConsentChange { channel, purpose, granted, source }))
    }

    /// Takes over what was said as somebody who turned out to be the same person.
    pub fn merge(&mut self, other: Self) {
        later(&mut self.given, other.given);
        later(&mut self.asked, other.asked);
        later(&mut self.confirmed, other.confirmed);
        later(&mut self.withdrawn, other.withdrawn);
        self.banner.merge(&other.banner);
        self.told = match (self.told, other.told) {
            (None, told) | (told, None) => told,
            (Some(a), Some(b)) => {
                let later = if (a.at, b.granted) >= (b.at, a.granted) { a } else { b };
                Some(Told { mixed: a.mixed || b.mixed || a.granted != b.granted, ..later })
            }
        };
    }
}

/// The later of two statements; of two at one instant the one whose source comes first, so that their order is no matter.
fn later(place: &mut Option<Statement>, new: Option<Statement>) {
    let rank = |it: &Statement| {
        (it.at, std::cmp::Reverse((it.source.clone(), it.proof.clone(), it.wording.clone())))
    };
    match (&place, &new) {
        (_, None) => {}
        (Some(there), Some(it)) if rank(there) >= rank(it) => {}
        _ => *place = new,
    }
}

#[cfg(test)]
mod tests;
