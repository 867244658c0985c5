//! `perennial merges`: how profiles came to be one person, and how that is undone.

use perennial_api::profile::v1::{
    Identifier, ListMergesRequest, Merge, Profile, Unmerge, UnmergeProfileRequest, UnmergedPart,
};
use serde_json::{Value, json};

use super::instant;
use crate::output::{self, Align, Table};
use crate::session::{Session, bare, told};

/// Merges read in one request.
const PAGE: i32 = 1_000;

/// Lists a person's merges, and what showed each.
///
/// # Errors
/// If nobody is known by the identifier, or the service refuses.
pub async fn list(session: &Session, person: &str) -> anyhow::Result<()> {
    let profile = session.profile(person).await?;
    let mut merges: Vec<Merge> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListMergesRequest { parent: profile.name.clone(), page_size: PAGE, page_token };
        let page = session.identity().list_merges(request).await.map_err(told)?.into_inner();
        merges.extend(page.merges);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if session.is_json() {
        return output::json(&merges.iter().map(as_json).collect::<Vec<_>>());
    }
    let mut table = Table::new([
        ("PROFILE", Align::Left),
        ("BECAME", Align::Left),
        ("AT", Align::Left),
        ("SHOWN BY", Align::Left),
        ("IT WAS KNOWN BY", Align::Left),
        ("UNDONE", Align::Left),
    ])
    .indented(2);
    for it in &merges {
        table.row([
            bare(&it.profile).to_owned(),
            bare(&it.survivor).to_owned(),
            instant(it.merge_time.as_ref()),
            if it.event_name.is_empty() { it.event.clone() } else { it.event_name.clone() },
            known_by(&it.identifiers),
            it.undo_time.as_ref().map(|it| instant(Some(it))).unwrap_or_default(),
        ]);
    }
    let none = if merges.is_empty() { "  nobody was merged into this profile\n" } else { "" };
    output::show(&format!(
        "  profile {}  {}\n\n{table}{none}\n  `perennial merges undo PROFILE` shows what undoing one would make of them",
        bare(&profile.name),
        known_by(&profile.identifiers),
    ))?;
    Ok(())
}

/// Undoes a merge, or shows what would come of it.
///
/// # Errors
/// If the profile was not merged, or the service refuses.
pub async fn undo(session: &Session, profile: &str, yes: bool) -> anyhow::Result<()> {
    let name = session.name("profiles", profile);
    let request = UnmergeProfileRequest { name, validate_only: !yes, request_id: String::new() };
    let it = session.identity().unmerge_profile(request).await.map_err(told)?.into_inner();
    if session.is_json() {
        let part = |it: &Option<UnmergedPart>| it.as_ref().map(part_as_json);
        return output::json(&json!({
            "done": it.undo_time.is_some(), "returned": part(&it.returned), "survivor": part(&it.survivor),
        }));
    }
    output::show(&text(&it))?;
    Ok(())
}

fn text(it: &Unmerge) -> String {
    let mut table = Table::new([
        ("", Align::Left),
        ("PROFILE", Align::Left),
        ("EVENTS", Align::Right),
        ("ORDERS", Align::Right),
        ("KNOWN BY", Align::Left),
        ("CONSENTS", Align::Left),
    ])
    .indented(2);
    for (side, part) in [("comes back", &it.returned), ("stays", &it.survivor)] {
        let Some(UnmergedPart { profile: Some(profile), event_count, order_count }) = part else { continue };
        table.row([
            side.to_owned(),
            bare(&profile.name).to_owned(),
            output::count(*event_count),
            output::count(*order_count),
            known_by(&profile.identifiers),
            consents(profile),
        ]);
    }
    let standing = if it.undo_time.is_some() {
        "they are two again, and stay apart; every other service follows at once".to_owned()
    } else {
        "nothing is changed yet: add --yes; they stay apart from then on".to_owned()
    };
    format!("{table}\n  {standing}")
}

fn known_by(identifiers: &[Identifier]) -> String {
    let shown: Vec<String> = identifiers.iter().map(|it| format!("{}={}", it.kind, it.value)).collect();
    shown.join(" ")
}

fn consents(profile: &Profile) -> String {
    let word = |granted| if granted { "yes" } else { "no" };
    let shown: Vec<String> = profile
        .consents
        .iter()
        .map(|it| format!("{}/{}={}", it.channel, it.purpose, word(it.granted)))
        .collect();
    shown.join(" ")
}

fn as_json(it: &Merge) -> Value {
    json!({
        "profile": bare(&it.profile), "survivor": bare(&it.survivor), "at": instant(it.merge_time.as_ref()),
        "event": it.event, "event_name": it.event_name, "historical": it.historical,
        "identifiers": identifiers(&it.identifiers), "undone": it.undo_time.as_ref().map(|it| instant(Some(it))),
    })
}

fn part_as_json(it: &UnmergedPart) -> Value {
    let profile = it.profile.clone().unwrap_or_default();
    json!({
        "profile": bare(&profile.name), "events": it.event_count, "orders": it.order_count,
        "identifiers": identifiers(&profile.identifiers), "consents": consents(&profile),
        "merged_profiles": profile.merged_profiles.iter().map(|it| bare(it)).collect::<Vec<_>>(),
    })
}

fn identifiers(of: &[Identifier]) -> Vec<Value> {
    of.iter().map(|it| json!({ "kind": it.kind, "value": it.value })).collect()
}
