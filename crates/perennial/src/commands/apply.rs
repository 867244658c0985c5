//! `perennial apply`: makes things what files say, and shows what changes.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::anyhow;
use perennial_api::campaign::v1::campaign::State;
use perennial_api::campaign::v1::update_campaign_response::Change as CampaignChange;
use perennial_api::campaign::v1::{
    Campaign, EnterExistingRequest, EnterExistingResponse, UpdateCampaignRequest,
};
use perennial_api::ingestion::v1::update_tracking_plan_response::Change as PlanChange;
use perennial_api::ingestion::v1::{TrackingPlan, UpdateTrackingPlanRequest};
use perennial_api::loyalty::v1::update_offer_response::Change as OfferChange;
use perennial_api::loyalty::v1::{Offer, UpdateOfferRequest};
use perennial_api::notification::v1::update_template_response::Change as TemplateChange;
use perennial_api::notification::v1::{Template, UpdateTemplateRequest};
use perennial_api::segmentation::v1::{GetSegmentRequest, Segment, UpdateSegmentRequest};
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::documents::{Document, DocumentKind, line_of, read};
use crate::output;
use crate::session::{Session, told};

/// What `apply` is to do.
#[derive(Clone, Debug)]
pub struct Apply {
    /// Files, folders, `-` or playbooks.
    pub files: Vec<PathBuf>,
    /// Change nothing.
    pub dry_run: bool,
    /// Let campaigns run.
    pub live: bool,
    /// Start campaigns on those already there.
    pub enter_existing: bool,
}

/// What became of one document, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `+` new, `~` changed, `=` the same.
    pub sign: char,
    /// What it defines.
    pub kind: DocumentKind,
    /// Its bare name.
    pub name: String,
    /// What that means.
    pub note: String,
}

/// Applies documents in order; a broken one costs the others nothing. Answers what changed, and what is wrong with those
/// that could not be applied.
///
/// # Errors
/// If the files cannot be read.
pub async fn apply(
    session: &Session,
    what: &Apply,
    playbooks: &[(&str, &str)],
) -> anyhow::Result<(Vec<Change>, Vec<String>)> {
    let mut changes = Vec::new();
    let mut broken = Vec::new();
    for it in &read(&what.files, playbooks)? {
        match one(session, it, what).await {
            Ok(change) => changes.push(change),
            Err(error) => broken.push(error),
        }
    }
    Ok((changes, broken))
}

/// Applies documents and shows what changed.
///
/// # Errors
/// How many could not be applied, after each was explained.
pub async fn run(session: &Session, what: Apply, playbooks: &[(&str, &str)]) -> anyhow::Result<()> {
    let (changes, broken) = apply(session, &what, playbooks).await?;
    if session.is_json() {
        let shown: Vec<Value> = changes
            .iter()
            .map(|it| json!({ "change": word(it.sign), "kind": it.kind.as_str(), "name": it.name, "note": it.note }))
            .collect();
        output::json(&json!({ "changes": shown, "broken": broken, "dry_run": what.dry_run }))?;
    } else {
        output::show(&listed(&changes))?;
    }
    for error in &broken {
        output::say(&format!("  error: {error}"));
    }
    if broken.is_empty() {
        return Ok(());
    }
    let all = changes.len() + broken.len();
    Err(anyhow!("{} of {all} documents were not applied", broken.len()))
}

fn word(sign: char) -> &'static str {
    match sign {
        '+' => "created",
        '~' => "updated",
        _ => "unchanged",
    }
}

fn listed(changes: &[Change]) -> String {
    let named = |it: &Change| format!("{}/{}", it.kind.as_str(), it.name);
    let wide = changes.iter().filter(|it| it.sign != '=').map(|it| named(it).chars().count()).max();
    let mut text = String::new();
    for it in changes.iter().filter(|it| it.sign != '=') {
        let line =
            format!("  {} {:<wide$}    {}", it.sign, named(it), it.note, wide = wide.unwrap_or_default());
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let unchanged = changes.iter().filter(|it| it.sign == '=').count();
    if unchanged > 0 {
        text.push_str(&format!("  = {unchanged} unchanged\n"));
    }
    text
}

async fn one(session: &Session, it: &Document, what: &Apply) -> Result<Change, String> {
    let change = match it.kind {
        DocumentKind::Segment => segment(session, it, what).await,
        DocumentKind::Campaign => campaign(session, it, what).await,
        DocumentKind::Template => template(session, it, what).await,
        DocumentKind::Offer => offer(session, it, what).await,
        DocumentKind::TrackingPlan => plan(session, it, what).await,
    };
    change.map_err(|status| explained(it, status))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentFile {
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "name")]
    _name: String,
    #[serde(default)]
    description: String,
    rule: String,
    #[serde(default)]
    allow_unknown_events: bool,
}

