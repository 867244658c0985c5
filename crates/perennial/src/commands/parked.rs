//! `perennial parked`: profiles whose records wait because one of them could not be applied.

use perennial_api::feed::v1::{ListParkedProfilesRequest, ParkedProfile, RetryParkedProfileRequest};
use serde_json::json;

use super::status::SERVICES;
use crate::cli::Parked;
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// Lists parked profiles, or tries them again.
///
/// # Errors
/// If a service refuses, or a profile named is not parked.
pub async fn run(session: &Session, what: Parked) -> anyhow::Result<()> {
    match what {
        Parked::List => show(session, &parked(session).await?),
        Parked::Retry { profile } => retry(session, profile).await,
    }
}

/// All parked profiles of the workspace, each with the service that could not go on.
///
/// # Errors
/// If a service refuses.
pub async fn parked(session: &Session) -> anyhow::Result<Vec<ParkedProfile>> {
    let mut found: Vec<ParkedProfile> = Vec::new();
    for service in SERVICES {
        let mut page_token = String::new();
        loop {
            let request =
                ListParkedProfilesRequest { parent: session.parent(), page_size: 1_000, page_token };
            let page =
                session.feeds_of(service).list_parked_profiles(request).await.map_err(told)?.into_inner();
            for it in page.parked_profiles {
                let known =
                    |known: &ParkedProfile| (&known.consumer, &known.profile) == (&it.consumer, &it.profile);
                if !found.iter().any(known) {
                    found.push(it);
                }
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
    }
    Ok(found)
}

fn show(session: &Session, parked: &[ParkedProfile]) -> anyhow::Result<()> {
    if session.is_json() {
        let shown = parked.iter().map(|it| {
            json!({
                "consumer": it.consumer, "profile": it.profile, "records": it.records, "error": it.error,
                "parked_time": perennial_types::from_micros(it.parked_micros).to_string(),
            })
        });
        return output::json(&shown.collect::<Vec<_>>());
    }
    if parked.is_empty() {
        output::show("  nothing is parked")?;
        return Ok(());
    }
    let mut table = Table::new([
        ("SERVICE", Align::Left),
        ("PROFILE", Align::Left),
        ("RECORDS", Align::Right),
        ("SINCE", Align::Left),
        ("WHY", Align::Left),
    ]);
    for it in parked {
        let since = perennial_types::from_micros(it.parked_micros).strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let records = output::thousands(it.records.into());
        table.row([it.consumer.clone(), bare(&it.profile).to_owned(), records, since, it.error.clone()]);
    }
    output::show(&table.to_string())?;
    Ok(())
}

async fn retry(session: &Session, profile: Option<String>) -> anyhow::Result<()> {
    let all = parked(session).await?;
    let wanted = |it: &&ParkedProfile| profile.as_deref().is_none_or(|id| bare(&it.profile) == bare(id));
    let chosen: Vec<&ParkedProfile> = all.iter().filter(wanted).collect();
    if chosen.is_empty() {
        match profile {
            Some(id) => {
                anyhow::bail!("profile {id} is not parked: `perennial parked list` shows those that are")
            }
            None => return show(session, &[]),
        }
    }
    if let Some(it) = chosen
        .iter()
        .find(|it| session.is_here && !["scoring", "segmentation"].contains(&it.consumer.as_str()))
    {
        anyhow::bail!(
            "{} goes on only where it runs: start `perennial serve` on this folder, then retry",
            it.consumer
        );
    }
    let mut stopped = 0;
    let mut answers = Vec::new();
    for it in chosen {
        let request =
            RetryParkedProfileRequest { consumer: it.consumer.clone(), profile: it.profile.clone() };
        let answer =
            session.feeds_of(&it.consumer).retry_parked_profile(request).await.map_err(told)?.into_inner();
        stopped += usize::from(!answer.error.is_empty());
        answers.push((it, answer));
    }
    if session.is_json() {
        let shown = answers.iter().map(|(it, answer)| {
            json!({ "consumer": it.consumer, "profile": it.profile, "applied": answer.applied, "error": answer.error })
        });
        output::json(&shown.collect::<Vec<_>>())?;
    } else {
        for (it, answer) in &answers {
            let verdict = if answer.error.is_empty() { "goes on" } else { answer.error.as_str() };
            let id = bare(&it.profile);
            output::show(&format!("  {}  {id}  {} applied  {verdict}", it.consumer, answer.applied))?;
        }
    }
    anyhow::ensure!(stopped == 0, "{stopped} profiles are still parked: mend what they say, then retry");
    Ok(())
}
