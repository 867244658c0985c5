//! Everything of a workspace that a user can see and that must not depend on the order in which it was told.
//!
//! Left out, because DESIGN says that it is history of what was known when:
//! - names of profiles, who survived a merge, when a profile was made (§4: merges are journalled by receipt);
//! - decisions, messages, what campaigns issued, and events of those messages (§3: historical records start and send nothing);
//! - since when somebody is in a segment or a stage, and the history of both (§5: membership "as known at");
//! - facts that tell what was known when an event came: carts, changes of consent (§4: consumers get corrections);
//! - which of many fits serves, by number and cutoff (§6: each has its data window); whether one serves is compared, unless
//!   no order is left: one that was there when the first fit came may have been taken back since, or before.

use std::collections::BTreeMap;

use perennial::session::{Session, bare, told};
use perennial_api::feed::v1::{ExportProfilesRequest, ListParkedProfilesRequest, Record};
use perennial_api::loyalty::v1::{
    AuditLedgerRequest, ListCouponsRequest, ListExceptionsRequest, SummarizeLedgerRequest,
};
use perennial_api::profile::v1::{GetProfileRequest, ListProfilesRequest, Profile, ReadFactsRequest};
use perennial_api::scoring::v1::{BatchGetScoresRequest, Score};
use perennial_api::segmentation::v1::{GetStageRequest, ListMembersRequest, ListSegmentsRequest};
use perennial_rpc::facts;
use prost::Message as _;
use serde_json::Value;

use super::OFFER;

/// Entries of a page: more than a story has of anything.
const PAGE: i32 = 1_000;

/// Lines by what they are of, sorted.
pub type Picture = BTreeMap<&'static str, Vec<String>>;

struct Painter<'a> {
    session: &'a Session,
    picture: Picture,
    /// Who is who: by all that recognises them.
    people: BTreeMap<String, String>,
}

/// Takes a picture of a workspace; `coupons` has the code of each person's coupon.
pub async fn picture(session: &Session, coupons: &[String]) -> anyhow::Result<Picture> {
    let mut painter = Painter { session, picture: Picture::new(), people: BTreeMap::new() };
    painter.profiles().await?;
    painter.facts().await?;
    painter.segmentation().await?;
    painter.scores().await?;
    painter.consents().await?;
    painter.loyalty(coupons).await?;
    painter.nobody_waits().await?;
    let mut picture = painter.picture;
    picture.values_mut().for_each(|it| it.sort_unstable());
    Ok(picture)
}

fn known(profile: &Profile) -> String {
    let mut known: Vec<&str> = profile.identifiers.iter().map(|it| it.value.as_str()).collect();
    known.sort_unstable();
    known.join("+")
}

