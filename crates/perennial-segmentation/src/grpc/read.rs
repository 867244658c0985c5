//! Requests to what the use cases take.

use perennial_api::segmentation::v1::{CreateSegmentRequest, Segment, UpdateSegmentRequest};
use perennial_rpc::{Field, Invalid, request_id, resource, workspace};
use perennial_types::Workspace;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::app::{Retry, SaveSegment};

type Ask = (Workspace, SaveSegment, Option<Retry>);

/// The most characters of a description.
const MAX_DESCRIPTION: usize = 1_000;
/// The longest name.
const MAX_NAME: usize = 63;

/// The idempotency key of a request, with the fingerprint of all of it.
pub fn retry(method: &str, id: &str, request: &impl Message) -> Result<Option<Retry>, Invalid> {
    let Some(id) = request_id(id)? else { return Ok(None) };
    let mut hash = Sha256::new();
    hash.update(method);
    hash.update([0]);
    hash.update(request.encode_to_vec());
    Ok(Some(Retry { id, fingerprint: hash.finalize().to_vec() }))
}

/// An etag; nothing if it is empty.
pub fn etag(field: &str, text: &str) -> Result<Option<u64>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let unknown = "is not one of ours: send it as it was answered, or nothing";
    text.trim_matches('"').parse().map(Some).map_err(|_| unknown).field(field)
}

fn name(field: &str, text: &str) -> Result<String, Invalid> {
    let of_slug = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b'_';
    let good = text.len() <= MAX_NAME
        && text.starts_with(|it: char| it.is_ascii_lowercase())
        && text.bytes().all(of_slug);
    let shown: String = text.chars().take(80).collect();
    let problem = format!("is {shown:?}: use 1–{MAX_NAME} of a–z, 0–9, - and _, starting with a letter");
    good.then(|| text.to_owned()).ok_or(problem).field(field)
}

fn description(segment: &Segment) -> Result<String, Invalid> {
    if segment.description.chars().count() > MAX_DESCRIPTION {
        let problem = format!("is too long: at most {MAX_DESCRIPTION} characters");
        return Err(Invalid::new("segment.description", problem));
    }
    Ok(segment.description.clone())
}

/// A request to create a segment.
pub fn create(message: &CreateSegmentRequest) -> Result<Ask, Invalid> {
    let workspace = workspace("parent", &message.parent)?;
    let segment = message.segment.as_ref().field("segment")?;
    let ask = SaveSegment {
        name: name("segment_id", &message.segment_id)?,
        description: Some(description(segment)?),
        rule: Some(segment.rule.clone()),
        allow_unknown_events: Some(segment.allow_unknown_events),
        create: true,
        update: false,
        etag: None,
        validate_only: message.validate_only,
    };
    Ok((workspace, ask, retry("CreateSegment", &message.request_id, message)?))
}

/// A request to change a segment.
pub fn update(message: &UpdateSegmentRequest) -> Result<Ask, Invalid> {
    let segment = message.segment.as_ref().field("segment")?;
    let (workspace, id) = resource("segment.name", &segment.name, "segments")?;
    let paths: Vec<&str> = message.update_mask.iter().flat_map(|it| &it.paths).map(String::as_str).collect();
    for path in &paths {
        if !matches!(*path, "*" | "description" | "rule" | "allow_unknown_events") {
            let problem = format!("names {path:?}: name description, rule or allow_unknown_events");
            return Err(Invalid::new("update_mask", problem));
        }
    }
    let wanted = |field: &str| paths.is_empty() || paths.iter().any(|it| *it == field || *it == "*");
    let ask = SaveSegment {
        name: name("segment.name", id)?,
        description: wanted("description").then(|| description(segment)).transpose()?,
        rule: wanted("rule").then(|| segment.rule.clone()),
        allow_unknown_events: wanted("allow_unknown_events").then_some(segment.allow_unknown_events),
        create: message.allow_missing,
        update: true,
        etag: etag("segment.etag", &segment.etag)?,
        validate_only: message.validate_only,
    };
    Ok((workspace, ask, retry("UpdateSegment", &message.request_id, message)?))
}
