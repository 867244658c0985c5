//! What two runs are compared by: everything that must be the same, with nothing in it that is new in every run. As a
//! picture, in lines that say what differs; and hashed.

use std::collections::BTreeMap;

use perennial_api::campaign::v1::ListDecisionsRequest;
use perennial_api::loyalty::v1::{ListCouponsRequest, SummarizeLedgerRequest};
use perennial_api::notification::v1::ListMessagesRequest;
use perennial_api::profile::v1::{GetProfileRequest, ListProfilesRequest, Profile};
use perennial_api::scoring::v1::{BatchGetScoresRequest, Score};
use perennial_api::segmentation::v1::{GetStageRequest, ListMembersRequest, ListSegmentsRequest};
use perennial_types::micros;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::commands::instant;
use crate::session::{Session, bare, told};
use crate::simulator::{Coupon, Letter};

/// Entries of a page.
const PAGE: i32 = 1_000;

/// A hash of lines.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    hash: Sha256,
    lines: u64,
}

impl Fingerprint {
    /// Takes in a line.
    pub fn line(&mut self, line: &str) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.lines += 1;
    }

    /// Takes in a message: who got which step of what, when, with which offer; not its id, nor the coupon's code.
    pub fn letter(&mut self, it: &Letter) {
        let coupon = it.coupon.as_ref().map(|it| {
            let Coupon { per_mille, amount, free_shipping, until, .. } = it;
            format!("{per_mille} {amount} {free_shipping} {}", micros(*until))
        });
        self.line(&format!("{} {} {} {} {coupon:?}", it.customer, it.campaign, it.step, micros(it.at)));
    }

    /// The hash and how many lines it is of.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let bytes: String = self.hash.clone().finalize()[..16].iter().map(|it| format!("{it:02x}")).collect();
        json!({ "hash": bytes, "count": self.lines })
    }
}

/// Everything that is known and was decided, by the shop's own ids.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// Sorted lines, by what they are of: profiles, stages, members, decisions, messages, coupons, balances.
    pub lines: BTreeMap<&'static str, Vec<String>>,
    /// Scores by customer, without the profile's name.
    pub scores: BTreeMap<String, Score>,
}

/// Lists all of something, page by page.
macro_rules! all {
    ($client:expr, $method:ident, $request:expr, $entries:ident) => {{
        let mut request = $request;
        let mut found = Vec::new();
        loop {
            let page = $client.$method(request.clone()).await.map_err(told)?.into_inner();
            found.extend(page.$entries);
            if page.next_page_token.is_empty() {
                break found;
            }
            request.page_token = page.next_page_token;
        }
    }};
}

/// Who is who: profiles by the names that requests know them by. Those that were merged go by their survivor.
struct People<'a> {
    session: &'a Session,
    keys: BTreeMap<String, String>,
}

impl People<'_> {
    fn key(profile: &Profile) -> String {
        let known = profile.identifiers.iter().find(|it| it.kind == "user_id");
        known
            .or(profile.identifiers.first())
            .map_or_else(String::new, |it| format!("{} {}", it.kind, it.value))
    }

    async fn of(&mut self, name: &str) -> anyhow::Result<String> {
        if let Some(key) = self.keys.get(name) {
            return Ok(key.clone());
        }
        let request = GetProfileRequest { name: name.to_owned() };
        let profile = self.session.profiles().get_profile(request).await.map_err(told)?.into_inner();
        let key = Self::key(&profile);
        self.keys.insert(name.to_owned(), key.clone());
        Ok(key)
    }
}

impl Picture {
    /// Takes the picture.
    ///
    /// # Errors
    /// If a service refuses.
    pub async fn of(session: &Session) -> anyhow::Result<Self> {
        let mut picture = Self::default();
        let (parent, page_size) = (session.parent(), PAGE);
        let request = ListProfilesRequest { parent, page_size, ..Default::default() };
        let profiles: Vec<Profile> = all!(session.profiles(), list_profiles, request, profiles);
        let mut people = People { session, keys: BTreeMap::new() };
        for it in &profiles {
            let key = People::key(it);
            let mut known: Vec<String> =
                it.identifiers.iter().map(|it| format!("{} {}", it.kind, it.value)).collect();
            known.sort_unstable();
            picture.line("profiles", format!("{key}: {}", known.join(", ")));
            people.keys.insert(it.name.clone(), key);
        }
        picture.stages(&people).await?;
        picture.scores(&people).await?;
        picture.members(&mut people).await?;
        picture.decisions(&mut people).await?;
        picture.messages(&mut people).await?;
        picture.coupons(&mut people).await?;
        for lines in picture.lines.values_mut() {
            lines.sort_unstable();
        }
        Ok(picture)
    }

    fn line(&mut self, section: &'static str, line: String) {
        self.lines.entry(section).or_default().push(line);
    }

    async fn stages(&mut self, people: &People<'_>) -> anyhow::Result<()> {
        for (name, key) in &people.keys {
            let request = GetStageRequest { name: name.clone() };
            // Who only ever looked around without a fact is in no stage.
            if let Ok(stage) = people.session.segmentation().get_stage(request).await {
                let stage = stage.into_inner();
                let history: Vec<String> = stage
                    .history
                    .iter()
                    .map(|it| format!("{} {}", it.stage, instant(it.since.as_ref())))
                    .collect();
                self.line("stages", format!("{key} {} {}", stage.stage, history.join(" ")));
            }
        }
        Ok(())
    }