async fn segment(session: &Session, it: &Document, what: &Apply) -> Result<Change, Status> {
    let file: SegmentFile = serde_saphyr::from_str(&it.text).map_err(|error| {
        let line = error.location().map_or(1, |it| it.line());
        let problem = error.to_string();
        // Not a service's answer, but it is shown like one: with its line in the file.
        Status::invalid_argument(format!("line {line}: {}", problem.lines().next().unwrap_or_default()))
    })?;
    let name = session.name("segments", &it.name);
    let found = match session.segmentation().get_segment(GetSegmentRequest { name: name.clone() }).await {
        Err(status) if status.code() == Code::NotFound => None,
        other => Some(other?.into_inner()),
    };
    let wanted = Segment {
        name,
        description: file.description,
        rule: file.rule.trim().to_owned(),
        allow_unknown_events: file.allow_unknown_events,
        ..Segment::default()
    };
    let same = |found: &Segment| {
        let of = |it: &Segment| (it.description.clone(), it.rule.trim().to_owned(), it.allow_unknown_events);
        of(found) == of(&wanted)
    };
    let change = |sign, note| Ok(Change { sign, kind: it.kind, name: it.name.clone(), note });
    if found.as_ref().is_some_and(same) {
        return change('=', String::new());
    }
    let began = Instant::now();
    let request = UpdateSegmentRequest {
        segment: Some(wanted.clone()),
        allow_missing: true,
        validate_only: true,
        ..UpdateSegmentRequest::default()
    };
    let preview = session.segmentation().update_segment(request.clone()).await?.into_inner().preview;
    let took = began.elapsed().as_secs_f64();
    if !what.dry_run {
        let request = UpdateSegmentRequest { validate_only: false, ..request };
        session.segmentation().update_segment(request).await?;
    }
    let preview = preview.unwrap_or_default();
    let about = if preview.sampled < preview.profiles { "about " } else { "" };
    let (members, profiles) = (output::count(preview.members), output::count(preview.profiles));
    match found {
        None => {
            let verb = if what.dry_run { "would hold" } else { "holds" };
            change('+', format!("{verb} {about}{members} of {profiles} profiles (preview {took:.1} s)"))
        }
        Some(found) if found.rule.trim() == wanted.rule => change('~', "description changed".to_owned()),
        Some(_) => {
            let (enter, leave) = (output::count(preview.entering), output::count(preview.leaving));
            let note = format!(
                "rule changed: {about}{enter} enter, {leave} leave; campaigns not triggered by the edit"
            );
            change('~', note)
        }
    }
}

