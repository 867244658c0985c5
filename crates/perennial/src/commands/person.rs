//! `perennial export person`, `perennial erase`: what a person may ask for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use perennial_api::feed::v1::ExportProfilesRequest;
use perennial_api::profile::v1::erasure::State;
use perennial_api::profile::v1::{
    EraseProfileRequest, Erasure, ExportProfileRequest, GetErasureRequest, Profile,
};
use perennial_types::ProfileId;
use serde_json::{Value, json};

use super::instant;
use super::status::SERVICES;
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// How long a command waits for receipts; the erasure goes on without it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows by service and table.
type Known = BTreeMap<String, BTreeMap<String, Vec<Value>>>;

/// Writes all that is known of a person as JSON, to standard output or into a file.
///
/// # Errors
/// If nobody is known by the identifier, a service refuses, or the file cannot be written.
pub async fn export(session: &Session, person: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let profile = session.profile(person).await?;
    let known = known(session, &profile).await?;
    let document = json!({ "profile": bare(&profile.name), "services": known });
    let Some(file) = file else { return output::json(&document) };
    let text = serde_json::to_string_pretty(&document)?;
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    output::say(&format!("  {} rows into {}", output::thousands(rows(&known)), file.display()));
    Ok(())
}

fn rows(known: &Known) -> u64 {
    known.values().flat_map(BTreeMap::values).map(|it| it.len() as u64).sum()
}

/// What every service knows of a person and of all that were found to be the same.
async fn known(session: &Session, profile: &Profile) -> anyhow::Result<Known> {
    let mut known = Known::new();
    let mut add = |service: String, store: String, rows: Vec<String>| -> anyhow::Result<()> {
        let table = known.entry(service).or_default().entry(store).or_default();
        for row in rows {
            table.push(serde_json::from_str(&row).context("a service answered with what is no JSON")?);
        }
        Ok(())
    };
    let request = ExportProfileRequest { name: profile.name.clone() };
    let mut parts = session.privacy().export_profile(request).await.map_err(told)?.into_inner();
    while let Some(it) = parts.message().await.map_err(told)? {
        add(it.service, it.store, it.rows_json)?;
    }
    let names: Vec<String> = [&profile.name].into_iter().chain(&profile.merged_profiles).cloned().collect();
    for service in SERVICES {
        let request = ExportProfilesRequest { parent: session.parent(), names: names.clone() };
        let mut parts = session.feeds_of(service).export_profiles(request).await.map_err(told)?.into_inner();
        while let Some(it) = parts.message().await.map_err(told)? {
            // A process answers for all services that run in it.
            if it.service == service {
                add(it.service, it.store, it.rows_json)?;
            }
        }
    }
    Ok(known)
}

/// Erases a person, or shows what that would take out.
///
/// # Errors
/// If nobody is known by the identifier, or a service refuses.
pub async fn erase(session: &Session, person: &str, yes: bool) -> anyhow::Result<()> {
    let found = session.find(person).await?;
    let name = match (&found, ProfileId::parse(person)) {
        (Some(profile), _) => profile.name.clone(),
        // Whoever was erased before is known by nothing but the id they had.
        (None, Ok(id)) => session.name("profiles", &id.to_string()),
        (None, Err(_)) => bail!(
            "{}\n  if an erasure took them out, no address of theirs is left to know them by: name the profile id they had, \
             or see `perennial get erasures`",
            session.nobody(person)
        ),
    };
    if !yes {
        let Some(profile) = found else {
            bail!("profile {} is not known (any more): add --yes to see whether it was erased", bare(&name));
        };
        return preview(session, &profile).await;
    }
    let request = EraseProfileRequest { name, request_id: String::new() };
    let mut erasure = session.privacy().erase_profile(request).await.map_err(told)?.into_inner();
    let began = Instant::now();
    while erasure.state() != State::Done && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let request = GetErasureRequest { name: erasure.name.clone() };
        erasure = session.privacy().get_erasure(request).await.map_err(told)?.into_inner();
    }
    show(session, &erasure)
}

