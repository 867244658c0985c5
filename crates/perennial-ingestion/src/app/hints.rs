//! Whom identifiers belonged to when they were last looked up. Only a hint: whoever follows one sees by the profile's own
//! identifiers whether it is still right, so a wrong one costs a query, and no more.

use perennial_types::{Identifier, ProfileId, Workspace};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// Hints in one generation: some 6 MB.
const MOST: usize = 150_000;

/// The hints of a process. Cheap to clone. Identifiers are kept as hashes: nothing here names a person.
#[derive(Clone, Default)]
pub struct Hints(Arc<Inner>);

#[derive(Default)]
struct Inner {
    hasher: RandomState,
    /// Two generations: when the younger is full, the older is forgotten.
    kept: Mutex<[HashMap<u64, ProfileId>; 2]>,
}

impl Hints {
    /// Whom some of `identifiers` may belong to, and the others.
    pub fn find<'a>(
        &self,
        workspace: &Workspace,
        identifiers: impl IntoIterator<Item = &'a Identifier>,
    ) -> (HashMap<&'a Identifier, ProfileId>, BTreeSet<&'a Identifier>) {
        let (mut found, mut unknown) = (HashMap::new(), BTreeSet::new());
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for identifier in identifiers {
            let hash = self.hash(workspace, identifier);
            match kept.iter().find_map(|it| it.get(&hash)) {
                Some(profile) => drop(found.insert(identifier, *profile)),
                None => drop(unknown.insert(identifier)),
            }
        }
        (found, unknown)
    }

    /// Keeps whom identifiers belong to.
    pub fn keep<'a>(
        &self,
        workspace: &Workspace,
        owners: impl IntoIterator<Item = (&'a Identifier, &'a ProfileId)>,
    ) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (identifier, profile) in owners {
            if kept[0].len() >= MOST {
                kept[1] = mem::take(&mut kept[0]);
            }
            kept[0].insert(self.hash(workspace, identifier), *profile);
        }
    }

    fn hash(&self, workspace: &Workspace, identifier: &Identifier) -> u64 {
        self.0.hasher.hash_one((workspace, identifier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::IdentifierKind;

    #[test]
    fn what_was_kept_is_found_until_two_generations_came_after() {
        let (hints, workspace) = (Hints::default(), Workspace::parse("main").unwrap());
        let named = |it: usize| Identifier { kind: IdentifierKind::UserId, value: it.to_string() };
        let keep = |of: std::ops::Range<usize>| {
            let pairs: Vec<_> =
                of.map(|it| (named(it), ProfileId(uuid::Uuid::from_u128(it as u128)))).collect();
            hints.keep(&workspace, pairs.iter().map(|(identifier, profile)| (identifier, profile)));
        };
        keep(0..1);
        let first = named(0);
        assert_eq!(hints.find(&workspace, [&first]).0[&first].0, uuid::Uuid::nil());
        assert_eq!(hints.find(&Workspace::parse("other").unwrap(), [&first]).1, [&first].into());
        keep(1..MOST + 1);
        assert!(hints.find(&workspace, [&first]).1.is_empty());
        keep(MOST + 1..2 * MOST + 1);
        assert_eq!(hints.find(&workspace, [&first]).1, [&first].into());
    }
}
