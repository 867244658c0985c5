//! `perennial describe`: all about one thing.

use anyhow::bail;
use perennial_api::campaign::v1::{GetCampaignReportRequest, GetCampaignRequest};
use perennial_api::loyalty::v1::{GetCouponRequest, GetOfferRequest};
use perennial_api::notification::v1::GetTemplateRequest;
use perennial_api::profile::v1::{GetErasureRequest, Profile};
use perennial_api::scoring::v1::GetModelRequest;
use perennial_api::segmentation::v1::{GetSegmentRequest, GetStageRequest, ListMembersRequest};
use perennial_types::Currency;
use serde_json::{Value, json};

use super::get::{campaign_state, kind_of};
use super::report::{Row, campaign_table, report_json};
use super::{instant, person, score};
use crate::output;
use crate::session::{Session, bare, told};

/// Tells all about one thing.
///
/// # Errors
/// If there is no such kind or name, or a service refuses.
pub async fn run(session: &Session, word: &str, name: &str) -> anyhow::Result<()> {
    let (json, text) = match kind_of(word)? {
        "segments" => segment(session, name).await?,
        "campaigns" => campaign(session, name).await?,
        "templates" => template(session, name).await?,
        "offers" => offer(session, name).await?,
        "models" => model(session, name).await?,
        "profiles" => profile(session, name).await?,
        "coupons" => coupon(session, name).await?,
        "erasures" => erasure(session, name).await?,
        kind => bail!("one of {kind} cannot be described: `perennial get {kind}` lists them"),
    };
    if session.is_json() {
        return output::json(&json);
    }
    output::show(&text)?;
    Ok(())
}

type Described = (Value, String);

async fn erasure(session: &Session, name: &str) -> anyhow::Result<Described> {
    let request = GetErasureRequest { name: session.name("erasures", name) };
    let it = session.privacy().get_erasure(request).await.map_err(told)?.into_inner();
    Ok((person::as_json(&it), person::text(&it)))
}

async fn segment(session: &Session, name: &str) -> anyhow::Result<Described> {
    let resource = session.name("segments", name);
    let it = session
        .segmentation()
        .get_segment(GetSegmentRequest { name: resource.clone() })
        .await
        .map_err(told)?
        .into_inner();
    let request = ListMembersRequest { parent: resource, page_size: 10, page_token: String::new() };
    let some = session.segmentation().list_members(request).await.map_err(told)?.into_inner();
    let state = it.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
    let mut text = format!(
        "  segment/{name}  {state}, version {}\n  {}\n\n  {}\n\n",
        it.version,
        it.description,
        it.rule.replace('\n', "\n  ")
    );
    let mut members = Vec::new();
    for member in &some.members {
        let since = instant(member.since.as_ref());
        text.push_str(&format!("  {}  since {since}\n", bare(&member.profile)));
        members.push(json!({ "profile": bare(&member.profile), "since": since }));
    }
    if !some.next_page_token.is_empty() {
        text.push_str("  …\n");
    }
    let json = json!({
        "name": name, "state": state, "version": it.version, "description": it.description, "rule": it.rule,
        "create_time": instant(it.create_time.as_ref()), "update_time": instant(it.update_time.as_ref()),
        "first_members": members,
    });
    Ok((json, text))
}

async fn campaign(session: &Session, name: &str) -> anyhow::Result<Described> {
    let resource = session.name("campaigns", name);
    let request = GetCampaignRequest { name: resource.clone() };
    let it = session.campaign().get_campaign(request).await.map_err(told)?.into_inner();
    let request = GetCampaignReportRequest { name: resource };
    let report = session.campaign().get_campaign_report(request).await.map_err(told)?.into_inner();
    let state = campaign_state(it.state());
    let mut text = format!("  campaign/{name}  {state}, version {}\n  {}\n\n", it.version, it.description);
    let decimals = Currency::EUR.decimals();
    let scale = 10_f64.powi(i32::try_from(decimals).unwrap_or(2));
    text.push_str(&campaign_table(&[Row { report: report.clone(), truth: None }], scale));
    text.push_str(&format!(
        "  {}; {} customers are still within their window\n\n",
        report.verdict, report.open
    ));
    text.push_str(&it.definition);
    let json = json!({
        "name": name, "state": state, "version": it.version, "description": it.description,
        "definition": it.definition, "report": report_json(&report),
    });
    Ok((json, text))
}

async fn template(session: &Session, name: &str) -> anyhow::Result<Described> {
    let request = GetTemplateRequest { name: session.name("templates", name) };
    let it = session.notification().get_template(request).await.map_err(told)?.into_inner();
    let text = format!("  template/{name}  version {}\n\n{}", it.version, it.definition);
    let json = json!({
        "name": name, "version": it.version, "description": it.description, "definition": it.definition,
    });
    Ok((json, text))
}

