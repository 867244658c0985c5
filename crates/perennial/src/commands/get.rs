//! `perennial get`: lists, and single things in one line each.

use anyhow::bail;
use perennial_api::campaign::v1::ListCampaignsRequest;
use perennial_api::campaign::v1::campaign::State;
use perennial_api::loyalty::v1::{ListCouponsRequest, ListOffersRequest};
use perennial_api::notification::v1::{ListMessagesRequest, ListTemplatesRequest};
use perennial_api::profile::v1::{ListErasuresRequest, ListProfilesRequest};
use perennial_api::scoring::v1::{ListModelsRequest, ModelState};
use perennial_api::segmentation::v1::{
    ListSegmentsRequest, SummarizeSegmentsRequest, SummarizeStagesRequest,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::{describe, instant, person};
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// What can be listed.
const KINDS: &str =
    "segments, campaigns, templates, offers, models, stages, profiles, messages, coupons or erasures";

/// Most rows of a list that may be long.
const MOST: usize = 1_000;

/// A kind by its word, singular or plural.
///
/// # Errors
/// If it is none.
pub fn kind_of(word: &str) -> anyhow::Result<&'static str> {
    Ok(match word.to_lowercase().as_str() {
        "segment" | "segments" => "segments",
        "campaign" | "campaigns" => "campaigns",
        "template" | "templates" => "templates",
        "offer" | "offers" => "offers",
        "model" | "models" => "models",
        "stage" | "stages" => "stages",
        "profile" | "profiles" => "profiles",
        "message" | "messages" => "messages",
        "coupon" | "coupons" => "coupons",
        "erasure" | "erasures" => "erasures",
        _ => bail!("{word:?} cannot be listed: use {KINDS}"),
    })
}

/// Lists a kind, or shows one of it.
///
/// # Errors
/// If there is no such kind or name, or a service refuses.
pub async fn run(session: &Session, word: &str, name: Option<String>) -> anyhow::Result<()> {
    let kind = kind_of(word)?;
    if let Some(name) = name {
        return describe::run(session, word, &name).await;
    }
    let (rows, table) = match kind {
        "segments" => segments(session).await?,
        "campaigns" => campaigns(session).await?,
        "templates" => templates(session).await?,
        "offers" => offers(session).await?,
        "models" => models(session).await?,
        "stages" => stages(session).await?,
        "profiles" => profiles(session).await?,
        "messages" => messages(session).await?,
        "erasures" => erasures(session).await?,
        _ => coupons(session).await?,
    };
    if session.is_json() {
        return output::json(&rows);
    }
    if table.is_empty() {
        output::show(&format!("  no {kind} yet"))?;
        return Ok(());
    }
    output::show(&table.to_string())?;
    if rows.len() >= MOST {
        output::say(&format!("  only the first {}", output::thousands(MOST as u64)));
    }
    Ok(())
}

type Listed = (Vec<Value>, Table);

/// Asks page after page, until the last or `most` things.
macro_rules! pages {
    ($most:expr, $client:expr, $method:ident, $field:ident, $request:expr) => {{
        let mut all = Vec::new();
        let mut request = $request;
        loop {
            let page = $client.$method(request.clone()).await.map_err(told)?.into_inner();
            all.extend(page.$field);
            if page.next_page_token.is_empty() || all.len() >= $most {
                all.truncate($most);
                break all;
            }
            request.page_token = page.next_page_token;
        }
    }};
}

const L: Align = Align::Left;
const R: Align = Align::Right;

async fn segments(session: &Session) -> anyhow::Result<Listed> {
    let parent = session.parent();
    let request = ListSegmentsRequest { parent: parent.clone(), page_size: 1_000, ..Default::default() };
    let all = pages!(usize::MAX, session.segmentation(), list_segments, segments, request);
    let request = SummarizeSegmentsRequest { parent };
    let counts = session.segmentation().summarize_segments(request).await.map_err(told)?.into_inner();
    let members: BTreeMap<&str, i64> =
        counts.segments.iter().map(|it| (bare(&it.segment), it.members)).collect();
    let mut table = Table::new([("SEGMENT", L), ("MEMBERS", R), ("STATE", L), ("RULE", L)]);
    let mut rows = Vec::new();
    for it in all {
        let name = bare(&it.name);
        let count = members.get(name).copied().unwrap_or_default();
        let state = it.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
        table.row([name.to_owned(), output::count(count), state.clone(), it.rule.clone()]);
        rows.push(json!({
            "name": name, "members": count, "state": state, "rule": it.rule, "description": it.description,
            "version": it.version,
        }));
    }
    Ok((rows, table))
}