    async fn scores(&mut self, people: &People<'_>) -> anyhow::Result<()> {
        let names: Vec<&String> = people.keys.keys().collect();
        for some in names.chunks(1_000) {
            let wanted = some.iter().map(|it| (*it).clone()).collect();
            let request = BatchGetScoresRequest { parent: people.session.parent(), names: wanted };
            let answer = people.session.scoring().batch_get_scores(request).await.map_err(told)?.into_inner();
            for mut it in answer.scores {
                if let Some(key) = people.keys.get(&std::mem::take(&mut it.name)) {
                    self.scores.insert(key.clone(), it);
                }
            }
        }
        Ok(())
    }

    async fn members(&mut self, people: &mut People<'_>) -> anyhow::Result<()> {
        let session = people.session;
        let request = ListSegmentsRequest { parent: session.parent(), page_size: PAGE, ..Default::default() };
        for segment in all!(session.segmentation(), list_segments, request, segments) {
            let request =
                ListMembersRequest { parent: segment.name.clone(), page_size: PAGE, ..Default::default() };
            for it in all!(session.segmentation(), list_members, request, members) {
                let who = people.of(&it.profile).await?;
                let since = instant(it.since.as_ref());
                self.line("members", format!("{who} {} {since}", bare(&segment.name)));
            }
        }
        Ok(())
    }

    async fn decisions(&mut self, people: &mut People<'_>) -> anyhow::Result<()> {
        let session = people.session;
        let request =
            ListDecisionsRequest { parent: session.parent(), page_size: PAGE, ..Default::default() };
        for it in all!(session.campaign(), list_decisions, request, decisions) {
            let who = people.of(&it.profile).await?;
            let at = instant(it.decide_time.as_ref());
            let why: Vec<String> = it.reasons.iter().map(|it| format!("{} {}", it.code, it.text)).collect();
            self.line(
                "decisions",
                format!(
                    "{at} {who} {}@{} {} {} {} [{}] {} {:.3} {:.3} {} {}",
                    it.campaign,
                    it.version,
                    it.occurrence,
                    it.step,
                    it.outcome,
                    why.join("; "),
                    it.runner_up,
                    it.priority,
                    it.runner_up_priority,
                    it.delivery,
                    it.delivery_reason
                ),
            );
        }
        Ok(())
    }

    async fn messages(&mut self, people: &mut People<'_>) -> anyhow::Result<()> {
        let session = people.session;
        let request = ListMessagesRequest { parent: session.parent(), page_size: PAGE, ..Default::default() };
        for it in all!(session.notification(), list_messages, request, messages) {
            let who = people.of(&it.profile).await?;
            let times = [&it.claim_time, &it.settle_time, &it.not_before_time, &it.not_after_time]
                .map(|it| instant(it.as_ref()));
            self.line(
                "messages",
                format!(
                    "{} {who} {} {} {} {} {} {} {} {}",
                    times.join(" "),
                    it.campaign,
                    it.step,
                    it.occurrence,
                    it.channel,
                    it.purpose,
                    it.template,
                    it.state,
                    it.reason
                ),
            );
        }
        Ok(())
    }

    async fn coupons(&mut self, people: &mut People<'_>) -> anyhow::Result<()> {
        let session = people.session;
        let request = ListCouponsRequest { parent: session.parent(), page_size: PAGE, ..Default::default() };
        for it in all!(session.loyalty(), list_coupons, request, coupons) {
            let who = people.of(&it.profile).await?;
            let times = [&it.issue_time, &it.valid_from_time, &it.expire_time].map(|it| instant(it.as_ref()));
            self.line(
                "coupons",
                format!(
                    "{} {who} {} {} {} {} {} {} {}",
                    times.join(" "),
                    it.offer,
                    it.campaign,
                    it.state,
                    it.order_id,
                    it.discount_minor,
                    it.promised_minor,
                    it.currency
                ),
            );
        }
        let request = SummarizeLedgerRequest { parent: session.parent() };
        let ledger = session.loyalty().summarize_ledger(request).await.map_err(told)?.into_inner();
        for it in ledger.offers {
            self.line(
                "balances",
                format!(
                    "{} {} {} {} {} {}",
                    it.offer,
                    it.open_count,
                    it.redeemed_count,
                    it.expired_count,
                    it.promised_minor,
                    it.spent_minor
                ),
            );
        }
        Ok(())
    }

    /// The hashes.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut scores = Fingerprint::default();
        for (key, it) in &self.scores {
            scores.line(&format!("{key} {}", score_line(it)));
        }
        let mut all = json!({ "scores": scores.to_json() });
        for (section, lines) in &self.lines {
            let mut hash = Fingerprint::default();
            lines.iter().for_each(|it| hash.line(it));
            all[*section] = hash.to_json();
        }
        all
    }
}

/// Figures that come out of a fit are the same to nine digits, not to the last bit.
fn score_line(it: &Score) -> String {
    let values: Vec<String> = it
        .values
        .iter()
        .map(|it| format!("{} {} {:.6e}", it.months, it.expected_minor, it.expected_orders))
        .collect();
    format!(
        "{} {} {} {} {:?} {:.6e} {} {}",
        it.orders,
        it.revenue_minor,
        it.profit_minor,
        it.x,
        it.p_alive.map(|it| format!("{it:.6e}")),
        it.expected_orders_90d,
        values.join(" "),
        instant(it.overdue_time.as_ref())
    )
}
