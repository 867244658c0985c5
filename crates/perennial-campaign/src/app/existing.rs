//! Starting a campaign on those who are already where its trigger leads.

use perennial_store::Store;
use perennial_types::{Timestamp, Workspace};

use super::App;
use crate::domain::Lifecycle;
use crate::domain::definition::{self, Campaign};
use crate::domain::existing::Standing;
use crate::error::{Error, Result};
use crate::store::campaigns;
use crate::worker::ENTER_EXISTING;

/// Profiles looked at together.
const CHUNK: usize = 1_000;

/// Who is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Profiles there are.
    pub profiles: u64,
    /// Those where the trigger leads.
    pub matching: u64,
    /// Those who enter.
    pub entering: u64,
    /// Those who enter in silence.
    pub held_out: u64,
    /// Those who run it already.
    pub inside: u64,
    /// Those who may not enter again yet.
    pub entered_before: u64,
    /// Those who do not meet its entry condition.
    pub not_entitled: u64,
}

impl App {
    /// Counts who is already where a campaign's trigger leads, and starts the campaign on them unless only the counts are
    /// wanted. A `definition` is counted by instead of the one in force.
    ///
    /// # Errors
    /// If there is no such campaign, it is not live, or its trigger is nothing one can already be at.
    pub async fn enter_existing(
        &self,
        workspace: &Workspace,
        name: &str,
        definition: &str,
        validate_only: bool,
    ) -> Result<(Preview, Timestamp)> {
        if !definition.is_empty() && !validate_only {
            return Err(Error::DefinitionToEnter);
        }
        let campaign = match definition.is_empty() {
            true => {
                let (stored, campaign) = self.get(workspace, name).await?;
                if !validate_only && stored.lifecycle != Lifecycle::Live {
                    return Err(Error::NotLive(name.to_owned()));
                }
                campaign
            }
            false => definition::read(definition, self.currency)?,
        };
        if campaign.name != name {
            return Err(Error::OtherName { name: name.to_owned(), definition: campaign.name });
        }
        if let Some(problem) = campaign.no_existing() {
            return Err(Error::NoExisting(problem));
        }
        let now = self.clock.now();
        let preview = self.standings(workspace, &campaign, now).await?;
        if !validate_only {
            let errand = format!("{ENTER_EXISTING}{name}");
            let tx = self.store.write().await?;
            // Nobody stops the campaign in between.
            campaigns::begin_change(&tx).await?;
            let live = campaigns::find(&tx, workspace, name).await?.map(|it| it.lifecycle);
            if live != Some(Lifecycle::Live) {
                return Err(Error::NotLive(name.to_owned()));
            }
            self.reader.start_errand(&tx, workspace, &errand, now).await?;
            Store::commit(tx).await?;
            drop(self.reader.errand_started(&errand));
        }
        Ok((preview, now))
    }

    async fn standings(&self, workspace: &Workspace, campaign: &Campaign, at: Timestamp) -> Result<Preview> {
        let mut preview = Preview::default();
        let mut after = None;
        loop {
            let chunk = self.reader.states_after(workspace, after, CHUNK).await?;
            let Some(last) = chunk.last() else { return Ok(preview) };
            after = Some(last.0);
            for (profile, state) in chunk {
                preview.profiles += 1;
                let standing =
                    campaign.standing(&state, self.reader.fold().policy(), at, &profile.to_string());
                preview.matching += u64::from(standing != Standing::Elsewhere);
                match standing {
                    Standing::Elsewhere => {}
                    Standing::Inside => preview.inside += 1,
                    Standing::EnteredBefore => preview.entered_before += 1,
                    Standing::NotEntitled => preview.not_entitled += 1,
                    Standing::Enters { held_out } => {
                        preview.entering += 1;
                        preview.held_out += u64::from(held_out);
                    }
                }
            }
        }
    }
}