async fn campaigns(session: &Session) -> anyhow::Result<Listed> {
    let request = ListCampaignsRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(usize::MAX, session.campaign(), list_campaigns, campaigns, request);
    let mut table = Table::new([("CAMPAIGN", L), ("STATE", L), ("VERSION", R), ("FOR", L)]);
    let mut rows = Vec::new();
    for it in all {
        let state = campaign_state(it.state());
        let name = bare(&it.name).to_owned();
        table.row([name.clone(), state.to_owned(), it.version.to_string(), it.description.clone()]);
        rows.push(
            json!({ "name": name, "state": state, "version": it.version, "description": it.description }),
        );
    }
    Ok((rows, table))
}

/// The word of a campaign's state.
#[must_use]
pub fn campaign_state(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::Paused => "paused",
        State::Stopped => "stopped",
        State::Draft | State::Unspecified => "draft",
    }
}

async fn templates(session: &Session) -> anyhow::Result<Listed> {
    let request = ListTemplatesRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(usize::MAX, session.notification(), list_templates, templates, request);
    let mut table = Table::new([("TEMPLATE", L), ("VERSION", R), ("FOR", L)]);
    let mut rows = Vec::new();
    for it in all {
        let name = bare(&it.name).to_owned();
        table.row([name.clone(), it.version.to_string(), it.description.clone()]);
        rows.push(json!({ "name": name, "version": it.version, "description": it.description }));
    }
    Ok((rows, table))
}

async fn offers(session: &Session) -> anyhow::Result<Listed> {
    let request = ListOffersRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(usize::MAX, session.loyalty(), list_offers, offers, request);
    let mut table = Table::new([("OFFER", L), ("STATE", L), ("GIVES", L), ("VALID", R), ("FOR", L)]);
    let mut rows = Vec::new();
    for it in all {
        let name = bare(&it.name).to_owned();
        let state = it.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
        let mut gives = Vec::new();
        if it.per_mille > 0 {
            gives.push(format!("{} %", f64::from(it.per_mille) / 10.0));
        }
        if it.amount_minor > 0 {
            gives.push(output::money(it.amount_minor, &it.currency));
        }
        if it.free_shipping {
            gives.push("free shipping".to_owned());
        }
        let days = format!("{} d", it.valid_seconds / 86_400);
        table.row([name.clone(), state.clone(), gives.join(" + "), days, it.description.clone()]);
        rows.push(json!({
            "name": name, "state": state, "per_mille": it.per_mille, "amount_minor": it.amount_minor,
            "free_shipping": it.free_shipping, "currency": it.currency, "valid_seconds": it.valid_seconds,
            "description": it.description,
        }));
    }
    Ok((rows, table))
}

async fn models(session: &Session) -> anyhow::Result<Listed> {
    let request = ListModelsRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(MOST, session.scoring(), list_models, models, request);
    let mut table = Table::new([
        ("MODEL", L),
        ("STATE", L),
        ("DATA TO", L),
        ("CUSTOMERS", R),
        ("LOG-LIKELIHOOD", R),
        ("WHY", L),
    ]);
    let mut rows = Vec::new();
    for it in all {
        let state = match it.state() {
            ModelState::Published => "published",
            ModelState::Refused => "refused",
            ModelState::Candidate | ModelState::Unspecified => "candidate",
        };
        table.row([
            bare(&it.name).to_owned(),
            state.to_owned(),
            it.cutoff_date.clone(),
            output::count(it.customer_count),
            format!("{:.3}", it.log_likelihood),
            it.reason.clone(),
        ]);
        rows.push(super::score::model_json(&it));
    }
    Ok((rows, table))
}