async fn preview(session: &Session, profile: &Profile) -> anyhow::Result<()> {
    let known = known(session, profile).await?;
    if session.is_json() {
        let counts = |tables: &BTreeMap<String, Vec<Value>>| -> BTreeMap<String, usize> {
            tables.iter().map(|(name, rows)| (name.clone(), rows.len())).collect()
        };
        let services: BTreeMap<&String, _> = known.iter().map(|(name, it)| (name, counts(it))).collect();
        return output::json(&json!({ "profile": bare(&profile.name), "erased": false, "rows": services }));
    }
    let ids: Vec<String> = profile.identifiers.iter().map(|it| format!("{}={}", it.kind, it.value)).collect();
    let mut table =
        Table::new([("SERVICE", Align::Left), ("TABLE", Align::Left), ("ROWS", Align::Right)]).indented(2);
    for (service, tables) in &known {
        for (name, rows) in tables {
            table.row([service.clone(), name.clone(), output::thousands(rows.len() as u64)]);
        }
    }
    output::show(&format!(
        "  profile {}  {}\n  and {} merged into it\n\n{table}\n  nothing is erased yet: add --yes; it cannot be taken back\n  \
         `perennial export person` shows every row",
        bare(&profile.name),
        ids.join(" "),
        profile.merged_profiles.len(),
    ))?;
    Ok(())
}

/// Shows an erasure and its receipts.
///
/// # Errors
/// If it cannot be written.
pub fn show(session: &Session, it: &Erasure) -> anyhow::Result<()> {
    if session.is_json() {
        return output::json(&as_json(it));
    }
    output::show(&text(it))?;
    Ok(())
}

/// An erasure as people read it.
#[must_use]
pub fn text(it: &Erasure) -> String {
    let mut table = Table::new([
        ("SERVICE", Align::Left),
        ("TABLE", Align::Left),
        ("ERASED", Align::Right),
        ("UNLINKED", Align::Right),
        ("WHAT STAYS, AND WHY", Align::Left),
    ])
    .indented(2);
    for receipt in &it.receipts {
        table.row([
            receipt.service.clone(),
            receipt.store.clone(),
            output::count(receipt.erased_count),
            output::count(receipt.unlinked_count),
            receipt.kept.clone(),
        ]);
    }
    let standing = if it.state() == State::Done {
        format!("done at {}", instant(it.done_time.as_ref()))
    } else {
        format!("waits for {}; it goes on by itself", it.awaited_services.join(", "))
    };
    format!(
        "  erasure {}  profile {} ({} in all)  {standing}\n\n{table}\n  their addresses are on the suppression list as keyed \
         hashes\n  backups that may know them expire by {}",
        bare(&it.name),
        bare(&it.profile),
        it.profile_count,
        instant(it.backups_expire_time.as_ref()),
    )
}

/// The word for how far an erasure is.
#[must_use]
pub fn state_of(it: &Erasure) -> String {
    it.state().as_str_name().trim_start_matches("STATE_").to_lowercase()
}

/// An erasure for programs.
#[must_use]
pub fn as_json(it: &Erasure) -> Value {
    let receipts = it.receipts.iter().map(|it| {
        json!({
            "service": it.service, "store": it.store, "erased": it.erased_count, "unlinked": it.unlinked_count,
            "kept": it.kept,
        })
    });
    json!({
        "name": bare(&it.name), "profile": bare(&it.profile), "profiles": it.profile_count, "state": state_of(it),
        "create_time": instant(it.create_time.as_ref()), "done_time": instant(it.done_time.as_ref()),
        "backups_expire_time": instant(it.backups_expire_time.as_ref()),
        "receipts": receipts.collect::<Vec<_>>(), "awaited": it.awaited_services,
    })
}