async fn offer(session: &Session, name: &str) -> anyhow::Result<Described> {
    let request = GetOfferRequest { name: session.name("offers", name) };
    let it = session.loyalty().get_offer(request).await.map_err(told)?.into_inner();
    let state = it.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
    let text = format!("  offer/{name}  {state}, version {}\n\n{}", it.version, it.definition);
    let json = json!({
        "name": name, "state": state, "version": it.version, "description": it.description,
        "definition": it.definition,
    });
    Ok((json, text))
}

async fn model(session: &Session, name: &str) -> anyhow::Result<Described> {
    let request = GetModelRequest { name: session.name("models", name) };
    let it = session.scoring().get_model(request).await.map_err(told)?.into_inner();
    Ok((score::model_json(&it), score::model_text(&it)))
}

async fn coupon(session: &Session, code: &str) -> anyhow::Result<Described> {
    let request = GetCouponRequest { name: session.name("coupons", code) };
    let it = session.loyalty().get_coupon(request).await.map_err(told)?.into_inner();
    let (from, until) = (instant(it.valid_from_time.as_ref()), instant(it.expire_time.as_ref()));
    let text = format!(
        "  coupon/{}  {}\n  offer     {}   from campaign {}\n  for       {}\n  valid     {from} – {until}\n  order     {}\n",
        it.code,
        it.state,
        it.offer,
        it.campaign,
        bare(&it.profile),
        if it.order_id.is_empty() { "–" } else { &it.order_id }
    );
    let json = json!({
        "code": it.code, "state": it.state, "offer": it.offer, "campaign": it.campaign,
        "profile": bare(&it.profile), "order_id": it.order_id, "discount_minor": it.discount_minor,
        "promised_minor": it.promised_minor, "currency": it.currency, "valid_from_time": from,
        "expire_time": until,
    });
    Ok((json, text))
}

async fn profile(session: &Session, identifier: &str) -> anyhow::Result<Described> {
    let it = session.profile(identifier).await?;
    let request = GetStageRequest { name: it.name.clone() };
    // Nothing is known of somebody who was seen a moment ago.
    let stage = session.segmentation().get_stage(request).await.map(tonic::Response::into_inner).ok();
    let mut text = format!("  profile {}\n", bare(&it.name));
    for id in &it.identifiers {
        text.push_str(&format!("  {:<14}{}\n", id.kind, id.value));
    }
    if let Some(stage) = &stage {
        text.push_str(&format!("  {:<14}{} since {}\n", "stage", stage.stage, instant(stage.since.as_ref())));
    }
    let zone = format!("{} (from {})", it.time_zone, it.time_zone_source);
    let (first, last) = (instant(it.create_time.as_ref()), instant(it.last_seen_time.as_ref()));
    text.push_str(&format!("  {:<14}{zone}\n  {:<14}{first}, last {last}\n", "time zone", "first seen"));
    for consent in &it.consents {
        let said = if consent.granted { "given" } else { "withdrawn" };
        let since = instant(consent.update_time.as_ref());
        let what = format!("{} {}", consent.channel, consent.purpose);
        text.push_str(&format!("  {:<14}{what} {said} {since} ({})\n", "consent", consent.source));
    }
    text.push_str(&format!("  {:<14}{}\n", "traits", it.traits_json));
    for merged in &it.merged_profiles {
        text.push_str(&format!("  {:<14}{}\n", "merged", bare(merged)));
    }
    let mut json = profile_json(&it);
    json["stage"] = stage.map(|it| it.stage).into();
    Ok((json, text))
}

/// A profile as JSON.
#[must_use]
pub fn profile_json(it: &Profile) -> Value {
    let identifiers: Vec<Value> =
        it.identifiers.iter().map(|it| json!({ "kind": it.kind, "value": it.value })).collect();
    let consents: Vec<Value> = it
        .consents
        .iter()
        .map(|it| {
            json!({
                "channel": it.channel, "purpose": it.purpose, "granted": it.granted, "source": it.source,
                "update_time": instant(it.update_time.as_ref()),
            })
        })
        .collect();
    let traits: Value = serde_json::from_str(&it.traits_json).unwrap_or_default();
    json!({
        "name": bare(&it.name), "identifiers": identifiers, "traits": traits, "time_zone": it.time_zone,
        "time_zone_source": it.time_zone_source, "locale": it.locale, "consents": consents,
        "create_time": instant(it.create_time.as_ref()),
        "last_seen_time": instant(it.last_seen_time.as_ref()),
        "merged_profiles": it.merged_profiles,
    })
}