impl Painter<'_> {
    fn line(&mut self, section: &'static str, line: String) {
        self.picture.entry(section).or_default().push(line);
    }

    async fn profiles(&mut self) -> anyhow::Result<()> {
        let request =
            ListProfilesRequest { parent: self.session.parent(), page_size: PAGE, ..Default::default() };
        let found = self.session.profiles().list_profiles(request).await.map_err(told)?.into_inner().profiles;
        for it in &found {
            let who = known(it);
            let traits: BTreeMap<String, Value> = serde_json::from_str(&it.traits_json)?;
            self.line("profiles", who.clone());
            self.line("traits", format!("{who} {traits:?}"));
            for it in &it.consents {
                self.line("consents", format!("{who} {it:?}"));
            }
            let places = [
                (&it.time_zone, &it.time_zone_source),
                (&it.locale, &it.locale_source),
                (&it.region, &it.region_source),
            ];
            self.line("places", format!("{who} {places:?}"));
            self.line("last seen", format!("{who} {:?}", it.last_seen_time));
            self.people.insert(it.name.clone(), who);
        }
        Ok(())
    }

    /// What happened to each, once.
    async fn facts(&mut self) -> anyhow::Result<()> {
        for (name, who) in self.people.clone() {
            let request = ReadFactsRequest { name, page_size: PAGE, ..Default::default() };
            let answer = self.session.profiles().read_facts(request).await.map_err(told)?.into_inner();
            for record in answer.records {
                let mut fact = facts::decode(&Record::decode(record.as_slice())?.payload)?;
                // Codes are drawn at random.
                fact.properties.remove("coupon");
                let is_of_its_day = ["Cart Changed", "Cart Emptied", "Consent Changed", "Consent Requested"];
                if !is_of_its_day.contains(&fact.name.as_str()) && !is_of_a_message(&fact.name) {
                    self.line("facts", format!("{who} {} {} {:?}", fact.name, fact.at, fact.properties));
                }
            }
        }
        Ok(())
    }

    async fn segmentation(&mut self) -> anyhow::Result<()> {
        let session = self.session;
        for (name, who) in self.people.clone() {
            let stage = session.segmentation().get_stage(GetStageRequest { name }).await;
            let stage = stage.map_or_else(|status| status.message().to_owned(), |it| it.into_inner().stage);
            self.line("stages", format!("{who} {stage}"));
        }
        let request = ListSegmentsRequest { parent: session.parent(), page_size: PAGE, ..Default::default() };
        let segments = session.segmentation().list_segments(request).await.map_err(told)?.into_inner();
        for segment in segments.segments {
            let request =
                ListMembersRequest { parent: segment.name.clone(), page_size: PAGE, ..Default::default() };
            let members = session.segmentation().list_members(request).await.map_err(told)?.into_inner();
            for it in members.members {
                let who = self.of(&it.profile).await?;
                self.line("members", format!("{who} {}", bare(&segment.name)));
            }
        }
        Ok(())
    }

    async fn of(&mut self, name: &str) -> anyhow::Result<String> {
        if let Some(who) = self.people.get(name) {
            return Ok(who.clone());
        }
        let request = GetProfileRequest { name: name.to_owned() };
        let profile = self.session.profiles().get_profile(request).await.map_err(told)?.into_inner();
        Ok(known(&profile))
    }

    async fn scores(&mut self) -> anyhow::Result<()> {
        let names = self.people.keys().cloned().collect();
        let request = BatchGetScoresRequest { parent: self.session.parent(), names };
        let answer = self.session.scoring().batch_get_scores(request).await.map_err(told)?.into_inner();
        let sells = answer.scores.iter().any(|it| it.orders > 0);
        for mut it in answer.scores {
            let who = self.people.get(&it.name).cloned().unwrap_or_default();
            let kind = it.model.split('@').next().filter(|_| sells).unwrap_or_default().to_owned();
            it = Score { name: String::new(), model_cutoff_date: String::new(), model: kind, ..it };
            self.line("scores", format!("{who} {it:?}"));
        }
        Ok(())
    }

    /// What notification goes by.
    async fn consents(&mut self) -> anyhow::Result<()> {
        let names = self.people.keys().cloned().collect();
        let request = ExportProfilesRequest { parent: self.session.parent(), names };
        let mut parts =
            self.session.feeds_of("notification").export_profiles(request).await.map_err(told)?.into_inner();
        while let Some(part) = parts.message().await.map_err(told)? {
            if (part.service.as_str(), part.store.as_str()) != ("notification", "consent") {
                continue;
            }
            for row in part.rows_json {
                let row: Value = serde_json::from_str(&row)?;
                let profile = row["profile"].as_str().unwrap_or_default();
                let who = self.of(&self.session.name("profiles", profile)).await?;
                let line = format!("{who} {} {} {}", row["channel"], row["purpose"], row["granted"]);
                self.line("consents that messages go by", line);
            }
        }
        Ok(())
    }

    async fn loyalty(&mut self, coupons: &[String]) -> anyhow::Result<()> {
        let (session, parent) = (self.session, self.session.parent());
        let request = ListCouponsRequest { parent: parent.clone(), page_size: PAGE, ..Default::default() };
        let found = session.loyalty().list_coupons(request).await.map_err(told)?.into_inner().coupons;
        for it in found.iter().filter(|it| coupons.contains(&it.code)) {
            let who = self.of(&it.profile).await?;
            let line = format!(
                "{who} {} {} {} {} {}",
                it.offer, it.state, it.order_id, it.discount_minor, it.promised_minor
            );
            self.line("coupons", line);
        }
        let request = ListExceptionsRequest { parent: parent.clone(), page_size: PAGE, ..Default::default() };
        let found = session.loyalty().list_exceptions(request).await.map_err(told)?.into_inner().exceptions;
        for it in found.iter().filter(|it| coupons.contains(&it.code)) {
            let line = format!("{} {} {} {}", it.order_id, it.reason, it.cost_minor, it.undone);
            self.line("exceptions", line);
        }
        let request = SummarizeLedgerRequest { parent: parent.clone() };
        let ledger = session.loyalty().summarize_ledger(request).await.map_err(told)?.into_inner();
        for it in ledger.offers.iter().filter(|it| it.offer.ends_with(OFFER)) {
            self.line("balances", format!("{it:?}"));
        }
        let audit = session.loyalty().audit_ledger(AuditLedgerRequest { parent }).await.map_err(told)?;
        anyhow::ensure!(audit.get_ref().problems.is_empty(), "the ledger: {:?}", audit.get_ref().problems);
        Ok(())
    }

    async fn nobody_waits(&self) -> anyhow::Result<()> {
        let request = ListParkedProfilesRequest {
            parent: self.session.parent(),
            page_size: PAGE,
            ..Default::default()
        };
        // One process answers for all services that run in it.
        let feeds = self.session.feeds_of("ingestion");
        let parked = feeds.clone().list_parked_profiles(request).await.map_err(told)?.into_inner();
        anyhow::ensure!(parked.parked_profiles.is_empty(), "parked: {:?}", parked.parked_profiles);
        Ok(())
    }
}

/// What became of a message that a campaign sent.
fn is_of_a_message(name: &str) -> bool {
    name.starts_with("Email ") && name != "Email Unsubscribed"
}