async fn campaign(session: &Session, it: &Document, what: &Apply) -> Result<Change, Status> {
    let state = if what.live { State::Live } else { State::Unspecified };
    let wanted = Campaign {
        name: session.name("campaigns", &it.name),
        definition: it.text.clone(),
        state: state.into(),
        ..Campaign::default()
    };
    let request =
        UpdateCampaignRequest { campaign: Some(wanted), allow_missing: true, validate_only: what.dry_run };
    let answer = session.campaign().update_campaign(request).await?.into_inner();
    let sign = match answer.change() {
        CampaignChange::Created => '+',
        CampaignChange::Updated => '~',
        CampaignChange::Unchanged | CampaignChange::Unspecified => '=',
    };
    let mut notes = Vec::new();
    if let Some(now) = &answer.campaign {
        let state = match now.state() {
            State::Draft | State::Unspecified => {
                format!("a draft: `perennial resume {}` lets it run", it.name)
            }
            State::Live => "live".to_owned(),
            State::Paused => "paused".to_owned(),
            State::Stopped => "stopped".to_owned(),
        };
        let version = if sign == '~' {
            format!("version {}; those inside keep theirs; ", now.version)
        } else {
            String::new()
        };
        notes.push(format!("{version}{state}"));
    }
    notes.extend(answer.warnings);
    if what.enter_existing && session.is_here {
        // Journeys run where sends do: a command by itself neither knows how they stand nor may start any.
        let problem = "--enter-existing needs the running services: start `perennial serve` first, or name them with --addr";
        return Err(Status::failed_precondition(problem));
    }
    if what.enter_existing {
        let definition = if what.dry_run { it.text.clone() } else { String::new() };
        let name = session.name("campaigns", &it.name);
        let request = EnterExistingRequest { name, validate_only: what.dry_run, definition };
        let found = session.campaign().enter_existing(request).await?.into_inner();
        notes.push(existing(&found, what.dry_run));
        // That nothing changed in the file is no longer all there is to say.
        let sign = if sign == '=' && !what.dry_run { '~' } else { sign };
        return Ok(Change { sign, kind: it.kind, name: it.name.clone(), note: notes.join("; ") });
    }
    Ok(Change { sign, kind: it.kind, name: it.name.clone(), note: notes.join("; ") })
}

/// On whom a campaign is started, or would be.
fn existing(found: &EnterExistingResponse, dry_run: bool) -> String {
    let mut parts = Vec::new();
    for (count, what) in [
        (found.held_out, "held out"),
        (found.inside, "inside already"),
        (found.entered_before, "in it before"),
        (found.not_entitled, "without its entry condition"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", output::thousands(count)));
        }
    }
    let verb = if dry_run { "would start" } else { "starts" };
    let rest = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let (entering, matching) = (output::thousands(found.entering), output::thousands(found.matching));
    format!("{verb} on {entering} of {matching} already there{rest}")
}

async fn template(session: &Session, it: &Document, what: &Apply) -> Result<Change, Status> {
    let wanted = Template {
        name: session.name("templates", &it.name),
        definition: it.text.clone(),
        ..Template::default()
    };
    let request =
        UpdateTemplateRequest { template: Some(wanted), allow_missing: true, validate_only: what.dry_run };
    let answer = session.notification().update_template(request).await?.into_inner();
    let sign = match answer.change() {
        TemplateChange::Created => '+',
        TemplateChange::Updated => '~',
        TemplateChange::Unchanged | TemplateChange::Unspecified => '=',
    };
    let note = answer.template.map(|it| it.description).unwrap_or_default();
    Ok(Change { sign, kind: it.kind, name: it.name.clone(), note })
}

async fn offer(session: &Session, it: &Document, what: &Apply) -> Result<Change, Status> {
    let wanted =
        Offer { name: session.name("offers", &it.name), definition: it.text.clone(), ..Offer::default() };
    let request =
        UpdateOfferRequest { offer: Some(wanted), allow_missing: true, validate_only: what.dry_run };
    let answer = session.loyalty().update_offer(request).await?.into_inner();
    let sign = match answer.change() {
        OfferChange::Created => '+',
        OfferChange::Updated => '~',
        OfferChange::Unchanged | OfferChange::Unspecified => '=',
    };
    let note = answer.offer.map(|it| it.description).unwrap_or_default();
    Ok(Change { sign, kind: it.kind, name: it.name.clone(), note })
}

async fn plan(session: &Session, it: &Document, what: &Apply) -> Result<Change, Status> {
    let wanted = TrackingPlan {
        name: format!("{}/trackingPlan", session.parent()),
        definition: it.text.clone(),
        ..TrackingPlan::default()
    };
    let request = UpdateTrackingPlanRequest { tracking_plan: Some(wanted), validate_only: what.dry_run };
    let answer = session.quality().update_tracking_plan(request).await?.into_inner();
    let sign = match answer.change() {
        PlanChange::Created => '+',
        PlanChange::Updated => '~',
        PlanChange::Unchanged | PlanChange::Unspecified => '=',
    };
    let (events, enforced) = (answer.event_count, answer.enforced_count);
    let note = format!("{events} events, {enforced} of them enforced");
    Ok(Change { sign, kind: it.kind, name: it.name.clone(), note })
}

