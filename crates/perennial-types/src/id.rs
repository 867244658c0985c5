//! Names and identities.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

use crate::{Timestamp, micros};

/// A new UUIDv7: unique, and ordered by `at`, so that indexes grow at one end.
#[must_use]
pub fn new_id(at: Timestamp) -> Uuid {
    let micros = micros(at).max(0).unsigned_abs();
    let seconds = micros / 1_000_000;
    let nanos = (micros % 1_000_000) as u32 * 1_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// The tenant: first in every key, and an argument of every store function. A short lower-case name, shared by its copies:
/// every record and every key has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Workspace(Arc<str>);

impl Workspace {
    /// Reads a workspace's name: 1–63 of `a–z`, `0–9` and `-`, starting with a letter.
    ///
    /// # Errors
    /// [`InvalidName`] if it is anything else.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        if is_slug(name) { Ok(Self(name.into())) } else { Err(InvalidName::of("workspace", name)) }
    }

    /// The bare name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The resource name, `workspaces/{workspace}`.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("workspaces/{}", self.0)
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_slug(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// A name that does not have the form its kind needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {name:?} is not a valid name: use the form {form}")]
pub struct InvalidName {
    kind: &'static str,
    name: String,
    form: String,
}

impl InvalidName {
    fn of(kind: &'static str, name: &str) -> Self {
        let form = "1–63 of a–z, 0–9 and -, starting with a letter".to_owned();
        Self { kind, name: name.chars().take(80).collect(), form }
    }
}

/// Splits a resource name by its pattern: `parse_resource("workspaces/main/segments/vip", "segments")` gives the
/// workspace and `"vip"`. The last part may hold any character but `/`.
///
/// # Errors
/// [`InvalidName`] if the name does not follow `workspaces/{workspace}/{collection}/{id}`.
pub fn parse_resource<'a>(
    name: &'a str,
    collection: &'static str,
) -> Result<(Workspace, &'a str), InvalidName> {
    let invalid = || InvalidName {
        kind: "resource",
        name: name.chars().take(120).collect(),
        form: format!("workspaces/{{workspace}}/{collection}/{{id}}"),
    };
    let mut parts = name.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("workspaces"), Some(workspace), Some(found), Some(id), None)
            if found == collection && !id.is_empty() =>
        {
            Ok((Workspace::parse(workspace).map_err(|_| invalid())?, id))
        }
        _ => Err(invalid()),
    }
}

/// One person, as far as we know. Merges point one profile to another; nothing is ever renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProfileId(pub Uuid);

impl ProfileId {
    /// A new profile, first seen at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(new_id(at))
    }

    /// Reads the hyphenated form.
    ///
    /// # Errors
    /// [`InvalidName`] if it is not a UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidName {
            kind: "profile",
            name: text.chars().take(80).collect(),
            form: "a UUID such as 0198f3a2-…".to_owned(),
        })
    }

    /// Nobody in particular, in a partition: whose the records of an erased person are. The same for everybody who was
    /// erased, so that nothing links them.
    #[must_use]
    pub fn nobody(partition: u16, partitions: u16) -> Self {
        let candidates = (0..=u128::from(partitions) * 2)
            .map(|n| Self(uuid::Builder::from_custom_bytes(n.to_be_bytes()).into_uuid()));
        let mut found = candidates.filter(|it| it.partition(partitions) == partition);
        found.next().unwrap_or(Self(uuid::Builder::from_custom_bytes([0; 16]).into_uuid()))
    }

    /// Somebody who was erased, as rows name them that have to stay (books, counts): drawn by lot, kept nowhere else, so that
    /// nothing leads back from it.
    #[must_use]
    pub fn stand_in() -> Self {
        // The last 74 bits of a UUIDv7 are drawn by lot; its first half is an instant, which may tell.
        let mut bytes = [0; 16];
        let (front, back) = bytes.split_at_mut(8);
        let drawn = || new_id(Timestamp::UNIX_EPOCH);
        front.copy_from_slice(&drawn().as_bytes()[8..]);
        back.copy_from_slice(&drawn().as_bytes()[8..]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Whether it is nobody, or stands in for somebody who was erased; no profile ever has such an id.
    #[must_use]
    pub fn is_erased(self) -> bool {
        self.0.get_version_num() == 8
    }

    /// The feed partition that holds everything about this profile, out of `partitions`. Every service uses this
    /// one hash, so a profile's records of all feeds lie in partitions of the same number.
    #[must_use]
    pub fn partition(self, partitions: u16) -> u16 {
        // The low 62 bits of a UUIDv7 are random: a remainder of them is as even as a hash of all.
        let low = u64::from_be_bytes(self.0.as_bytes()[8..].try_into().unwrap_or_default());
        u16::try_from((low & 0x3fff_ffff_ffff_ffff) % u64::from(partitions.max(1))).unwrap_or_default()
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// One merge of one profile into another; both halves of the journal entry carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MergeId(pub Uuid);

/// A number in [0, 1) drawn from `seed` and `unit` alone: the same for the same words on every machine and in every
/// run. Holdouts and splits come from it (the convention of hashing seed and unit id into a bucket range).
#[must_use]
pub fn hash_draw(seed: &str, unit: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update(seed.as_bytes());
    hash.update([0]);
    hash.update(unit.as_bytes());
    let bits = u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap_or_default()) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let draw = bits as f64 / (1_u64 << 53) as f64;
    draw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_name_is_split_or_refused_with_its_form() {
        let (workspace, id) = parse_resource("workspaces/main/segments/vip", "segments").unwrap();
        assert_eq!((workspace.as_str(), id), ("main", "vip"));
        let refused = parse_resource("segments/vip", "segments").unwrap_err().to_string();
        assert!(refused.contains("workspaces/{workspace}/segments/{id}"), "{refused}");
    }

    #[test]
    fn partitions_are_even() {
        let mut counts = [0_u32; 16];
        for n in 0..16_000 {
            counts[usize::from(ProfileId::new(crate::from_micros(n)).partition(16))] += 1;
        }
        assert!(counts.iter().all(|it| (800..1200).contains(it)), "{counts:?}");
    }

    #[test]
    fn nobody_is_in_every_partition_and_never_a_profile() {
        for partition in 0..16 {
            let nobody = ProfileId::nobody(partition, 16);
            assert_eq!((nobody.partition(16), nobody.is_erased()), (partition, true));
        }
        let (one, other) = (ProfileId::stand_in(), ProfileId::stand_in());
        assert!(one != other && one.is_erased());
        assert!(!ProfileId::new(Timestamp::UNIX_EPOCH).is_erased());
    }

    #[test]
    fn draws_are_even_and_repeatable() {
        let mean = (0..10_000).map(|n| hash_draw("welcome", &n.to_string())).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((hash_draw("welcome", "ana") - hash_draw("welcome", "ana")).abs() < f64::EPSILON);
    }
}
