//! Whom a rule would hold if it were in force now.

use futures::{StreamExt, TryStreamExt, stream};
use perennial_api::feed::v1 as feed;
use perennial_api::profile::v1::ReadFactsRequest;
use perennial_feed::Record;
use perennial_rpc::PeerFault;
use perennial_types::{ProfileId, Workspace, micros};
use prost::Message;

use super::App;
use crate::domain::{self, Input, Rules, State, View};
use crate::error::{Error, Result};

const PEER: &str = "perennial.profile.v1.ProfileService";
/// States read at a time.
const PAGE: usize = 1_000;
/// Histories read side by side.
const SIDE_BY_SIDE: usize = 8;

/// Whom a rule would hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Profiles that would be members.
    pub members: i64,
    /// Profiles there are.
    pub profiles: i64,
    /// Profiles that would enter.
    pub entering: i64,
    /// Profiles that would leave.
    pub leaving: i64,
    /// Profiles looked at: with fewer than all the counts are estimates.
    pub sampled: i64,
}

impl Preview {
    fn count(&mut self, was: bool, is: bool) {
        self.sampled += 1;
        self.members += i64::from(is);
        self.entering += i64::from(is && !was);
        self.leaving += i64::from(was && !is);
    }

    /// Counts of a sample as estimates for all.
    fn scaled(mut self) -> Self {
        if self.sampled > 0 && self.sampled < self.profiles {
            let all = |it: i64| {
                let scaled = (i128::from(it) * i128::from(self.profiles) + i128::from(self.sampled) / 2)
                    / i128::from(self.sampled);
                i64::try_from(scaled).unwrap_or(i64::MAX)
            };
            (self.members, self.entering, self.leaving) =
                (all(self.members), all(self.entering), all(self.leaving));
        }
        self
    }
}

impl App {
    /// Evaluates the segment `name` of `rules` for all profiles; if it asks for what is not kept (`lacks`), for an even
    /// sample whose history is read again.
    pub(crate) async fn preview(
        &self,
        workspace: &Workspace,
        rules: &Rules,
        name: &str,
        lacks: bool,
    ) -> Result<Preview> {
        let profiles = i64::try_from(self.reader.count_states(workspace).await?).unwrap_or(i64::MAX);
        let mut preview = Preview { profiles, ..Preview::default() };
        let Some(place) = rules.place(name) else { return Ok(preview) };
        let number = rules.segments[place].number;
        let now = micros(self.clock.now());
        let stride = if lacks { (profiles / i64::from(self.config.preview_sample.max(1))).max(1) } else { 1 };
        let (mut after, mut ordinal) = (None, 0);
        loop {
            let page = self.reader.states_after(workspace, after, PAGE).await?;
            let Some(last) = page.last().map(|it| it.0) else { break };
            after = Some(last);
            let mut chosen = Vec::new();
            for (profile, state) in page {
                if ordinal % stride == 0 {
                    chosen.push((profile, state));
                }
                ordinal += 1;
            }
            if lacks {
                let histories = chosen.into_iter().map(|(profile, old)| async move {
                    let fresh = self.relived(workspace, rules, profile, &old).await?;
                    Ok::<_, Error>((old, fresh))
                });
                let mut histories = stream::iter(histories).buffer_unordered(SIDE_BY_SIDE);
                while let Some((old, fresh)) = histories.try_next().await? {
                    let is = View::new(rules, &fresh, now).holds(place);
                    preview.count(old.members.contains_key(&number), is);
                }
            } else {
                for (_, state) in chosen {
                    let is = View::new(rules, &state, now).holds(place);
                    preview.count(state.members.contains_key(&number), is);
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(preview.scaled())
    }

    /// What a profile's facts would leave behind under these rules.
    async fn relived(
        &self,
        workspace: &Workspace,
        rules: &Rules,
        profile: ProfileId,
        old: &State,
    ) -> Result<State> {
        let name = format!("{}/profiles/{profile}", workspace.resource());
        let mut records = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ReadFactsRequest { name: name.clone(), up_to_seq: 0, page_size: 0, page_token };
            let page = self.profiles.clone().read_facts(request).await;
            let page = page.map_err(|status| PeerFault::new(PEER, status))?.into_inner();
            for record in page.records {
                let record = feed::Record::decode(record.as_slice()).map_err(|error| {
                    perennial_feed::FeedError::Malformed { what: "a fact", reason: error.to_string() }
                })?;
                records.push(Record::try_from(record)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        records.sort_by_key(|it| (micros(it.time), it.profile, it.seq));
        let mut state = State::default();
        for record in records {
            if let Ok(fact) = perennial_rpc::facts::decode(&record.payload) {
                domain::apply(rules, &mut state, record.time, &Input::Fact(&fact));
            }
        }
        domain::carry_over(old, &mut state);
        Ok(state)
    }
}