async fn stages(session: &Session) -> anyhow::Result<Listed> {
    let request = SummarizeStagesRequest { parent: session.parent() };
    let all = session.segmentation().summarize_stages(request).await.map_err(told)?.into_inner();
    let mut table = Table::new([("STAGE", L), ("MEMBERS", R)]);
    let mut rows = Vec::new();
    for it in all.stages {
        table.row([it.stage.clone(), output::count(it.members)]);
        rows.push(json!({ "stage": it.stage, "members": it.members }));
    }
    Ok((rows, table))
}

async fn profiles(session: &Session) -> anyhow::Result<Listed> {
    let request = ListProfilesRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(MOST, session.profiles(), list_profiles, profiles, request);
    let mut table = Table::new([("PROFILE", L), ("KNOWN AS", L), ("ZONE", L), ("LAST SEEN", L)]);
    let mut rows = Vec::new();
    for it in all {
        let known: Vec<String> =
            it.identifiers.iter().map(|id| format!("{}={}", id.kind, id.value)).collect();
        let (id, seen) = (bare(&it.name).to_owned(), instant(it.last_seen_time.as_ref()));
        table.row([id.clone(), known.join(" "), it.time_zone.clone(), seen]);
        rows.push(describe::profile_json(&it));
    }
    Ok((rows, table))
}

async fn messages(session: &Session) -> anyhow::Result<Listed> {
    let request = ListMessagesRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(MOST, session.notification(), list_messages, messages, request);
    let mut table =
        Table::new([("CLAIMED", L), ("STATE", L), ("CAMPAIGN", L), ("STEP", L), ("PROFILE", L), ("WHY", L)]);
    let mut rows = Vec::new();
    for it in all {
        let at = instant(it.claim_time.as_ref());
        let profile = bare(&it.profile).to_owned();
        table.row([
            at.clone(),
            it.state.clone(),
            it.campaign.clone(),
            it.step.clone(),
            profile.clone(),
            it.reason.clone(),
        ]);
        rows.push(json!({
            "message_id": it.message_id, "claim_time": at, "state": it.state, "campaign": it.campaign,
            "step": it.step, "occurrence": it.occurrence, "profile": profile, "channel": it.channel,
            "template": it.template, "reason": it.reason, "attempts": it.attempts,
        }));
    }
    Ok((rows, table))
}

async fn coupons(session: &Session) -> anyhow::Result<Listed> {
    let request = ListCouponsRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(MOST, session.loyalty(), list_coupons, coupons, request);
    let mut table =
        Table::new([("CODE", L), ("OFFER", L), ("STATE", L), ("PROFILE", L), ("EXPIRES", L), ("ORDER", L)]);
    let mut rows = Vec::new();
    for it in all {
        let (profile, expires) = (bare(&it.profile).to_owned(), instant(it.expire_time.as_ref()));
        table.row([
            it.code.clone(),
            it.offer.clone(),
            it.state.clone(),
            profile.clone(),
            expires.clone(),
            it.order_id.clone(),
        ]);
        rows.push(json!({
            "code": it.code, "offer": it.offer, "state": it.state, "profile": profile,
            "campaign": it.campaign, "expire_time": expires, "order_id": it.order_id,
            "discount_minor": it.discount_minor, "currency": it.currency,
        }));
    }
    Ok((rows, table))
}

async fn erasures(session: &Session) -> anyhow::Result<Listed> {
    let request = ListErasuresRequest { parent: session.parent(), page_size: 1_000, ..Default::default() };
    let all = pages!(MOST, session.privacy(), list_erasures, erasures, request);
    let mut table =
        Table::new([("ERASURE", L), ("PROFILE", L), ("STATE", L), ("BEGAN", L), ("BACKUPS EXPIRE", L)]);
    let mut rows = Vec::new();
    for it in all {
        let (began, expire) = (instant(it.create_time.as_ref()), instant(it.backups_expire_time.as_ref()));
        table.row([
            bare(&it.name).to_owned(),
            bare(&it.profile).to_owned(),
            person::state_of(&it),
            began,
            expire,
        ]);
        rows.push(person::as_json(&it));
    }
    Ok((rows, table))
}
