//! The campaigns in force in one workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use perennial_types::{Fact, FactKind, MessageEvent};

use super::definition::{Campaign, Trigger};
use super::events::{VIEWED, message_name};
use super::returned::is_return;
use super::stats::Lift;

/// Whether a campaign runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// Starts nothing yet.
    Draft,
    /// Runs.
    Live,
    /// Nobody enters, messages wait.
    Paused,
    /// Nobody enters, those inside leave before their next message.
    Stopped,
}

impl Lifecycle {
    /// Its word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// Reads its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Draft, Self::Live, Self::Paused, Self::Stopped].into_iter().find(|it| it.as_str() == word)
    }
}

/// One campaign and all its versions that may still be running.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whether it runs.
    pub lifecycle: Lifecycle,
    /// The version that new instances get.
    pub version: u64,
    /// Its versions.
    pub versions: BTreeMap<u64, Arc<Campaign>>,
}

/// The campaigns of one workspace by name.
#[derive(Clone, Debug, Default)]
pub struct Book {
    campaigns: BTreeMap<String, Entry>,
    asked: BTreeSet<String>,
    /// The events that begin something, end a wait, or are a goal.
    awaited: BTreeSet<String>,
    dated: Vec<String>,
    lifts: BTreeMap<String, Vec<(i64, Lift)>>,
}

impl Book {
    /// A book of these campaigns.
    #[must_use]
    pub fn new(campaigns: BTreeMap<String, Entry>) -> Self {
        let versions = || campaigns.values().flat_map(|it| it.versions.values());
        let asked = versions().flat_map(|it| it.asked_events()).collect();
        let awaited = versions().flat_map(|it| it.awaited_events()).map(str::to_owned).collect();
        let dated = campaigns
            .iter()
            .filter(|(_, it)| {
                it.lifecycle == Lifecycle::Live
                    && it.current().is_some_and(|it| matches!(it.trigger, Trigger::Date { .. }))
            })
            .map(|(name, _)| name.clone())
            .collect();
        Self { campaigns, asked, awaited, dated, lifts: BTreeMap::new() }
    }

    /// The same with lifts as they were published, oldest first.
    #[must_use]
    pub fn with_lifts(self, lifts: BTreeMap<String, Vec<(i64, Lift)>>) -> Self {
        Self { lifts, ..self }
    }

    /// The lift in force at an instant, and since when.
    #[must_use]
    pub fn lift(&self, campaign: &str, at: i64) -> Option<(i64, Lift)> {
        self.lifts.get(campaign)?.iter().rev().find(|(since, _)| *since <= at).copied()
    }

    /// The campaign, if it is known.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.campaigns.get(name)
    }

    /// One version of a campaign.
    #[must_use]
    pub fn version(&self, name: &str, version: u64) -> Option<&Arc<Campaign>> {
        self.campaigns.get(name)?.versions.get(&version)
    }

    /// The campaigns that people may enter, by name, with the version they get.
    pub fn live(&self) -> impl Iterator<Item = (&str, u64, &Arc<Campaign>)> {
        self.campaigns
            .iter()
            .filter(|(_, it)| it.lifecycle == Lifecycle::Live)
            .filter_map(|(name, it)| Some((name.as_str(), it.version, it.current()?)))
    }

    /// The events that some condition asks about with `did`.
    #[must_use]
    pub fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    /// Whether a fact can change anything that is kept or decided: all others may be passed over.
    #[must_use]
    pub fn hears(&self, fact: &Fact) -> bool {
        match &fact.kind {
            // Views, and what customers do with messages, say nothing of the profile itself.
            FactKind::Tracked => self.hears_of(&fact.name, None),
            FactKind::ProductViewed { .. } => self.hears_of(&fact.name, Some(VIEWED)),
            FactKind::Message(it) if matches!(it.event, MessageEvent::Opened | MessageEvent::Clicked) => {
                self.hears_of(&fact.name, Some(message_name(it.event)))
            }
            _ => true,
        }
    }

    /// Whether an event that says nothing of the profile itself is asked for, by its name or the one it is well known by.
    #[must_use]
    pub fn hears_of(&self, name: &str, known_as: Option<&str>) -> bool {
        let is_named = |it: &str| self.asked.contains(it) || self.awaited.contains(it);
        is_return(name) || is_named(name) || known_as.is_some_and(is_named)
    }

    /// The live campaigns with a yearly date.
    #[must_use]
    pub fn dated(&self) -> &[String] {
        &self.dated
    }
}

impl Entry {
    /// The version that new instances get.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Campaign>> {
        self.versions.get(&self.version)
    }
}
