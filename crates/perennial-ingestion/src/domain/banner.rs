//! What a page's banner stands at. Pages repeat it with every event, so it says something only where it changes: a stale
//! page does not undo an unsubscribe. Pages arrive late and in any order, so a change is one by the time of the pages.

use serde::{Deserialize, Serialize};

/// So many pages are remembered of a banner: its changes, and of what lies between them the latest.
const KEPT: usize = 12;

/// Pages, by when, with what they stood at; one at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Banner(Vec<(i64, bool)>);

impl Banner {
    /// Whether there never was one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in what it stood at; `before` is what it stood at when it was not kept as of when. Whether a change of it is
    /// there that was not, or one no longer is.
    pub fn see(&mut self, granted: bool, at: i64, before: Option<bool>) -> bool {
        if let (true, Some(before)) = (self.0.is_empty(), before) {
            self.0.push((i64::MIN, before));
        }
        let changes = |it: &Self| (it.last(true), it.last(false));
        let known = changes(self);
        self.put(granted, at);
        self.tidy();
        known != changes(self)
    }

    /// Since when it last came to stand so.
    pub fn last(&self, granted: bool) -> Option<i64> {
        let end = self.0.iter().rposition(|it| it.1 == granted)?;
        let other = self.0.get(..end)?.iter().rposition(|it| it.1 != granted);
        let (at, _) = self.0.get(other.map_or(0, |it| it + 1))?;
        // What was not kept as of when was said outright in its time.
        (*at > i64::MIN).then_some(*at)
    }

    /// Takes over the pages of somebody who turned out to be the same person.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(at, granted)| self.put(*granted, *at));
        self.tidy();
    }

    fn put(&mut self, granted: bool, at: i64) {
        match self.0.binary_search_by_key(&at, |it| it.0) {
            // At one instant a no counts.
            Ok(place) => {
                if let Some(there) = self.0.get_mut(place) {
                    there.1 &= granted;
                }
            }
            Err(place) => self.0.insert(place, (at, granted)),
        }
    }

    fn tidy(&mut self) {
        while self.0.len() > KEPT {
            let is_between =
                |it: &[(i64, bool)]| it.iter().all(|one| Some(one.1) == it.first().map(|it| it.1));
            let place = self.0.windows(3).position(is_between).map_or(0, |it| it + 1);
            self.0.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(pages: &[(i64, bool)]) -> Banner {
        let mut banner = Banner::default();
        for (at, granted) in pages {
            banner.see(*granted, *at, None);
        }
        banner
    }

    #[test]
    fn only_its_changes_say_anything() {
        let banner = seen(&[(1, true), (2, true), (3, false), (4, false), (5, false)]);
        assert_eq!((banner.last(true), banner.last(false)), (Some(1), Some(3)));
        // An older page shows that it changed later than was thought, and once more.
        let mut late = seen(&[(9, true)]);
        assert!(late.see(true, 3, None));
        assert_eq!(late.last(true), Some(3));
        assert!(late.see(false, 6, None));
        assert_eq!((late.last(true), late.last(false)), (Some(9), Some(6)));
    }

    #[test]
    fn what_it_stood_at_before_instants_were_kept_is_not_said_again() {
        let mut banner = Banner::default();
        assert!(!banner.see(true, 7, Some(true)));
        assert_eq!(banner.last(true), None);
        assert!(banner.see(false, 8, Some(true)));
        assert_eq!(banner.last(false), Some(8));
    }

    #[test]
    fn of_many_pages_the_changes_stay() {
        let banner = seen(&(0..100).map(|it| (it, it < 40)).collect::<Vec<_>>());
        assert_eq!((banner.0.len(), banner.last(true), banner.last(false)), (KEPT, Some(0), Some(40)));
    }

    proptest! {
        #[test]
        fn pages_in_any_order_and_twice_and_of_two_profiles_come_to_the_same(
            pages in prop::collection::vec((0..20_i64, any::<bool>()), 0..KEPT),
            keys in prop::collection::vec(any::<u64>(), 2 * KEPT),
        ) {
            let straight = seen(&pages);
            let mut shuffled: Vec<_> = pages.iter().chain(&pages).zip(&keys).collect();
            shuffled.sort_by_key(|(_, key)| **key);
            let (mut one, mut other) = (Banner::default(), Banner::default());
            for ((at, granted), key) in shuffled {
                if key % 2 == 0 { &mut one } else { &mut other }.see(*granted, *at, None);
            }
            one.merge(&other);
            prop_assert_eq!(one, straight);
        }
    }
}