/// An error as a compiler would show it: file and line, the reason, and the place within the line.
fn explained(it: &Document, status: Status) -> String {
    let message = status.message().to_owned();
    if status.code() != Code::InvalidArgument {
        return format!("{}:{}: {:#}", it.file, it.before + 1, told(status));
    }
    // A rule's fault comes as the rule with carets below it.
    if let Some((head, body)) = message.split_once("\n|") {
        let own = number_after(head, "line ").unwrap_or(1);
        let field = line_of(&it.text, "rule");
        let block = it.text.lines().nth(field - 1).is_some_and(|it| it.trim_end().ends_with(['|', '>', '-']));
        let line = it.before + field + if block { own } else { own - 1 };
        let head = head.split(" (line").next().unwrap_or(head);
        let mut text = format!("{}:{line}: {head}", it.file);
        for part in body.split("\n|") {
            let is_carets = part.trim_start().starts_with('^');
            let label = if is_carets || block { "      " } else { "rule: " };
            text.push_str(&format!("\n    |  {label}{}", part.strip_prefix(' ').unwrap_or(part)));
        }
        return text;
    }
    let details = status.get_error_details();
    let field = details.bad_request().and_then(|it| it.field_violations.first().cloned());
    let problem = field.map_or(message.clone(), |it| it.description);
    let problem = if problem.is_empty() { message } else { problem };
    // "line 4: steps[1].wait: …" is about the document; a template's "text, line 4" is about one of its parts.
    match number_after(&problem, "line ").filter(|_| problem.trim_start().starts_with("line ")) {
        Some(own) => {
            let reason = problem.split_once(": ").map_or(problem.as_str(), |(_, rest)| rest);
            let mut text = format!("{}:{}: {reason}", it.file, it.before + own);
            if let Some(source) = it.text.lines().nth(own.saturating_sub(1)) {
                let indent = source.chars().take_while(|it| it.is_whitespace()).count();
                let width = source.trim().chars().count().max(1);
                text.push_str(&format!(
                    "\n    |  {source}\n    |  {}{}",
                    " ".repeat(indent),
                    "^".repeat(width)
                ));
            }
            text
        }
        None => format!("{}:{}: {problem}", it.file, it.before + 1),
    }
}

fn number_after(text: &str, word: &str) -> Option<usize> {
    let rest = &text[text.find(word)? + word.len()..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        let kind = DocumentKind::Segment;
        Document {
            file: "broken.yaml".to_owned(),
            before: 10,
            kind,
            name: "a".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_rule_that_does_not_type_check_is_shown_with_its_line_and_place() {
        let it = document("kind: Segment\nname: a\nrule: count(\"Order Complete\", \"30d\") >= 2\n");
        let message = "rule does not type-check (line 1, column 7)\n| count(\"Order Complete\", \"30d\") >= 2\n\
                       |       ^^^^^^^^^^^^^^^^ no such event";
        let shown = explained(&it, Status::invalid_argument(message));
        let expected = "broken.yaml:13: rule does not type-check\n    |  rule: count(\"Order Complete\", \"30d\") >= 2\n    \
                        |              ^^^^^^^^^^^^^^^^ no such event";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_line_of_a_definition_is_shown_with_its_text() {
        let it = document("kind: Campaign\nname: a\nsteps:\n  - wait: soon\n");
        let shown =
            explained(&it, Status::invalid_argument("line 4: steps[0].wait: \"soon\" is no duration"));
        let expected = "broken.yaml:14: steps[0].wait: \"soon\" is no duration\n    |    - wait: soon\n    |    ^^^^^^^^^^^^";
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_changes_is_listed_and_what_does_not_is_counted() {
        let change = |sign, name: &str, note: &str| Change {
            sign,
            kind: DocumentKind::Segment,
            name: name.to_owned(),
            note: note.to_owned(),
        };
        let changes = [
            change('+', "big-spenders", "would hold 4"),
            change('~', "b", "rule changed"),
            change('=', "c", ""),
        ];
        let expected = "  + segment/big-spenders    would hold 4\n  ~ segment/b               rule changed\n  = 1 unchanged\n";
        assert_eq!(listed(&changes), expected);
    }
}
